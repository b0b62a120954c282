import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { dialectFor, dialectKindOf } from '../../src/upstreams/index.ts';
import { RealtimeMeter, realtimeUsage } from '../../src/upstreams/openai/realtime.ts';

const done = (id: string, more: object = {}) => ({
  type: 'response.done',
  response: {
    id,
    output: [{ id: 'item', content: [{ text: 'x'.repeat(50_000), usage: { input_tokens: 9 } }] }],
    usage: {
      ...{ input_tokens: 10, output_tokens: 4 },
      input_token_details: { cached_tokens: 3, audio_tokens: 6 },
      output_token_details: { audio_tokens: 2 },
      ...more,
    },
  },
});

function measure(...events: unknown[]) {
  const meter = new RealtimeMeter();
  for (const event of events) {
    const text = Buffer.from(typeof event === 'string' ? event : JSON.stringify(event));
    const half = text.length >> 1;
    meter.text(text.subarray(0, half), false);
    meter.text(text.subarray(half), true);
  }
  return meter.measured();
}

describe('a Realtime connection', () => {
  it('is known by its path, and its model by the query of its handshake', () => {
    assert.equal(dialectKindOf('/v1/realtime'), 'openai-realtime');
    const { work, messages, isProbe } = dialectFor('/v1/realtime').read({
      ...{ method: 'GET', path: '/v1/realtime', query: 'model=gpt-realtime', headers: [] },
      ...{ body: new Uint8Array(0), outputTokensMax: 1 },
    });
    assert.equal(work.model, 'gpt-realtime');
    assert.equal(isProbe, false);
    assert.ok(messages);
  });

  it('adds up what each response states, once, whatever stands around it', () => {
    const heard = {
      type: 'conversation.item.input_audio_transcription.completed',
      item_id: 'i',
      usage: { type: 'tokens', input_tokens: 5, output_tokens: 1 },
    };
    const events = [done('a'), done('a'), 'garbage "usage"', done('b'), '[]', heard, heard];
    assert.deepEqual(measure(...events), {
      units: {
        ...{ inputTokens: 25, outputTokens: 9, cachedInputTokens: 6 },
        ...{ inputAudioTokens: 12, outputAudioTokens: 4 },
      },
      by: 'upstream',
    });
  });

  it('believes no count that is none', () => {
    const lie = done('c', { input_tokens: -1, output_tokens: 1.5 });
    const { units } = measure(lie);
    assert.deepEqual([units.inputTokens, units.outputTokens], [undefined, undefined]);
    assert.equal(realtimeUsage('{"usage":1}'), null);
  });

  it('counts a response that is not done by its text and its audio, with the input of the last one', () => {
    const created = { type: 'response.created', response: { id: 'd', usage: null } };
    const text = { type: 'response.output_text.delta', delta: 'x'.repeat(398) };
    const audio = { type: 'response.output_audio.delta', delta: 'A'.repeat(6_398) };
    const words = { type: 'response.output_audio_transcript.delta', delta: 'x'.repeat(4_000) };
    const open = measure(done('a'), created, text, audio, words);
    assert.equal(open.by, 'count');
    assert.equal(open.units.outputTokens, 4 + 100 + 2);
    assert.equal(open.units.outputAudioTokens, 2 + 2);
    assert.equal(open.units.inputTokens, 20);
    const stated = measure(done('a'), created, text, audio, words, done('d'));
    assert.equal(stated.by, 'upstream');
    assert.equal(stated.units.outputTokens, 8);
    const silent = { type: 'response.done', response: { id: 'd', usage: null } };
    const counted = measure(done('a'), created, text, silent);
    assert.deepEqual([counted.by, counted.units.outputTokens], ['count', 104]);
  });

  it('never throws, and its counts are never anything but counts', () => {
    const json = fc.json().map((text) => Buffer.from(text));
    const bytes = fc.uint8Array({ maxLength: 100 });
    fc.assert(
      fc.property(fc.array(fc.oneof(json, bytes), { maxLength: 8 }), (messages) => {
        const meter = new RealtimeMeter();
        for (const one of messages) meter.text(one, one.length % 3 !== 0);
        for (const count of Object.values(meter.measured().units))
          assert.ok(Number.isSafeInteger(count) && count >= 0);
      }),
    );
  });
});
