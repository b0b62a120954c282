import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { CoinslotError, RequestMalformed, RequestNotPriced } from '../../src/core/errors.ts';
import type { Reading } from '../../src/core/ports/dialect.ts';
import { CandidateBodies } from '../../src/upstreams/candidate-bodies.ts';
import { modelDialect, renameModel } from '../../src/upstreams/model-dialect.ts';
import type { Candidate } from '../../src/upstreams/models.ts';

const CANDIDATES: readonly Candidate[] = [
  { provider: 'a', model: 'gpt-4o' },
  { provider: 'b', model: 'gpt-4o-mini' },
];

function dialect(kind: 'openai-chat' | 'anthropic-messages', allow: readonly string[] = []) {
  const bodies = new CandidateBodies();
  const read = (body: string | Uint8Array): Reading =>
    modelDialect(kind, {
      resolve: (model) => {
        if (model === 'fast') return CANDIDATES;
        throw new RequestNotPriced('Nobody has it.');
      },
      contextTokensOf: ({ model }) => (model === 'gpt-4o' ? 128_000 : null),
      options: { allow },
      bodies,
    }).read({
      ...{ method: 'POST', path: '/v1/x', query: '', headers: [], outputTokensMax: 100 },
      body: Buffer.from(body),
    });
  return { read, bodies };
}

const CHAT = { model: 'fast', messages: [{ role: 'user', content: 'Hello' }] };

describe('a request that several models may run', () => {
  it('is bounded by the one that makes the most of it', () => {
    const image = { type: 'image_url', image_url: { url: 'data:image/png;base64,AA==' } };
    const { read } = dialect('openai-chat');
    const { work } = read(
      JSON.stringify({ ...CHAT, messages: [{ role: 'user', content: [image] }] }),
    );
    assert.ok((work.bounds.inputTokens ?? 0) > 48_000, 'gpt-4o-mini counts images so high');
    assert.deepEqual(work.mayRun, ['a/gpt-4o', 'b/gpt-4o-mini']);
    assert.equal(work.model, 'fast');
    assert.equal(work.bounds.outputTokens, 100);
    assert.equal(work.bounds.webSearches, 0);
    assert.equal(work.bounds.inputAudioTokens, 0);
    const heard = read(JSON.stringify({ ...CHAT, user: 'audio' })).work.bounds;
    assert.equal(heard.inputAudioTokens, heard.inputTokens);
  });

  it('has a body for each of them', () => {
    const { read, bodies } = dialect('openai-chat');
    const { body } = read(JSON.stringify(CHAT));
    for (const candidate of CANDIDATES) {
      const own = JSON.parse(String(Buffer.from(bodies.bodyFor(body, candidate) ?? [])));
      assert.equal(own.model, candidate.model);
      assert.equal(own.max_completion_tokens, 100);
    }
    assert.equal(bodies.bodyFor(body, { provider: 'c', model: 'x' }), undefined);
  });

  it('may run anything while it only asks for the price', () => {
    const { isProbe, work } = dialect('openai-chat').read('');
    assert.equal(isProbe, true);
    assert.deepEqual(work.mayRun, []);
  });

  it('is refused an hour in the cache, wherever it stands, unless the operator allows it', () => {
    const cached = { type: 'ephemeral', ttl: '1h' };
    const body = (cache: object): string =>
      JSON.stringify({
        ...{ model: 'fast', max_tokens: 9, messages: CHAT.messages },
        tools: [{ name: 'x', input_schema: { type: 'object' }, cache_control: cache }],
      });
    assert.throws(() => dialect('anthropic-messages').read(body(cached)), /cache_control\.ttl/);
    dialect('anthropic-messages').read(body({ type: 'ephemeral', ttl: '5m' }));
    dialect('anthropic-messages', ['cache_control.ttl']).read(body(cached));
  });

  it('is refused for a key that stands twice, and for what is no object', () => {
    const { read } = dialect('openai-chat');
    const twice = `{"model":"gpt-4o","messages":[{"role":"user","content":"x"}],"model":"fast"}`;
    for (const body of [twice, '[]', '"fast"', '{', 'null', '{"model":7}', '{"model":""}'])
      assert.throws(() => read(body), RequestMalformed, body);
  });

  it('never fails otherwise, whatever is sent', () => {
    const { read } = dialect('openai-chat');
    const { read: readMessages } = dialect('anthropic-messages');
    const value = fc.oneof(
      fc.uint8Array({ maxLength: 60 }),
      fc.json().map((text) => Buffer.from(text)),
      fc
        .record({ model: fc.constantFrom('fast', 'x', 3), messages: fc.jsonValue() })
        .map((body) => Buffer.from(JSON.stringify(body))),
    );
    fc.assert(
      fc.property(value, (body) => {
        for (const one of [read, readMessages])
          try {
            one(body);
          } catch (error) {
            assert.ok(error instanceof CoinslotError, String(error));
          }
      }),
      { numRuns: 300 },
    );
  });
});

describe('renaming a model', () => {
  it('changes the top-level model alone, and nothing else of the text', () => {
    const text =
      ' {"a":{"model":"in"}, "n":1e400 , "model" : "fa\\u0073t","messages":[{"model":"fast"}],"z":0.10}\n';
    assert.equal(
      String(Buffer.from(renameModel(Buffer.from(text), 'b"ig'))),
      text.replace('"fa\\u0073t"', '"b\\"ig"'),
    );
  });

  it('gives the very same bytes for the same name', () => {
    const body = Buffer.from('{"model":"x"}');
    assert.equal(renameModel(body, 'x'), body);
  });
});
