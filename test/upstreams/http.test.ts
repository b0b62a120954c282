import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type TestContext, test } from 'node:test';
import { ClientGone, UpstreamFailed, UpstreamTimeout } from '../../src/core/errors.ts';
import { findHeader, isStream } from '../../src/core/exchange.ts';
import type { Upstream, UpstreamRequest } from '../../src/core/ports/upstream.ts';
import { httpUpstream } from '../../src/upstreams/http.ts';

type Serve = (request: IncomingMessage, response: ServerResponse) => void;

async function upstreamFor(t: TestContext, serve: Serve, over: object = {}): Promise<Upstream> {
  const server = createServer(serve);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const upstream = httpUpstream({
    url: `http://127.0.0.1:${port}/base/`,
    headers: { Authorization: 'Bearer upstream-secret' },
    connections: 4,
    connectMs: 1_000,
    headMs: 1_000,
    idleMs: 1_000,
    ...over,
  });
  t.after(async () => {
    await upstream.close();
    server.closeAllConnections();
    server.close();
  });
  return upstream;
}

function requestFor(over: Partial<UpstreamRequest> = {}): UpstreamRequest {
  return {
    method: 'GET',
    path: '/x?a=1',
    headers: [],
    body: null,
    signal: new AbortController().signal,
    bufferBytes: 1_000,
    timeoutMs: 5_000,
    ...over,
  };
}

test("the matched path goes behind the base path, with the operator's credential in place of the client's", async (t) => {
  const upstream = await upstreamFor(t, (request, response) => {
    response.end(JSON.stringify({ url: request.url, headers: request.headers }));
  });
  const answer = await upstream.send(
    requestFor({ headers: ['authorization', 'Bearer mine', 'x-a', '1'] }),
  );
  assert.ok(!isStream(answer.body));
  const seen = JSON.parse(Buffer.from(answer.body).toString());
  assert.equal(seen.url, '/base/x?a=1');
  assert.equal(seen.headers.authorization, 'Bearer upstream-secret');
  assert.equal(seen.headers['x-a'], '1');
});

test('hop-by-hop headers and payment headers of the upstream never reach the client', async (t) => {
  const upstream = await upstreamFor(t, (_request, response) => {
    response.setHeader('Connection', 'keep-alive, x-secret-hop');
    response.setHeader('X-Secret-Hop', '1');
    response.setHeader('PAYMENT-RESPONSE', 'forged');
    response.setHeader('Settlement-Overrides', '{"amount":"0"}');
    response.setHeader('X-Kept', 'yes');
    response.setHeader('Set-Cookie', ['a=1', 'b=2']);
    response.end('ok');
  });
  const { headers } = await upstream.send(requestFor());
  assert.equal(findHeader(headers, 'x-kept'), 'yes');
  assert.equal(headers.filter((name) => name === 'set-cookie').length, 2);
  for (const name of [
    'connection',
    'keep-alive',
    'x-secret-hop',
    'payment-response',
    'settlement-overrides',
  ])
    assert.equal(findHeader(headers, name), undefined, name);
});

test('an answer up to the buffer size is whole, a longer one and an event stream are streams', async (t) => {
  const upstream = await upstreamFor(t, (request, response) => {
    if (request.url?.includes('sse')) response.setHeader('content-type', 'text/event-stream');
    response.end('x'.repeat(request.url?.includes('long') ? 5_000 : 1_000));
  });
  const short = await upstream.send(requestFor());
  assert.ok(!isStream(short.body) && short.body.length === 1_000);
  for (const path of ['/long', '/sse']) {
    const { body } = await upstream.send(requestFor({ path }));
    assert.ok(isStream(body), path);
    let bytes = 0;
    for await (const chunk of body) bytes += chunk.length;
    assert.equal(bytes, path === '/long' ? 5_000 : 1_000);
  }
});

test('a reset before the head, a reset in a body and a closed port are failures', async (t) => {
  const upstream = await upstreamFor(t, (request, response) => {
    if (request.url?.includes('body')) {
      response.write('x'.repeat(10));
      setImmediate(() => response.destroy());
    } else request.socket.destroy();
  });
  await assert.rejects(upstream.send(requestFor()), UpstreamFailed);
  await assert.rejects(upstream.send(requestFor({ path: '/body' })), UpstreamFailed);
  const nobody = httpUpstream({
    url: 'http://127.0.0.1:1',
    headers: {},
    ...{ connections: 1, connectMs: 1_000, headMs: 1_000, idleMs: 1_000 },
  });
  await assert.rejects(nobody.send(requestFor()), UpstreamFailed);
  await nobody.close();
});

test('a broken stream throws for its reader instead of ending', async (t) => {
  const upstream = await upstreamFor(t, (_request, response) => {
    response.setHeader('content-type', 'text/event-stream');
    response.write('data: 1\n\n');
    setImmediate(() => response.destroy());
  });
  const { body } = await upstream.send(requestFor());
  assert.ok(isStream(body));
  await assert.rejects(async () => {
    for await (const _chunk of body);
  }, UpstreamFailed);
});

test('a stream that breaks before anybody reads it harms nobody, and its reader learns of it', async (t) => {
  let broken: (() => void) | undefined;
  const upstreamBroken = new Promise<void>((resolve) => {
    broken = resolve;
  });
  const upstream = await upstreamFor(t, (_request, response) => {
    response.on('close', () => broken?.());
    response.setHeader('content-type', 'text/event-stream');
    response.write('data: 1\n\n');
    setImmediate(() => response.destroy());
  });
  const { body } = await upstream.send(requestFor());
  await upstreamBroken;
  for (let turn = 0; turn < 10; turn++) await new Promise((resolve) => setImmediate(resolve));
  assert.ok(isStream(body));
  await assert.rejects(async () => {
    for await (const _chunk of body);
  }, UpstreamFailed);
});

test("an upstream that never answers, or never ends, is a time-out by the route's limit", async (t) => {
  const upstream = await upstreamFor(t, (request, response) => {
    if (request.url?.includes('body')) response.write('x');
  });
  await assert.rejects(upstream.send(requestFor({ timeoutMs: 50 })), UpstreamTimeout);
  await assert.rejects(
    upstream.send(requestFor({ timeoutMs: 50, path: '/body' })),
    UpstreamTimeout,
  );
});

test("the client's abort is passed on: the upstream sees its connection close", async (t) => {
  const client = new AbortController();
  let closed: (() => void) | undefined;
  const upstreamClosed = new Promise<void>((resolve) => {
    closed = resolve;
  });
  const upstream = await upstreamFor(t, (_request, response) => {
    response.on('close', () => closed?.());
    client.abort();
  });
  await assert.rejects(upstream.send(requestFor({ signal: client.signal })), ClientGone);
  await upstreamClosed;
  await assert.rejects(upstream.send(requestFor({ signal: client.signal })), ClientGone);
});

test('a slow reader holds the upstream back instead of filling memory', async (t) => {
  const total = 64 * 1024 * 1024;
  let sent = 0;
  const upstream = await upstreamFor(t, (_request, response) => {
    const chunk = Buffer.alloc(256 * 1024);
    const pump = (): void => {
      while (sent < total) {
        sent += chunk.length;
        if (!response.write(chunk)) return void response.once('drain', pump);
      }
      response.end();
    };
    pump();
  });
  const { body } = await upstream.send(requestFor());
  assert.ok(isStream(body));
  const reader = body[Symbol.asyncIterator]();
  await reader.next();
  await new Promise((resolve) => setImmediate(resolve));
  const ahead = sent;
  assert.ok(ahead < total / 2, `the upstream ran ${ahead} bytes ahead of its reader`);
  let read = 1;
  for (let next = await reader.next(); !next.done; next = await reader.next())
    read += next.value.length;
  assert.equal(sent, total);
  assert.ok(read > total / 2);
});
