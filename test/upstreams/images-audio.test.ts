import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { RequestMalformed } from '../../src/core/errors.ts';
import { mp3SecondsMax, wavSeconds } from '../../src/upstreams/audio-seconds.ts';
import { readForm } from '../../src/upstreams/multipart.ts';
import { JSON_ANSWER, passThrough, read, refusalOf, sse } from './dialect-request.ts';

const TYPE = ['Content-Type', 'multipart/form-data; boundary=b0'];

interface Part {
  readonly name: string;
  readonly value: string | Buffer;
  readonly filename?: string;
}

function formOf(...parts: Part[]): Buffer {
  const chunks: Buffer[] = [];
  for (const { name, value, filename } of parts) {
    const file = filename === undefined ? '' : `; filename="${filename}"`;
    chunks.push(
      Buffer.from(`--b0\r\nContent-Disposition: form-data; name="${name}"${file}\r\n\r\n`),
    );
    chunks.push(Buffer.from(value), Buffer.from('\r\n'));
  }
  return Buffer.concat([...chunks, Buffer.from('--b0--\r\n')]);
}

function wavOf(seconds: number, sampleRate = 8_000, format = 1): Buffer {
  const head = Buffer.alloc(44);
  head.write('RIFF');
  head.write('WAVEfmt ', 8);
  head.writeUInt32LE(16, 16);
  head.writeUInt16LE(format, 20);
  head.writeUInt16LE(1, 22);
  head.writeUInt32LE(sampleRate, 24);
  head.writeUInt32LE(2 * sampleRate, 28);
  head.writeUInt16LE(2, 32);
  head.writeUInt16LE(16, 34);
  head.write('data', 36);
  return Buffer.concat([head, Buffer.alloc(2 * sampleRate * seconds)]);
}

describe('a request for images', () => {
  const PATH = '/v1/images/generations';

  it('is bounded by the number of images, and by their tokens where the model has some', () => {
    const body = { model: 'gpt-image-1', prompt: 'a cat', n: 2, size: '1024x1024' };
    const reading = read(PATH, body);
    assert.equal(reading.work.bounds.images, 2);
    assert.equal(reading.work.bounds.outputTokens, 12_480);
    assert.equal(reading.work.value('body.size'), '1024x1024');
    assert.deepEqual(read(PATH, { model: 'dall-e-3', prompt: 'x' }).work.bounds, { images: 1 });
    assert.match(refusalOf(PATH, { prompt: 'x', n: 11 }), /^n must be at most 10/);
    assert.match(refusalOf(PATH, { n: 1 }), /^prompt is missing/);
  });

  it('counts the images that came, however large they are', () => {
    const reading = read(PATH, { model: 'gpt-image-1', prompt: 'a cat', n: 3 });
    const picture = { b64_json: 'A'.repeat(300_000) };
    const usage = { input_tokens: 4, output_tokens: 2_112, total_tokens: 2_116 };
    const answer = Buffer.from(JSON.stringify({ created: 1, data: [picture, picture], usage }));
    const { measured } = passThrough(reading, answer, [99, 100_000, 400_000], JSON_ANSWER);
    assert.deepEqual(measured.units, { inputTokens: 4, outputTokens: 2_112, images: 2 });
    const events = [
      { type: 'image_generation.partial_image', ...picture },
      { type: 'image_generation.completed', ...picture, usage },
    ];
    assert.equal(passThrough(reading, sse(events), [100_000]).measured.units.images, 1);
    const empty = Buffer.from('{"data":[]}');
    assert.equal(passThrough(reading, empty, [], JSON_ANSWER).measured.units.images, 0);
  });

  it('reads the form of an edit where it stands', () => {
    const image = { name: 'image[]', value: Buffer.alloc(1_000), filename: 'a.png' };
    const form = formOf({ name: 'model', value: 'gpt-image-1' }, image, image, {
      name: 'n',
      value: '2',
    });
    const reading = read('/v1/images/edits', form, {}, TYPE);
    assert.equal(reading.work.bounds.images, 2);
    assert.ok(Number(reading.work.bounds.inputTokens) >= 2 * 6_240);
    assert.equal(reading.work.model, 'gpt-image-1');
    assert.equal(reading.body, form);
    const refused = (...parts: Part[]) => refusalOf('/v1/images/edits', formOf(...parts), {}, TYPE);
    assert.match(refused(image, { name: 'n', value: '0' }), /^n must be/);
    assert.match(refused(image, { name: 'n', value: '2x' }), /^n must be/);
    assert.match(
      refused(image, { name: 'n', value: '1' }, { name: 'n', value: '9' }),
      /^n stands twice/,
    );
    assert.match(refused(image, { name: 'N', value: '9' }), /^N must be written n/);
    assert.match(refused(image, { name: 'n', value: '9', filename: 'x' }), /^n must not be a file/);
    assert.match(refused({ name: 'n', value: '1' }), /^image is missing/);
  });
});

describe('a form', () => {
  it('is refused where two readers could understand it differently', () => {
    const good = formOf({ name: 'a', value: 'x' }).toString();
    for (const text of [
      good.replace('--b0--', '--b0'),
      good.replace('x\r\n', 'x\n'),
      good.replace('x\r\n', 'x\n--b0\nContent-Disposition: form-data; name="n"\n\n9\r\n'),
      good.replace('; name="a"', '; name="a"; name="n"'),
      good.replace('name="a"', 'name=a'),
      good.replace('\r\n\r\n', '\r\nContent-Transfer-Encoding: base64\r\n\r\n'),
      good.replace('\r\n\r\n', '\r\nContent-Disposition: form-data; name="n"\r\n\r\n'),
      good.replace('form-data; name="a"', 'form-data; name="%6e"'),
      `preamble\r\n${good}`,
      `${good}--b0\r\n`,
      '',
    ])
      assert.throws(
        () => readForm(TYPE, Buffer.from(text)),
        RequestMalformed,
        JSON.stringify(text),
      );
    for (const type of ['multipart/form-data', 'application/json', 'multipart/mixed; boundary=b0'])
      assert.throws(() => readForm(['content-type', type], Buffer.from(good)), RequestMalformed);
  });

  it('throws nothing but a refusal, and finds what was written', () => {
    const bytes = fc.uint8Array({ maxLength: 40 }).map((array) => Buffer.from(array));
    fc.assert(
      fc.property(fc.array(bytes, { maxLength: 4 }), fc.nat(300), fc.nat(5), (values, at, cut) => {
        const clean = values.filter((value) => !value.includes('--b0'));
        const form = formOf(...clean.map((value, index) => ({ name: `p${index}`, value })));
        assert.deepEqual(
          readForm(TYPE, form).map((part) => part.bytes.toString('latin1')),
          clean.map((value) => value.toString('latin1')),
        );
        const broken = Buffer.concat([form.subarray(0, at), form.subarray(at + cut)]);
        try {
          readForm(TYPE, broken);
        } catch (error) {
          assert.ok(error instanceof RequestMalformed, String(error));
        }
      }),
      { numRuns: 300 },
    );
  });
});

describe('a request for speech', () => {
  const PATH = '/v1/audio/speech';

  it('is priced by its characters, 15 a second at speed 1', () => {
    const reading = read(PATH, { model: 'tts-1', input: 'a'.repeat(150), voice: 'x', speed: 2 });
    assert.equal(reading.work.bounds.audioSeconds, 5);
    assert.equal(reading.work.bounds.characters, 150);
    const { measured } = passThrough(reading, Buffer.alloc(10), [], ['content-type', 'audio/mpeg']);
    assert.deepEqual(measured, { units: { characters: 150, audioSeconds: 5 }, by: 'count' });
    const none = reading.meter({ status: 500, headers: [] });
    none.pass(Buffer.alloc(10));
    assert.equal(none.measured().by, 'none');
    assert.match(refusalOf(PATH, { model: 'tts-1', input: 'a'.repeat(4_097) }), /^input may have/);
    assert.match(refusalOf(PATH, { model: 'tts-1', input: 'a', speed: 0 }), /^speed must be/);
  });
});

describe('a request for a transcription', () => {
  const PATH = '/v1/audio/transcriptions';
  const formWith = (file: Buffer) =>
    formOf({ name: 'model', value: 'whisper-1' }, { name: 'file', value: file, filename: 'a.wav' });
  const boundsOf = (file: Buffer, options = {}) =>
    read(PATH, formWith(file), options, TYPE).work.bounds;

  it('is bounded by the header of its WAV, by the size of its MP3, or by what is configured', () => {
    assert.equal(boundsOf(wavOf(3)).audioSeconds, 3);
    const mp3 = Buffer.concat([Buffer.from('ID3'), Buffer.alloc(9_997)]);
    assert.equal(boundsOf(mp3).audioSeconds, 10);
    assert.equal(boundsOf(Buffer.from('OggS'), { audioSecondsMax: 60 }).audioSeconds, 60);
    assert.match(
      refusalOf(PATH, formWith(Buffer.from('OggS')), {}, TYPE),
      /^file must be WAV or MP3/,
    );
    assert.match(
      refusalOf(PATH, formWith(wavOf(9)), { audioSecondsMax: 5 }, TYPE),
      /^file may last 5/,
    );
    assert.match(
      refusalOf(PATH, formOf({ name: 'model', value: 'm' }), {}, TYPE),
      /^file must be one/,
    );
  });

  it('takes the seconds that are stated, or those of the WAV', () => {
    const measure = (answer: object) =>
      passThrough(
        read(PATH, formWith(wavOf(3)), {}, TYPE),
        Buffer.from(JSON.stringify(answer)),
        [],
        JSON_ANSWER,
      ).measured;
    const stated = { text: 'x', usage: { type: 'duration', seconds: 2.2 } };
    assert.deepEqual(measure(stated), { units: { audioSeconds: 3 }, by: 'upstream' });
    assert.deepEqual(measure({ text: 'x', duration: 1.5 }).units, { audioSeconds: 2 });
    assert.deepEqual(measure({ text: 'x' }), { units: { audioSeconds: 3 }, by: 'count' });
    const tokens = { type: 'tokens', input_tokens: 14, output_tokens: 45, total_tokens: 59 };
    assert.equal(measure({ text: 'x', usage: tokens }).units.outputTokens, 45);
  });

  it('believes no header that could lie', () => {
    assert.equal(wavSeconds(wavOf(2, 16_000)), 2);
    for (const wav of [wavOf(2, 1), wavOf(2, 8_000, 2), Buffer.from('RIFF'), Buffer.alloc(100)])
      assert.equal(wavSeconds(wav), null);
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 60 }), fc.nat(44), (noise, at) => {
        const wav = wavOf(1);
        wav.set(noise.subarray(0, wav.length - at), at);
        for (const seconds of [wavSeconds(wav), mp3SecondsMax(wav)])
          assert.ok(seconds === null || (Number.isSafeInteger(seconds) && seconds >= 0));
      }),
    );
  });
});
