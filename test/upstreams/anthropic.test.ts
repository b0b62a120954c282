import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { bodyOf, CAP, JSON_ANSWER, passThrough, read, refusalOf, sse } from './dialect-request.ts';

const PATH = '/v1/messages';
const ask = (more: object = {}) => ({
  ...{ model: 'claude-sonnet-4', max_tokens: 100, messages: [{ role: 'user', content: 'hi' }] },
  ...more,
});

describe('a request for a message', () => {
  it('is limited to the cap, and refused without a limit, as the API does', () => {
    assert.equal(bodyOf(read(PATH, ask())), JSON.stringify(ask()));
    assert.equal(JSON.parse(bodyOf(read(PATH, ask({ max_tokens: 1e6 })))).max_tokens, CAP);
    assert.match(refusalOf(PATH, ask({ max_tokens: undefined })), /^max_tokens is missing/);
    assert.match(refusalOf(PATH, ask({ max_tokens: 0 })), /^max_tokens must be/);
    const thinking = { type: 'enabled', budget_tokens: CAP };
    assert.match(refusalOf(PATH, ask({ max_tokens: 9_000, thinking })), /^thinking\.budget_tokens/);
  });

  it('is refused where its cost is in the hands of the upstream', () => {
    assert.match(refusalOf(PATH, ask({ mcp_servers: [{}] })), /^mcp_servers/);
    assert.match(refusalOf(PATH, ask({ container: 'x' })), /^container/);
    assert.match(refusalOf(PATH, ask({ service_tier: 'priority' })), /^service_tier/);
    for (const type of ['code_execution_20250522', 'web_fetch_20250910', 'web_search_20250305'])
      assert.match(refusalOf(PATH, ask({ tools: [{ type, name: 'x' }] })), /^tools\[0\]\.type/);
    const file = [{ type: 'document', source: { type: 'file', file_id: 'x' } }];
    const messages = [{ role: 'user', content: file }];
    assert.match(refusalOf(PATH, ask({ messages })), /^messages\[0\]\.content\[0\]\.source/);
    assert.match(refusalOf(PATH, ask({ messages: [{ role: 'user' }] })), /^messages\[0\]\.content/);
  });

  it('may search as often as its tools and the operator allow', () => {
    const options = { webSearchesMax: 2, contextTokensMax: 500 };
    const tool = (max_uses?: number) => ({
      type: 'web_search_20250305',
      name: 'web_search',
      max_uses,
    });
    assert.match(
      refusalOf(PATH, ask({ tools: [tool()] }), options),
      /^tools\[0\]\.max_uses is missing/,
    );
    assert.match(
      refusalOf(PATH, ask({ tools: [tool(3)] }), options),
      /^tools\[0\]\.max_uses may be 2/,
    );
    const { bounds } = read(PATH, ask({ tools: [tool(2)] }), options).work;
    assert.equal(bounds.webSearches, 2);
    assert.equal(bounds.inputTokens, 1_500);
  });

  it('counts system, blocks, tools and their results as input', () => {
    const long = 'word '.repeat(500);
    const inputOf = (more: object) => Number(read(PATH, ask(more)).work.bounds.inputTokens);
    const least = inputOf({});
    const block = (content: object) => ({ messages: [{ role: 'user', content: [content] }] });
    for (const more of [
      { system: long },
      { system: [{ type: 'text', text: long }] },
      block({ type: 'text', text: long }),
      block({ type: 'tool_result', tool_use_id: 'x', content: long }),
      block({ type: 'tool_result', content: [{ type: 'text', text: long }] }),
      block({ type: 'tool_use', input: { a: long } }),
      block({ type: 'document', source: { type: 'text', data: long } }),
      { tools: [{ name: 'f', description: long, input_schema: {} }] },
    ])
      assert.ok(inputOf(more) > least + 450, JSON.stringify(more).slice(0, 60));
    const image = block({ type: 'image', source: { type: 'base64', data: 'AA==' } });
    assert.ok(inputOf(image) > 4_784);
  });
});

describe('the usage of a message', () => {
  const reading = read(PATH, ask({ system: 'w'.repeat(400) }));
  const input = {
    ...{ input_tokens: 10, cache_creation_input_tokens: 5, cache_read_input_tokens: 20 },
  };
  const start = { type: 'message_start', message: { usage: { ...input, output_tokens: 1 } } };
  const delta = (text: string) => ({
    type: 'content_block_delta',
    delta: { type: 'text_delta', text },
  });
  const end = (usage: object) => ({
    type: 'message_delta',
    delta: { stop_reason: 'end_turn' },
    usage,
  });
  const units = {
    ...{ inputTokens: 35, cachedInputTokens: 20, cacheWriteInputTokens: 5, outputTokens: 12 },
  };

  it('has its input from the start and its output, cumulative, from the last delta', () => {
    const events = [start, delta('a'), end({ output_tokens: 4 }), end({ output_tokens: 12 })];
    assert.deepEqual(passThrough(reading, sse(events)).measured, { units, by: 'upstream' });
    const again = [start, end({ ...input, output_tokens: 12 })];
    assert.deepEqual(passThrough(reading, sse(again)).measured.units, units);
  });

  it('stands in a whole answer too', () => {
    const usage = { ...input, output_tokens: 12 };
    const whole = Buffer.from(JSON.stringify({ content: [], usage }));
    assert.deepEqual(passThrough(reading, whole, [], JSON_ANSWER).measured.units, units);
  });

  it('is counted where the stream breaks off: the first output token is not all of it', () => {
    const thinking = { delta: { type: 'thinking_delta', thinking: 'abcd abcd' } };
    const tool = { delta: { type: 'input_json_delta', partial_json: '{}' } };
    const signature = { delta: { type: 'signature_delta', signature: 'x'.repeat(99) } };
    const events = [start, delta('one two'), thinking, signature, tool];
    const { measured } = passThrough(reading, sse(events));
    assert.equal(measured.by, 'count');
    assert.equal(measured.units.inputTokens, 35);
    assert.equal(measured.units.outputTokens, 5);
  });

  it('states its searches', () => {
    const usage = { output_tokens: 3, server_tool_use: { web_search_requests: 2 } };
    assert.equal(passThrough(reading, sse([start, end(usage)])).measured.units.webSearches, 2);
  });
});
