import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import OpenAI, { toFile } from 'openai';
import { request } from 'undici';
import { dialectFor } from '../../src/upstreams/index.ts';
import { type Conduct, TEST_TOKENIZER } from '../support/model-conduct.ts';
import { type ModelServer, startModelServer } from '../support/model-server.ts';
import { passThrough } from './dialect-request.ts';

const MESSAGES = [{ role: 'user' as const, content: 'How are you?' }];
const TOOL = {
  type: 'function' as const,
  function: { name: 'weather', parameters: { type: 'object', properties: {} } },
};

function clientOf(server: ModelServer): OpenAI {
  return new OpenAI({ apiKey: 'unused', baseURL: `${server.url}/v1`, maxRetries: 0 });
}

/** What the dialect makes of the last request that the official client sent, and what the server answers to it. */
async function metered(server: ModelServer, conduct: Conduct = {}) {
  const sent = server.requests.at(-1);
  assert.ok(sent);
  const headers = ['content-type', String(sent.headers['content-type'])];
  const reading = dialectFor(sent.path, null, { tokenizer: TEST_TOKENIZER }).read({
    ...{ method: 'POST', path: sent.path, query: '', headers },
    ...{ body: sent.body, outputTokensMax: 1_000 },
  });
  // Not fetch, which undoes compression.
  const answer = await request(server.url + sent.path, {
    method: 'POST',
    headers: { ...Object.fromEntries([headers]), 'x-test-conduct': JSON.stringify(conduct) },
    body: reading.body,
  });
  const chunks: Buffer[] = [];
  try {
    for await (const chunk of answer.body) chunks.push(chunk);
  } catch {
    // Cut off, as it was asked for.
  }
  const bytes = Buffer.concat(chunks);
  const head = Object.entries(answer.headers).flatMap(([name, value]) => [name, String(value)]);
  return { reading, ...passThrough(reading, bytes, [7, 100, 101, 500], head), bytes };
}

describe('the official OpenAI client and the model server', () => {
  it('talk in chat completions, whole and streamed, with tools', async (t) => {
    const server = await startModelServer(t);
    const client = clientOf(server);
    const whole = await client.chat.completions.create({ model: 'gpt-4o', messages: MESSAGES });
    assert.equal(whole.choices[0]?.message.content, 'w0 w1 w2 w3 w4 w5');
    assert.equal(whole.usage?.completion_tokens, 6);
    assert.deepEqual((await metered(server)).measured.units.outputTokens, 6);

    const stream = await client.chat.completions.create({
      ...{ model: 'gpt-4o', messages: MESSAGES, stream: true, tools: [TOOL] },
      stream_options: { include_usage: true },
    });
    let text = '';
    let stated = 0;
    for await (const { choices, usage } of stream) {
      text += choices[0]?.delta.content ?? '';
      stated = usage?.completion_tokens ?? stated;
    }
    assert.deepEqual([text, stated], ['w0 w1 w2 w3 w4 w5', 6]);

    server.conduct = { callsTool: true };
    const called = await client.chat.completions.create({
      ...{ model: 'gpt-4o', messages: MESSAGES, tools: [TOOL] },
    });
    const call = called.choices[0]?.message.tool_calls?.[0];
    assert.equal(call?.type === 'function' && call.function.arguments, '{"city":"Paris"}');
  });

  it('talk in responses, embeddings, images, audio and models', async (t) => {
    const server = await startModelServer(t);
    const client = clientOf(server);
    const response = await client.responses.create({ model: 'gpt-4o', input: 'hi' });
    assert.equal(response.output_text, 'w0 w1 w2 w3 w4 w5');
    assert.equal((await metered(server)).measured.by, 'upstream');
    const types: string[] = [];
    for await (const { type } of await client.responses.create({
      ...{ model: 'gpt-4o', input: 'hi', stream: true },
    }))
      types.push(type);
    assert.equal(types.at(-1), 'response.completed');
    assert.equal((await metered(server)).measured.units.outputTokens, 6);

    const embedded = await client.embeddings.create({ model: 'e', input: ['one two', 'three'] });
    assert.equal(embedded.data.length, 2);
    const { measured, reading } = await metered(server);
    assert.deepEqual(measured.units, { inputTokens: 4, embeddingTokens: 4 });
    assert.ok(Number(reading.work.bounds.embeddingTokens) >= 4);

    const images = await client.images.generate({ model: 'gpt-image-1', prompt: 'a cat', n: 2 });
    assert.equal(images.data?.length, 2);
    assert.equal((await metered(server)).measured.units.images, 2);
    const image = await toFile(Buffer.alloc(10), 'a.png', { type: 'image/png' });
    await client.images.edit({ model: 'gpt-image-1', image, prompt: 'x', n: 2 });
    assert.equal((await metered(server)).measured.units.images, 2);

    const speech = await client.audio.speech.create({
      model: 'tts-1',
      voice: 'alloy',
      input: 'hello',
    });
    assert.equal((await speech.arrayBuffer()).byteLength, 4_800);
    assert.equal((await metered(server)).measured.units.audioSeconds, 1);
    const file = await toFile(Buffer.concat([Buffer.from('ID3'), Buffer.alloc(4_997)]), 'a.mp3');
    const heard = await client.audio.transcriptions.create({ model: 'whisper-1', file });
    assert.equal(heard.text, 'w0 w1');
    assert.equal((await metered(server)).measured.units.audioSeconds, 3);
    assert.equal((await client.models.list()).data[0]?.id, 'gpt-4o');
  });

  it('refuse as the real one does', async (t) => {
    const server = await startModelServer(t);
    const client = clientOf(server);
    await assert.rejects(client.chat.completions.create({ model: 'gpt-4o', messages: [] }), /400/);
    server.conduct = { status: 429 };
    await assert.rejects(client.models.list(), OpenAI.RateLimitError);
  });
});

describe('the model server behaves as asked, and the meter is right about it', () => {
  const ask = (more: object = {}) => ({ model: 'gpt-4o', messages: MESSAGES, ...more });

  for (const [name, conduct, expected] of [
    ['says no usage', { usage: 'none' }, { by: 'count', outputTokens: 6 }],
    ['lies about usage', { usage: 'false' }, { by: 'count', outputTokens: 6 }],
    ['states usage twice', { usage: 'twice' }, { by: 'upstream', outputTokens: 6 }],
    ['breaks off', { cutAfterEvents: 4 }, { by: 'count', outputTokens: 3 }],
    ['compresses', { gzip: true }, { by: 'upstream', outputTokens: 6 }],
    ['ends lines with CRLF', { lineEnd: '\r\n' }, { by: 'upstream', outputTokens: 6 }],
    ['ends lines with CR', { lineEnd: '\r' }, { by: 'upstream', outputTokens: 6 }],
    ['splits anywhere', { pieceBytes: 3 }, { by: 'upstream', outputTokens: 6 }],
    ['reasons aloud', { reasoningWords: 5 }, { by: 'upstream', outputTokens: 11 }],
    [
      'reasons aloud, unstated',
      { reasoningWords: 5, usage: 'none' },
      { by: 'count', outputTokens: 10 },
    ],
    ['writes a lot', { words: 5_000 }, { by: 'upstream', outputTokens: 1_000 }],
    [
      'sends payment headers',
      { headers: { 'x-payment-cost': '0' } },
      { by: 'upstream', outputTokens: 6 },
    ],
  ] as const satisfies readonly (readonly [
    string,
    Conduct,
    { by: string; outputTokens: number },
  ])[])
    it(`when it ${name}`, async (t) => {
      const server = await startModelServer(t);
      const body = JSON.stringify(ask({ stream: true }));
      const headers = { 'content-type': 'application/json' };
      const first = await fetch(`${server.url}/v1/chat/completions`, {
        method: 'POST',
        body,
        headers,
      });
      await first.text();
      const { measured, out } = await metered(server, conduct);
      assert.deepEqual({ by: measured.by, outputTokens: measured.units.outputTokens }, expected);
      if (!('gzip' in conduct)) assert.doesNotMatch(out.toString(), /prompt_tokens/);
    });
});
