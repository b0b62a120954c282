import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { bodyOf, CAP, JSON_ANSWER, passThrough, read, refusalOf, sse } from './dialect-request.ts';

const PATH = '/v1/responses';
const ask = (more: object = {}) => ({ model: 'gpt-4o', input: 'hi', ...more });
const SEARCH = { type: 'web_search' };
const SEARCHING = { contextTokensMax: 1_000, webSearchesMax: 3 };

describe('a request for a response', () => {
  it('is limited and not kept', () => {
    const body = JSON.parse(bodyOf(read(PATH, ask())));
    assert.deepEqual(body, { ...ask(), store: false, max_output_tokens: CAP });
    assert.equal(
      JSON.parse(bodyOf(read(PATH, ask({ max_output_tokens: 1e6 })))).max_output_tokens,
      CAP,
    );
    assert.equal(JSON.parse(bodyOf(read(PATH, ask(), { allow: ['store'] }))).store, undefined);
  });

  it('is refused where its cost is in the hands of the upstream', () => {
    assert.match(refusalOf(PATH, ask({ store: true })), /^store is not served/);
    assert.match(
      refusalOf(PATH, ask({ background: true }), { allow: ['background'] }),
      /^background/,
    );
    for (const name of ['previous_response_id', 'conversation', 'prompt'])
      assert.match(refusalOf(PATH, ask({ [name]: 'x' })), new RegExp(`^${name} is not served`));
    const reference = [{ type: 'item_reference', id: 'x' }];
    assert.match(refusalOf(PATH, ask({ input: reference })), /^input\[0\]\.id/);
    const file = [{ role: 'user', content: [{ type: 'input_file', file_id: 'f' }] }];
    assert.match(refusalOf(PATH, ask({ input: file })), /^input\[0\]\.content\[0\]/);
    for (const type of ['mcp', 'file_search', 'code_interpreter', 'image_generation', 'shell'])
      assert.match(refusalOf(PATH, ask({ tools: [{ type }] }), SEARCHING), /^tools\[0\]\.type/);
    assert.match(refusalOf(PATH, ask({ tools: [SEARCH] })), /^tools\[0\]\.type/);
    assert.match(refusalOf(PATH, { model: 'm' }), /^input is missing/);
    assert.match(refusalOf(PATH, ask({ input: 5 })), /^input must be a list/);
  });

  it('is bounded by the context where the upstream keeps a part of it', () => {
    const { bounds } = read(PATH, ask({ previous_response_id: 'x' }), {
      contextTokensMax: 7_000,
    }).work;
    assert.equal(bounds.inputTokens, 7_000);
  });

  it('may search as often as the operator allows, and reads its context each time', () => {
    const reading = read(PATH, ask({ tools: [SEARCH] }), SEARCHING);
    assert.equal(JSON.parse(bodyOf(reading)).max_tool_calls, 3);
    assert.equal(reading.work.bounds.webSearches, 3);
    assert.equal(reading.work.bounds.inputTokens, 4_000);
    const few = read(PATH, ask({ tools: [SEARCH], max_tool_calls: 1 }), SEARCHING);
    assert.equal(few.work.bounds.webSearches, 1);
  });

  it('counts instructions, items, tools and their results as input', () => {
    const long = 'word '.repeat(500);
    const inputOf = (more: object) => Number(read(PATH, ask(more)).work.bounds.inputTokens);
    const least = inputOf({});
    for (const more of [
      { input: long },
      { instructions: long },
      { input: [{ role: 'user', content: [{ type: 'input_text', text: long }] }] },
      { input: [{ type: 'function_call_output', call_id: 'c', output: long }] },
      { input: [{ type: 'function_call_output', output: [{ type: 'input_text', text: long }] }] },
      { input: [{ type: 'reasoning', encrypted_content: long }] },
      { tools: [{ type: 'function', name: 'f', description: long }] },
      { text: { format: { type: 'json_schema', schema: { description: long } } } },
    ])
      assert.ok(inputOf(more) > least + 450, JSON.stringify(more).slice(0, 60));
  });
});

describe('the usage of a response', () => {
  const usage = {
    ...{ input_tokens: 30, output_tokens: 20, total_tokens: 50 },
    input_tokens_details: { cached_tokens: 10 },
    output_tokens_details: { reasoning_tokens: 5 },
  };
  const units = { inputTokens: 30, outputTokens: 20, cachedInputTokens: 10, reasoningTokens: 5 };
  const delta = (text: string) => ({ type: 'response.output_text.delta', delta: text });

  it('stands in the event that ends the stream, and in the answer', () => {
    const input = 'w'.repeat(200);
    const created = { type: 'response.created', response: { usage: null } };
    const events = [created, delta('one'), { type: 'response.completed', response: { usage } }];
    const reading = read(PATH, ask({ input, stream: true }));
    assert.deepEqual(passThrough(reading, sse(events)).measured, { units, by: 'upstream' });
    const whole = Buffer.from(JSON.stringify({ output: [], usage }));
    assert.deepEqual(passThrough(reading, whole, [], JSON_ANSWER).measured, {
      units,
      by: 'upstream',
    });
  });

  it('is read behind an output of any length', () => {
    const text = 'x'.repeat(400_000);
    const response = { output: [{ content: [{ text }] }], usage };
    const answer = sse([{ type: 'response.completed', response }]);
    const { measured } = passThrough(
      read(PATH, ask({ input: 'w'.repeat(200) })),
      answer,
      [9, 300_000],
      [...['content-type', 'text/event-stream']],
    );
    assert.deepEqual(measured, { units, by: 'upstream' });
  });

  it('counts searches, but not pages that were opened', () => {
    const call = (type: string) => ({ type: 'web_search_call', action: { type } });
    const output = [call('search'), call('open_page'), call('search')];
    const reading = read(PATH, ask({ tools: [SEARCH] }), SEARCHING);
    const whole = Buffer.from(JSON.stringify({ output, usage }));
    assert.equal(passThrough(reading, whole, [], JSON_ANSWER).measured.units.webSearches, 2);
  });

  it('is counted from the deltas where the stream breaks off', () => {
    const { units: counted, by } = passThrough(
      read(PATH, ask({ stream: true })),
      sse([delta('one two'), { type: 'response.function_call_arguments.delta', delta: '{"a"}' }]),
    ).measured;
    assert.equal(by, 'count');
    assert.equal(counted.outputTokens, 3);
  });
});
