import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type IncomingMessage, request, type ServerResponse } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { type TestContext, test } from 'node:test';
import Anthropic from '@anthropic-ai/sdk';
import OpenAI from 'openai';
import { parseUsd } from '../../src/core/money.ts';
import type { Receipt } from '../../src/core/receipt.ts';
import type { TestConfig } from '../support/start-gateway.ts';
import { type MeteredStage, meteredStage } from './metered-stage.ts';

const CHAT = {
  model: 'gpt-4o-mini',
  messages: [{ role: 'user' as const, content: 'Say hello to the whole world, please.' }],
  max_tokens: 200,
};
const STREAM = { ...CHAT, stream: true } as const;

/** The receipt that ends an event stream; null when it does not end so. */
function receiptIn(text: string): Receipt | null {
  const data = /\n\nevent: payment-receipt\ndata: (\{.*\})\n\n$/.exec(text)?.[1];
  return data === undefined ? null : (JSON.parse(data) as Receipt);
}

interface Read {
  readonly headers: IncomingMessage['headers'];
  readonly text: string;
  readonly trailers: Record<string, string | undefined>;
  readonly isWhole: boolean;
}

/** What a client of `node:http` gets, trailers included. */
async function read(s: MeteredStage, path: string, body: unknown, conduct = {}): Promise<Read> {
  const sent = request(s.gateway.url + path, {
    method: 'POST',
    headers: {
      'content-type': 'application/json',
      'x-api-key': s.key,
      'x-test-conduct': JSON.stringify(conduct),
    },
  });
  sent.end(JSON.stringify(body));
  const [response] = (await once(sent, 'response')) as [IncomingMessage];
  const chunks: Buffer[] = [];
  response.on('data', (chunk: Buffer) => chunks.push(chunk)).on('error', () => {});
  await new Promise((resolve) => response.on('close', resolve));
  const { headers, trailers, complete: isWhole } = response;
  return { headers, trailers, isWhole, text: Buffer.concat(chunks).toString() };
}

/** Usage lines that multiply and add up to the cost, rounding included. */
function assertAddsUp({ usage, cost }: Receipt): void {
  const nano = (text: string): bigint => BigInt(Math.round(Number(text) * 1e9));
  for (const { count, price, cost: part } of usage)
    assert.equal(BigInt(count) * nano(price), nano(part));
  assert.equal(
    usage.reduce((sum, line) => sum + nano(line.cost), 0n),
    nano(cost),
  );
}

test('the last event of a paid event stream is its receipt, written after its money, and the trailers say the same', async (t) => {
  const s = await meteredStage(t);
  const { headers, text, trailers } = await read(s, '/v1/chat/completions', STREAM);
  const receipt = receiptIn(text);
  assert.ok(receipt);
  assert.match(text, /data: \[DONE\]\n\nevent: payment-receipt\n/);
  assert.equal(receipt.state, 'settled');
  assert.equal(receipt.id, headers['x-payment-id']);
  assertAddsUp(receipt);
  assert.equal(await s.balance(), parseUsd('$10') - parseUsd(`$${receipt.cost}`));
  const { type, ...shown } = receipt as Receipt & { type: string };
  assert.equal(type, 'payment-receipt');
  assert.deepEqual(shown, await s.receipt(receipt.id));
  assert.equal(headers.trailer, 'X-Payment-Cost, X-Payment-State');
  assert.deepEqual(
    { ...trailers },
    { 'x-payment-cost': receipt.cost, 'x-payment-state': 'settled' },
  );
});

test('the helpers of the official clients that follow a stream to its end pass over the receipt', async (t) => {
  const s = await meteredStage(t);
  const openai = new OpenAI({ apiKey: s.key, baseURL: `${s.gateway.url}/v1`, maxRetries: 0 });
  const chat = await openai.chat.completions.stream(CHAT).finalChatCompletion();
  assert.equal(chat.choices[0]?.message.content, 'w0 w1 w2 w3 w4 w5');
  const seen: string[] = [];
  for await (const event of await openai.responses.create({
    ...{ model: 'gpt-4o-mini', input: 'Hello', stream: true },
  }))
    seen.push(event.type);
  assert.deepEqual(seen.slice(-2), ['response.completed', 'payment-receipt']);
  const anthropic = new Anthropic({ apiKey: s.key, baseURL: s.gateway.url, maxRetries: 0 });
  const ask = { model: 'claude-test', max_tokens: 100, messages: [...CHAT.messages] };
  const message = await anthropic.messages.stream(ask).finalMessage();
  assert.deepEqual(message.content, [{ type: 'text', text: 'w0 w1 w2 w3 w4 w5' }]);
  const types: string[] = [];
  for await (const event of await anthropic.messages.create({ ...ask, stream: true }))
    types.push(event.type);
  assert.ok(types.includes('message_stop'));
  assert.equal((await s.gateway.ledger.listPayments({ limit: 9, state: 'settled' })).length, 4);
});

for (const [name, conduct] of [
  ['is compressed', { gzip: true }],
  ['ends within an event', { cutAfterEvents: 3 }],
] as const)
  test(`an event stream that ${name} gets no receipt event`, async (t) => {
    const s = await meteredStage(t);
    const { text, headers } = await read(s, '/v1/chat/completions', STREAM, conduct);
    assert.doesNotMatch(text, /payment-receipt/);
    const { state } = await s.receipt(String(headers['x-payment-id']));
    assert.equal(state, name === 'is compressed' ? 'settled' : 'released');
  });

test('a client of HTTP/1.0 gets no trailers, and the receipt all the same', async (t) => {
  const s = await meteredStage(t);
  const { port } = new URL(s.gateway.url);
  const socket = connect(Number(port), '127.0.0.1');
  const body = JSON.stringify(STREAM);
  socket.write(
    `POST /v1/chat/completions HTTP/1.0\r\nHost: a\r\nx-api-key: ${s.key}\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
  );
  let text = '';
  for await (const chunk of socket) text += chunk;
  assert.doesNotMatch(text, /trailer|transfer-encoding/i);
  assert.ok(receiptIn(text), text);
});

test('in the web-standard form a stream ends with its receipt too', async (t) => {
  const s = await meteredStage(t);
  const response = await s.gateway.gateway.fetch(
    new Request('http://gateway.example/v1/chat/completions', {
      ...{ method: 'POST', body: JSON.stringify(STREAM) },
      headers: { 'x-api-key': s.key, 'content-type': 'application/json' },
    }),
  );
  assert.equal(response.headers.get('trailer'), null);
  assert.ok(receiptIn(await response.text()));
});

/** A gateway before a server of one's own, whose units nothing bounds but the price. */
async function openStage(
  t: TestContext,
  answer: (response: ServerResponse) => void,
  price: Extract<NonNullable<TestConfig['routes']>[string], object>['price'],
): Promise<MeteredStage> {
  const server = createServer((asked, response) => {
    asked.resume().on('end', () => answer(response));
    response.on('error', () => {});
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const route = { upstream: 'own', price } as const;
  return await meteredStage(t, {
    upstreams: { own: { url } },
    routes: { 'POST /run': route, 'POST /left': { ...route, onAbort: 'drain' } },
  });
}

/** Writes until nobody takes it any more. */
function writeOn(response: ServerResponse, pieces: readonly (string | Buffer)[]): void {
  let at = 0;
  const more = (): void => {
    while (!response.destroyed && response.write(pieces[at++ % pieces.length]));
    if (!response.destroyed) response.once('drain', more);
  };
  more();
}

test('an event stream that passes its hold ends with a reason and a receipt of all that was held', async (t) => {
  const s = await openStage(
    t,
    (response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      writeOn(response, ['data: {"text":"some', ' more words"}\n\n']);
    },
    { per: { message: '$0.0001' }, max: '$0.05' },
  );
  const { text, isWhole } = await read(s, '/run', {});
  assert.ok(isWhole);
  assert.match(text, /"\}\n\nevent: error\ndata: \{"type":"error","error":\{.*hold_reached/);
  const receipt = receiptIn(text);
  assert.equal(receipt?.cost, '0.05');
  assert.equal(await s.balance(), parseUsd('$9.95'));
  const messages = receipt?.usage.find(({ unit }) => unit === 'messages')?.count ?? 0;
  assert.ok(messages > 500 && messages < 20_000, `${messages} messages`);
});

test('the official clients show why a stream ended at its hold', async (t) => {
  const s = await openStage(
    t,
    (response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      const message = { type: 'message_start', message: { usage: {} }, choices: [] };
      writeOn(response, [`event: message_start\ndata: ${JSON.stringify(message)}\n\n`]);
    },
    { per: { byteOut: '$0.01/1k' }, max: '$0.05' },
  );
  const openai = new OpenAI({ apiKey: s.key, baseURL: s.gateway.url, maxRetries: 0 });
  const asked = openai.post('/run', { body: {}, stream: true });
  await assert.rejects(async () => {
    for await (const _ of (await asked) as AsyncIterable<unknown>);
  }, /longer than its quote allows/);
  const anthropic = new Anthropic({ apiKey: s.key, baseURL: s.gateway.url, maxRetries: 0 });
  const other = anthropic.post('/run', { body: {}, stream: true });
  await assert.rejects(async () => {
    for await (const _ of (await other) as AsyncIterable<unknown>);
  }, /longer than its quote allows/);
});

test('any other stream that passes its hold breaks off, and what was held is captured', async (t) => {
  const s = await openStage(
    t,
    (response) => {
      response.writeHead(200, { 'content-type': 'application/octet-stream' });
      writeOn(response, [Buffer.alloc(10_000, 'x')]);
    },
    { per: { byteOut: '$0.05/1M' }, max: '$0.05' },
  );
  const { headers, text, isWhole, trailers } = await read(s, '/run', {});
  assert.equal(isWhole, false);
  assert.ok(text.length >= 1_000_000 && text.length < 1_300_000, `${text.length} bytes`);
  assert.deepEqual({ ...trailers }, {});
  const receipt = await s.receipt(String(headers['x-payment-id']));
  assert.deepEqual([receipt.state, receipt.cost], ['settled', '0.05']);
});

test('compute that goes on and on ends at the hold while anything passes, also when its reader has left', async (t) => {
  const s = await openStage(
    t,
    (response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      const timer = setInterval(() => response.write(': ping\n\n'), 5);
      response.on('close', () => clearInterval(timer));
    },
    { per: { computeMs: '$0.0001' }, max: '$0.02' },
  );
  const { text } = await read(s, '/run', {});
  assert.equal(receiptIn(text)?.cost, '0.02');
  const left = request(`${s.gateway.url}/left`, {
    method: 'POST',
    headers: { 'x-api-key': s.key },
  });
  left.on('error', () => {}).end('{}');
  const [response] = (await once(left, 'response')) as [IncomingMessage];
  await once(response, 'data');
  left.destroy();
  const id = String(response.headers['x-payment-id']);
  while ((await s.receipt(id)).state === 'running');
  assert.deepEqual((await s.receipt(id)).cost, '0.02');
});
