import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type TestContext, test } from 'node:test';
import { serveNode } from '../../src/serve/node.ts';
import type { TestConfig } from '../support/start-gateway.ts';
import { startUpstream } from '../support/start-upstream.ts';
import { CENT, DOLLAR, paymentIn, rawClient, type Stage, stage } from './fixture.ts';

const route = { upstream: 'api', price: '$0.01', timeout: '5s' } as const;
const streams = (over: object = {}): TestConfig['routes'] => ({
  'GET /sse': { ...route, ...over },
  'GET /sse-gate': { ...route, ...over },
  'GET /gate': { ...route, ...over },
  'GET /large/:bytes': { ...route, ...over },
});
const get = (path: string, s: Stage): string =>
  `GET ${path} HTTP/1.1\r\nHost: a\r\nx-api-key: ${s.key}\r\n\r\n`;

/** A server that begins to answer only once `begin()` was called, with an event stream. */
async function lateStream(
  t: TestContext,
): Promise<{ url: string; asked: Promise<void>; begin(): void }> {
  const { promise: begun, resolve: begin } = Promise.withResolvers<void>();
  const { promise: asked, resolve: ask } = Promise.withResolvers<void>();
  const server = createServer(async (_request, response) => {
    ask();
    await begun;
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    response.write('data: 1\n\n');
    response.end('data: [DONE]\n\n');
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, asked, begin };
}

test('with drain, a client that leaves before a stream begins still pays for it', async (t) => {
  const upstream = await lateStream(t);
  const s = await stage(t, upstream, {
    routes: { 'GET /sse': { ...route, onAbort: 'drain' } },
  });
  const client = await rawClient(t, s.gateway.url);
  client.send(get('/sse', s));
  await upstream.asked;
  const closed = once(client.socket, 'close');
  client.socket.destroy();
  await closed;
  // The gateway has seen the client leave once it has answered others after it.
  for (let i = 0; i < 5; i++) assert.equal((await s.call('/nothing')).status, 404);
  upstream.begin();
  await paymentIn(s.gateway.ledger, 'settled');
  assert.equal(await s.balance(), DOLLAR - CENT);
});

test('an answer in the web form that is given up before it was read ends its payment and its upstream', async (t) => {
  const upstream = await startUpstream(t);
  const s = await stage(t, upstream, { limits: { concurrency: 1 }, routes: streams() });
  const response = await s.gateway.gateway.fetch(
    new Request('http://gateway.example/sse-gate', { headers: { 'x-api-key': s.key } }),
  );
  assert.equal(response.status, 200);
  await response.body?.cancel();
  await paymentIn(s.gateway.ledger, 'settled');
  await upstream.aborted(1);
  assert.equal((await s.call('/nothing')).status, 404);
});

test('a client that never reads its answer loses its place and pays, instead of holding both for ever', async (t) => {
  const upstream = await startUpstream(t);
  const s = await stage(t, upstream, { routes: streams() });
  const server = await serveNode(s.gateway.gateway, {
    ...{ host: '127.0.0.1', port: 0, headerBytes: 16_384, requestMs: 5_000, stallMs: 100 },
    ...{ trustProxy: [], publicUrl: null },
  });
  t.after(() => server.close());
  const client = await rawClient(t, server.url);
  client.socket.pause();
  client.send(get('/large/50000000', s));
  await paymentIn(s.gateway.ledger, 'settled');
  await upstream.aborted(1);
  assert.equal(await s.balance(), DOLLAR - CENT);
});

test('a client that reads slowly until the time of the route is up does not get what it read for free', async (t) => {
  const upstream = await startUpstream(t);
  const s = await stage(t, upstream, { routes: streams({ timeout: '1s' }) });
  const client = await rawClient(t, s.gateway.url);
  client.socket.pause();
  client.send(get('/large/50000000', s));
  await upstream.aborted(1);
  client.socket.resume();
  const received = await client.rest();
  assert.ok(received.length > 100_000 && received.length < 50_000_000);
  await paymentIn(s.gateway.ledger, 'settled');
  assert.equal(await s.balance(), DOLLAR - CENT);
});

for (const onAbort of ['capture-measured', 'drain', 'release'] as const)
  test(`a client that leaves in the middle of a stream ends its payment once: onAbort ${onAbort}`, async (t) => {
    const upstream = await startUpstream(t);
    const s = await stage(t, upstream, {
      limits: { concurrency: 1 },
      routes: streams({ onAbort }),
    });
    const client = await rawClient(t, s.gateway.url);
    client.send(get('/sse-gate', s));
    await client.until(/data: 1/);
    client.socket.destroy();
    if (onAbort === 'drain') upstream.open();
    else await upstream.aborted(1);
    await paymentIn(s.gateway.ledger, onAbort === 'release' ? 'released' : 'settled');
    assert.equal(await s.balance(), onAbort === 'release' ? DOLLAR : DOLLAR - CENT);
    assert.equal((await s.call('/nothing')).status, 404);
  });

test('a client that leaves before its body is complete holds nothing', async (t) => {
  const upstream = await startUpstream(t);
  const s = await stage(t, upstream, { limits: { concurrency: 1 } });
  const client = await rawClient(t, s.gateway.url);
  const head = `POST /x HTTP/1.1\r\nHost: a\r\nx-api-key: ${s.key}\r\nContent-Length: 10\r\n`;
  client.send(`${head}Expect: 100-continue\r\n\r\n`);
  await client.until(/100 Continue/);
  client.send('12345');
  client.socket.destroySoon();
  let status = 503;
  while (status === 503) status = (await s.call('/nothing')).status;
  assert.equal(status, 404);
  assert.deepEqual(await s.gateway.ledger.listPayments({ limit: 1 }), []);
});

test('a body that is sent slowly does not make its payment look older than it is', async (t) => {
  const upstream = await startUpstream(t);
  let nowMs = Date.now();
  const s = await stage(
    t,
    upstream,
    { routes: { '* /echo': route } },
    { clock: { now: () => nowMs } },
  );
  const client = await rawClient(t, s.gateway.url);
  const head = `POST /echo HTTP/1.1\r\nHost: a\r\nx-api-key: ${s.key}\r\nContent-Length: 5\r\n`;
  client.send(`${head}Expect: 100-continue\r\n\r\n`);
  await client.until(/100 Continue/);
  nowMs += 29_000;
  client.send('hello');
  await client.until(/"body":"hello"/);
  const payment = await paymentIn(s.gateway.ledger, 'settled');
  assert.equal(payment.createdAtMs, nowMs);
});

test('when the first of two requests with one Idempotency-Key leaves, the other never runs the work a second time', async (t) => {
  const upstream = await startUpstream(t);
  const s = await stage(t, upstream, { routes: streams() });
  const headers = { 'idempotency-key': 'one' };
  const abort = new AbortController();
  const first = s.call('/gate', { headers, signal: abort.signal });
  await upstream.seen('/gate', 1);
  const second = s.call('/gate', { headers });
  abort.abort();
  await assert.rejects(first);
  await upstream.aborted(1);
  assert.equal((await second).status, 410);
  assert.equal((await s.call('/gate', { headers })).status, 410);
  assert.equal(upstream.calls('/gate'), 1);
  assert.equal(await s.balance(), DOLLAR);
});

test('a request that waits for a connection to the upstream ends when its time is up, not when the connection is free', async (t) => {
  const upstream = await startUpstream(t);
  const s = await stage(t, upstream, {
    upstreams: { api: { url: upstream.url, connections: 1 } },
    routes: { 'GET /gate': route, 'GET /echo': { ...route, timeout: '1s' } },
  });
  const slow = s.call('/gate');
  await upstream.seen('/gate', 1);
  const waited = await s.call('/echo');
  assert.equal(waited.status, 504);
  assert.equal(waited.headers.get('x-payment-state'), 'released');
  upstream.open();
  assert.equal((await slow).status, 200);
  assert.equal(upstream.calls('/echo'), 0);
  assert.equal(await s.balance(), DOLLAR - CENT);
});
