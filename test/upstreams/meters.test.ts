import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { brotliCompressSync, gzipSync } from 'node:zlib';
import fc from 'fast-check';
import { CHAT, JSON_ANSWER, passThrough, read, sse } from './dialect-request.ts';

const ASKED = { model: 'gpt-4o', messages: [{ role: 'user', content: 'hi' }], max_tokens: 100 };
const STREAM = { ...ASKED, stream: true, stream_options: { include_usage: true } };
const HIDING = { ...ASKED, stream: true };

const said = (content: string, more: object = {}) => ({
  choices: [{ index: 0, delta: { content, ...more }, finish_reason: null }],
});
const stated = (prompt_tokens: unknown, completion_tokens: unknown, more: object = {}) => ({
  choices: [],
  usage: { prompt_tokens, completion_tokens, ...more },
});
const measure = (answer: Uint8Array, body: object = STREAM, cuts: number[] = []) =>
  passThrough(read(CHAT, body), answer, cuts).measured;

describe('the meter of a stream', () => {
  it('takes what the last usage states: it is cumulative, never a sum', () => {
    const answer = sse([said('a'), stated(3, 1), said('b'), stated(5, 9), '[DONE]']);
    assert.deepEqual(measure(answer), {
      units: { inputTokens: 5, outputTokens: 9 },
      by: 'upstream',
    });
  });

  it('takes parts of the input and output with it', () => {
    const usage = stated(20, 9, {
      total_tokens: 29,
      prompt_tokens_details: { cached_tokens: 20, audio_tokens: 2 },
      completion_tokens_details: { reasoning_tokens: 4 },
    });
    assert.deepEqual(measure(sse([said('a'), usage])).units, {
      ...{ inputTokens: 20, outputTokens: 9, cachedInputTokens: 20 },
      ...{ inputAudioTokens: 2, reasoningTokens: 4 },
    });
  });

  it('counts reasoning that only the total shows', () => {
    const units = measure(sse([stated(10, 5, { total_tokens: 40 })])).units;
    assert.equal(units.outputTokens, 30);
  });

  it('counts what passed where no usage is stated', () => {
    const { units, by } = measure(sse([said('one two'), said(' three\\n"x"'), '[DONE]']));
    assert.equal(by, 'count');
    // one| two| thre|e\n"|x"
    assert.equal(units.outputTokens, 5);
    assert.ok(Number(units.inputTokens) > 0);
  });

  it('counts reasoning, refusals and the arguments of tools', () => {
    const events = [
      said('', { reasoning_content: 'abcd efgh' }),
      said('', { reasoning: 'same', reasoning_content: 'same' }),
      said('', { refusal: 'no' }),
      said('', {
        tool_calls: [{ index: 0, id: 'call', function: { name: 'fn', arguments: '{}' } }],
      }),
    ];
    // abcd| efgh|same|no|fn{}: as one text.
    assert.equal(measure(sse(events)).units.outputTokens, 5);
  });

  for (const [name, usage] of [
    ['negative', stated(-1, -1)],
    ['a fraction', stated(1.5, 2.5)],
    ['a text', stated('5', '6')],
    ['huge', stated(1e300, 9e15)],
    ['null', stated(null, null)],
    ['a list', { choices: [], usage: [1, 2] }],
    ['a text instead of an object', { choices: [], usage: 'lots' }],
    ['far beyond what was asked for', stated(100_000, 5_000)],
  ] as const)
    it(`counts itself where the usage is false: ${name}`, () => {
      const { units, by } = measure(sse([said('one two'), usage, '[DONE]']));
      assert.equal(by, 'count');
      assert.equal(units.outputTokens, 2);
      assert.ok(Number(units.inputTokens) < 100);
    });

  it('never states more than the request was bounded to', () => {
    assert.equal(measure(sse([said('a'), stated(5, 120)])).units.outputTokens, 100);
  });

  it('takes no usage from what the model writes', () => {
    const fake = '"usage":{"prompt_tokens":1,"completion_tokens":1}';
    const events = [
      said(`data: {${fake}}\n\ndata: {${fake}}`),
      said('usage'),
      said('', { tool_calls: [{ function: { arguments: `{${fake}}` } }] }),
    ];
    const { units, by } = measure(sse(events));
    assert.equal(by, 'count');
    assert.ok(Number(units.outputTokens) > 20);
    const nested = { choices: [{ delta: { usage: { prompt_tokens: 1, completion_tokens: 1 } } }] };
    assert.equal(measure(sse([said('one two'), nested])).by, 'count');
  });

  it('forgets an event that was cut off', () => {
    const answer = sse([said('one'), said(' two'), stated(5, 5)]);
    const cut = answer.subarray(0, answer.length - 3);
    assert.deepEqual(measure(cut), { units: { inputTokens: 16, outputTokens: 2 }, by: 'count' });
  });

  it('knows any line ends, comments, other fields and data over several lines', () => {
    const usage = '{"choices":[],\ndata:"usage":{"prompt_tokens":5,\ndata: "completion_tokens":2}}';
    const text = `\ufeff: hello\n\nevent: x\nid: 1\nretry: 5\ndata: ${usage}\n\n: bye\n\n`;
    for (const end of ['\n', '\r\n', '\r']) {
      const answer = Buffer.from(text.replaceAll('\n', end));
      for (const body of [STREAM, HIDING])
        assert.deepEqual(measure(answer, body).units, { inputTokens: 5, outputTokens: 2 });
    }
  });

  it('reads the usage of an event that is too long to keep, and lets it pass', () => {
    const huge = { ...stated(5, 2), choices: [{ delta: { content: 'x'.repeat(600_000) } }] };
    const answer = sse([said('a'), huge, '[DONE]']);
    for (const body of [STREAM, HIDING])
      for (const cuts of [[], [100, 300_000, 400_001], [answer.length - 30]]) {
        const { out, measured } = passThrough(read(CHAT, body), answer, cuts);
        assert.ok(out.equals(answer));
        assert.deepEqual(measured, { units: { inputTokens: 5, outputTokens: 2 }, by: 'upstream' });
      }
  });

  it('measures nothing of an error, and what is known before the end', () => {
    const reading = read(CHAT, STREAM);
    const failed = reading.meter({ status: 500, headers: [] });
    assert.equal(failed.pass(sse([stated(5, 5)]))?.length, sse([stated(5, 5)]).length);
    assert.deepEqual(failed.measured(), { units: {}, by: 'none' });
    const running = reading.meter({ status: 200, headers: [] });
    running.pass(sse([said('one two')]));
    assert.equal(running.measured().units.outputTokens, 2);
    running.pass(sse([stated(7, 8)]));
    assert.equal(running.measured().units.outputTokens, 8);
  });
});

describe('the meter of a whole answer', () => {
  const whole = (answer: unknown, cuts: number[] = []) =>
    passThrough(read(CHAT, ASKED), Buffer.from(JSON.stringify(answer)), cuts, JSON_ANSWER).measured;
  const choices = (content: string) => [{ message: { role: 'assistant', content } }];

  it('takes the usage on top, wherever it stands', () => {
    const usage = { prompt_tokens: 5, completion_tokens: 6 };
    for (const answer of [
      { usage, choices: choices('x') },
      { choices: choices('{"usage":{"prompt_tokens":1}}'), usage, z: [{ usage: 1 }] },
      { a: { usage: { prompt_tokens: 1 } }, usage, b: ['usage', { usage: {} }] },
    ])
      for (const cuts of [[], [1, 2, 3, 20, 21, 40]])
        assert.deepEqual(whole(answer, cuts).units, { inputTokens: 5, outputTokens: 6 });
  });

  it('counts the text where none is stated', () => {
    const { units, by } = whole({ choices: choices('one two three') });
    assert.deepEqual([units.outputTokens, by], [4, 'count']);
    assert.equal(whole({ error: 'x' }).by, 'none');
    assert.equal(whole([1]).by, 'none');
  });

  it('counts by bytes what is too long to keep or was cut off', () => {
    const long = Buffer.from(JSON.stringify({ choices: choices('x'.repeat(200)) }));
    const { measured } = passThrough(read(CHAT, ASKED), long.subarray(0, -30), [], JSON_ANSWER);
    assert.ok(Number(measured.units.outputTokens) > 40);
    assert.equal(measured.by, 'count');
  });

  it('reads compressed answers on the side, as far as they came', () => {
    const answer = Buffer.from(
      JSON.stringify({ choices: choices('x'), usage: { prompt_tokens: 5, completion_tokens: 6 } }),
    );
    const headers = (encoding: string) => [...JSON_ANSWER, 'content-encoding', encoding];
    const zipped = gzipSync(answer);
    const reading = read(CHAT, ASKED);
    const { out, measured } = passThrough(reading, zipped, [5, 9], headers('gzip'));
    assert.ok(out.equals(zipped));
    assert.deepEqual(measured.units, { inputTokens: 5, outputTokens: 6 });
    const br = passThrough(reading, brotliCompressSync(answer), [], headers('br'));
    assert.equal(br.measured.by, 'upstream');
    for (const [bytes, encoding] of [
      [answer, 'gzip'],
      [answer, 'compress'],
      [gzipSync(Buffer.alloc(50_000_000)), 'gzip'],
    ] as const)
      assert.equal(passThrough(reading, bytes, [], headers(encoding)).measured.by, 'none');
    const cut = gzipSync(sse([said('one two'), said(' three')]));
    const type = ['content-type', 'text/event-stream', 'content-encoding', 'gzip'];
    const broken = passThrough(read(CHAT, STREAM), cut.subarray(0, -10), [], type);
    assert.equal(broken.measured.by, 'count');
  });
});

describe('a meter, whatever comes and however it is cut', () => {
  const nasty = fc.constantFrom(
    ...['data: ', 'data:', 'event: x', ': c', '\n', '\n\n', '\r', '\r\n', '\r\n\r\n', '\ufeff'],
    ...['{"choices":[],"usage":{"prompt_tokens":5,"completion_tokens":2}}', '[DONE]', '"usage":'],
    ...[
      '{"choices":[{"delta":{"content":"a\\"b"}}],"usage":null}',
      '"delta":{"content":"',
      '{',
      '}',
    ],
    ...['"', '\\', '\u{1f600}', 'é', '"usage":{', '[', ']', ',', 'null'],
  );
  const event = fc.oneof(
    fc.string().map((content) => JSON.stringify(said(content))),
    fc.nat(90).map((count) => JSON.stringify(stated(count, count))),
  );
  const block = fc
    .tuple(event, fc.constantFrom('\n', '\r\n', '\r'))
    .map(([text, end]) => `data: ${text}${end}${end}`);
  const part = fc.oneof(
    { weight: 2, arbitrary: block },
    nasty,
    fc.string({ unit: 'binary', maxLength: 5 }),
  );
  const answers = fc.array(part, { maxLength: 20 }).map((parts) => Buffer.from(parts.join('')));
  const cuts = fc.array(fc.nat(800), { maxLength: 30 });

  for (const [name, body, headers] of [
    ['a stream', STREAM, ['content-type', 'text/event-stream']],
    ['a stream that hides', HIDING, ['content-type', 'text/event-stream']],
    ['a whole answer', ASKED, JSON_ANSWER],
  ] as const)
    it(`gives the same bytes and the same units: ${name}`, () => {
      fc.assert(
        fc.property(answers, cuts, (answer, places) => {
          const reading = read(CHAT, body);
          const once = passThrough(reading, answer, [], headers);
          const pieces = passThrough(reading, answer, places, headers);
          const bytes = Array.from(answer.keys());
          const single = passThrough(reading, answer, bytes, headers);
          for (const other of [pieces, single]) {
            assert.equal(other.out.toString('latin1'), once.out.toString('latin1'));
            assert.deepEqual(other.measured, once.measured);
          }
          if (body !== HIDING) assert.ok(once.out.equals(answer));
          for (const count of Object.values(once.measured.units))
            assert.ok(Number.isSafeInteger(count) && count >= 0);
        }),
        { numRuns: 400 },
      );
    });

  it('reads JSON as JSON.parse does', () => {
    const usage = fc.record({
      prompt_tokens: fc.integer({ min: 1, max: 100 }),
      completion_tokens: fc.nat(90),
    });
    const answer = fc.dictionary(
      fc.oneof(fc.constantFrom('usage', 'choices', 'a', 'usa\\ge'), fc.string()),
      fc.oneof(usage, fc.jsonValue()),
    );
    fc.assert(
      fc.property(answer, cuts, fc.nat(4), (value, places, space) => {
        const bytes = Buffer.from(JSON.stringify(value, null, space));
        const { measured } = passThrough(read(CHAT, ASKED), bytes, places, JSON_ANSWER);
        const { usage } = JSON.parse(bytes.toString());
        const isStated =
          Number.isSafeInteger(usage?.prompt_tokens) &&
          Number.isSafeInteger(usage?.completion_tokens);
        if (isStated && Object.hasOwn(value, 'usage')) {
          assert.equal(measured.by, 'upstream');
          assert.equal(measured.units.outputTokens, usage.completion_tokens);
        } else assert.notEqual(measured.by, 'upstream');
      }),
      { numRuns: 400 },
    );
  });
});

describe('the work of a meter', () => {
  it('lets whole events pass untouched and parses only what seems to state usage', () => {
    const parse = JSON.parse;
    let parsed = 0;
    JSON.parse = (...args: Parameters<typeof parse>) => {
      parsed++;
      return parse(...args);
    };
    try {
      for (const body of [STREAM, HIDING]) {
        const reading = read(CHAT, body);
        parsed = 0;
        const meter = reading.meter({ status: 200, headers: [] });
        const chunk = sse([{ ...said('word'), usage: null }]);
        for (let events = 0; events < 2_000; events++) assert.equal(meter.pass(chunk), chunk);
        assert.equal(parsed, 0);
        meter.pass(sse([stated(5, 5)]));
        assert.equal(parsed, 1);
      }
    } finally {
      JSON.parse = parse;
    }
  });

  it('keeps a bounded part of a stream, however long', () => {
    const meter = read(CHAT, STREAM).meter({ status: 200, headers: [] });
    const chunk = sse([said('x'.repeat(60_000))]);
    for (let events = 0; events < 100; events++) meter.pass(chunk);
    const { units } = meter.measured();
    assert.equal(units.outputTokens, 100);
  });
});
