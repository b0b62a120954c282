import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { gzipSync } from 'node:zlib';
import { RequestMalformed } from '../../src/core/errors.ts';
import { JSON_ANSWER, passThrough, read, sse } from './dialect-request.ts';

const PATH = '/ocr';
const unit = (more: object) => ({ unit: 'pages', header: null, json: null, max: 50, ...more });
const BY_HEADER = { units: [unit({ header: 'x-pages' })] };
const BY_JSON = { units: [unit({ json: ['usage', 'pages', 'all'] })] };

describe('any other API', () => {
  it('is passed on as it is, and bounded by what the route declares', () => {
    const reading = read(PATH, 'not JSON', { ...BY_HEADER, computeMsMax: 2_500 });
    assert.equal(reading.isProbe, false);
    assert.deepEqual(reading.work.bounds, { pages: 50, computeMs: 2_500, computeSeconds: 3 });
    assert.equal(reading.work.model, null);
    assert.equal(reading.work.value('body.x'), null);
  });

  it('tells a value of its body, unless two readers could find two', () => {
    const { work } = read(PATH, { model: 'm', tier: { name: 'gold' } });
    assert.equal(work.model, 'm');
    assert.equal(work.value('body.tier.name'), 'gold');
    const twice = read(PATH, '{"tier":"cheap","tier":"dear"}').work;
    assert.throws(() => twice.value('body.tier'), RequestMalformed);
  });

  it('states units of its own in a header', () => {
    const measure = (value: string) =>
      passThrough(read(PATH, {}, BY_HEADER), Buffer.from('abc'), [1], ['X-Pages', value]).measured;
    const rest = { bytesOut: 3, messages: 1 };
    assert.deepEqual(measure('7'), { units: { ...rest, pages: 7 }, by: 'upstream' });
    assert.equal(measure('6.2').units.pages, 7);
    assert.equal(measure('900').units.pages, 50);
    for (const value of ['-1', '1e9', 'x', '', 'NaN', '1,2', '0x10'])
      assert.deepEqual(measure(value), { units: rest, by: 'none' }, value);
  });

  it('states units of its own in its JSON or its events, whatever their size', () => {
    const answer = { text: 'x'.repeat(100_000), usage: { pages: { all: 9 } } };
    const whole = Buffer.from(JSON.stringify(answer));
    const reading = read(PATH, {}, BY_JSON);
    assert.equal(passThrough(reading, whole, [5_000], JSON_ANSWER).measured.units.pages, 9);
    const zipped = [...JSON_ANSWER, 'content-encoding', 'gzip'];
    assert.equal(passThrough(reading, gzipSync(whole), [], zipped).measured.units.pages, 9);
    const events = sse([{ a: 1 }, { usage: { pages: { all: 4 } } }, '[DONE]']);
    const { units } = passThrough(reading, events, [10, 20]).measured;
    assert.deepEqual([units.pages, units.messages], [4, 3]);
    const fake = Buffer.from('{"x":"\\"usage\\":{\\"pages\\":{\\"all\\":1}}"}');
    assert.equal(passThrough(reading, fake, [], JSON_ANSWER).measured.by, 'none');
  });

  it('measures the time of the upstream, or what a header says of it', () => {
    let nowMs = 100;
    const options = { nowMs: () => nowMs, computeMsMax: 5_000 };
    const meter = read(PATH, {}, options).meter({ status: 200, headers: [], sentAtMs: 40.5 });
    nowMs = 1_240;
    meter.end();
    nowMs = 9_000;
    const { units } = meter.measured();
    assert.deepEqual([units.computeMs, units.computeSeconds], [1_200, 2]);
    const stated = read(PATH, {}, { computeMsHeader: 'x-gpu-ms' });
    const head = { status: 200, headers: ['X-GPU-Ms', '12.5'] };
    assert.equal(stated.meter(head).measured().units.computeMs, 13);
  });
});
