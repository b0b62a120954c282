/** Clients that would keep a gateway from stopping, and requests that a stop must not cut off. */

import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import type { Gateway } from '../../src/gateway.ts';
import { type RunningServer, serveNode } from '../../src/serve/node.ts';
import { startUpstream } from '../support/start-upstream.ts';
import { rawClient, stage } from './fixture.ts';

/** Longer than any test may take: a stop that needs its grace fails by the test's time-out. */
const GRACE_MS = 600_000;
const timeout = 20_000;

async function server(t: TestContext): Promise<RunningServer> {
  const { gateway } = await stage(t, await startUpstream(t));
  return await serve(t, gateway.gateway);
}

async function serve(t: TestContext, gateway: Gateway): Promise<RunningServer> {
  const running = await serveNode(gateway, {
    ...{ host: '127.0.0.1', port: 0, headerBytes: 16_384, requestMs: 30_000 },
    ...{ trustProxy: [], publicUrl: null },
  });
  t.after(() => running.close());
  return running;
}

/** A gateway that sells `/gate`, which answers only once it is told to. */
async function patient(t: TestContext, onAbort: 'drain' | 'release' = 'release') {
  const upstream = await startUpstream(t);
  const routes = { '* /gate': { upstream: 'api', price: '$0.01', onAbort } } as const;
  const { gateway, key } = await stage(t, upstream, { routes });
  const state = async () => (await gateway.ledger.listPayments({ limit: 1 }))[0]?.state;
  const headers = { 'x-api-key': key };
  const call = () => gateway.gateway.fetch(new Request(`${gateway.url}/gate`, { headers }));
  return { ...gateway, upstream, headers, call, state };
}

test('a connection that is kept alive after its answer does not hold up the stop', {
  timeout,
}, async (t) => {
  const running = await server(t);
  const client = await rawClient(t, running.url);
  client.send('GET /nothing HTTP/1.1\r\nHost: a\r\n\r\n');
  await client.until(/route_not_found/);
  await running.close(GRACE_MS);
});

test('a connection on which nothing was ever sent does not hold up the stop', {
  timeout,
}, async (t) => {
  const running = await server(t);
  await rawClient(t, running.url);
  await running.close(GRACE_MS);
});

test('a connection on which half a request head was sent does not hold up the stop', {
  timeout,
}, async (t) => {
  const running = await server(t);
  const client = await rawClient(t, running.url);
  client.send('GET /nothing HTTP/1.1\r\nHost: a\r\n\r\n');
  await client.until(/route_not_found/);
  client.send('GET /nothing HTTP/1.1\r\nHo');
  await running.close(GRACE_MS);
});

test('a request that runs when the server stops gets its whole answer', { timeout }, async (t) => {
  const { upstream, gateway, headers } = await patient(t);
  const running = await serve(t, gateway);
  const answered = fetch(`${running.url}/gate`, { headers });
  await upstream.seen('/gate', 1);
  const closed = running.close(GRACE_MS);
  upstream.open();
  const response = await answered;
  assert.equal(response.status, 200);
  assert.match(await response.text(), /"url":"\/gate"/);
  await closed;
});

test('a gateway that is closed waits for the money of what runs, and takes nothing new', {
  timeout,
}, async (t) => {
  const { upstream, gateway, call, state } = await patient(t);
  const running = call();
  await upstream.seen('/gate', 1);
  const closed = gateway.close(GRACE_MS);
  assert.equal((await call()).status, 503);
  upstream.open();
  assert.equal((await running).status, 200);
  await closed;
  assert.equal(await state(), 'settled');
});

test('a payment whose client has left is ended before a closing gateway closes its ledger', {
  timeout,
}, async (t) => {
  const { upstream, gateway, url, headers, state } = await patient(t, 'drain');
  const client = await rawClient(t, url);
  client.send(`GET /gate HTTP/1.1\r\nHost: a\r\nX-API-Key: ${headers['x-api-key']}\r\n\r\n`);
  await upstream.seen('/gate', 1);
  client.socket.destroy();
  const closed = gateway.close(GRACE_MS);
  upstream.open();
  await closed;
  assert.equal(await state(), 'settled');
});

test('what still runs when the grace is over is cut off, and its hold is given back', {
  timeout,
}, async (t) => {
  const { upstream, gateway, call, state } = await patient(t);
  const running = call();
  await upstream.seen('/gate', 1);
  await gateway.close(0);
  assert.equal((await running).status, 502);
  assert.equal(await state(), 'released');
});
