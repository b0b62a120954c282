/** Another config without a restart: nothing is dropped, and nothing of the old one stays behind. */

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type TestContext, test } from 'node:test';
import { parseConfig } from '../../src/config.ts';
import { parseUsd } from '../../src/core/money.ts';
import { newApiKey } from '../../src/rails/prepaid/protocol.ts';
import { startGateway, type TestConfig, type TestGateway } from '../support/start-gateway.ts';
import { startUpstream, type TestUpstream } from '../support/start-upstream.ts';
import { until } from '../support/until.ts';

interface Stage {
  readonly gateway: TestGateway;
  readonly upstream: TestUpstream;
  readonly configOf: (over?: Partial<TestConfig>) => TestConfig;
  readonly key: string;
  balance(): Promise<bigint>;
  call(path: string, init?: RequestInit): Promise<Response>;
}

async function stage(t: TestContext, over: Partial<TestConfig> = {}): Promise<Stage> {
  const upstream = await startUpstream(t);
  const configOf = (more: Partial<TestConfig> = {}): TestConfig => ({
    upstreams: { api: { url: upstream.url } },
    payments: { prepaid: {} },
    routes: {
      '* /echo': { upstream: 'api', price: '$0.01' },
      'GET /gate': { upstream: 'api', price: '$0.01' },
      'GET /sse-gate': { upstream: 'api', price: '$0.02' },
    },
    ...over,
    ...more,
  });
  const gateway = await startGateway(t, configOf());
  const { id, key, prefix, secretHash } = newApiKey('live', randomBytes);
  await gateway.ledger.createKey({
    ...{ id, prefix, secretHash, mode: 'live', name: null, nowMs: Date.now() },
    ...{ topUp: parseUsd('$1000'), perDay: null, routes: null },
  });
  return {
    ...{ gateway, upstream, configOf, key },
    balance: async () => (await gateway.ledger.findKey(id))?.balance ?? 0n,
    call: (path, init = {}) =>
      fetch(gateway.url + path, { ...init, headers: { 'x-api-key': key, ...init.headers } }),
  };
}

test('200 requests at a time and a slow stream go on over 20 reloads, none is dropped', async (t) => {
  const requestsPerMinute = { ip: 1_000_000, key: 1_000_000 };
  const s = await stage(t, { limits: { requestsPerMinute } });
  const stream = await s.call('/sse-gate');
  const reader = stream.body?.getReader();
  assert.ok(reader);
  assert.equal(Buffer.from((await reader.read()).value ?? []).toString(), 'data: 1\n\n');

  let reloading = true;
  const statuses = new Map<number, number>();
  let cost = 0n;
  const worker = async (): Promise<void> => {
    while (reloading) {
      const response = await s.call('/echo', { method: 'POST', body: 'x'.repeat(100) });
      assert.equal(response.status, 200, await response.clone().text());
      const { body } = (await response.json()) as { body: string };
      assert.equal(body.length, 100);
      statuses.set(response.status, (statuses.get(response.status) ?? 0) + 1);
      cost += parseUsd(`$${response.headers.get('x-payment-cost')}`);
    }
  };
  t.after(() => {
    reloading = false;
  });
  const workers = Array.from({ length: 200 }, worker);
  const costs = new Set<bigint>();
  for (let i = 1; i <= 20; i++) {
    const price = `$0.0${i < 10 ? `0${i}` : i}`;
    const routes = {
      '* /echo': { upstream: 'api', price },
      'GET /gate': { upstream: 'api', price },
    };
    await s.gateway.reload(
      s.configOf({ routes, limits: { requestsPerMinute, bodyBytes: 1_000 + i } }),
    );
    const response = await s.call('/echo');
    await response.text();
    costs.add(parseUsd(`$${response.headers.get('x-payment-cost')}`));
    cost += parseUsd(price);
  }
  reloading = false;
  await Promise.all(workers);
  assert.deepEqual([...statuses.keys()], [200]);
  assert.ok((statuses.get(200) ?? 0) >= 200);
  assert.equal(costs.size, 20, 'each reload has set its own price');
  assert.equal((await s.call('/sse-gate')).status, 404, 'its route is gone');

  s.upstream.open();
  let rest = '';
  for (let part = await reader.read(); !part.done; part = await reader.read())
    rest += Buffer.from(part.value).toString();
  assert.ok(rest.startsWith('data: 2\n\ndata: [DONE]\n\n'), rest);
  cost += parseUsd('$0.02');
  await until(async () => (await s.balance()) === parseUsd('$1000') - cost, { what: 'the books' });
});

/** An upstream that knows its connections, and streams until it is told to end. */
async function countedUpstream(t: TestContext) {
  const streams: ServerResponse[] = [];
  const server = createServer((request, response) => {
    if (request.url !== '/slow') return void response.end('short');
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    response.write('data: 1\n\n');
    streams.push(response);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(async () => {
    server.closeAllConnections();
    server.close();
    await once(server, 'close');
  });
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    streams,
    connections: () =>
      new Promise<number>((resolve, reject) =>
        server.getConnections((error, count) => (error ? reject(error) : resolve(count))),
      ),
  };
}

test('the connections of an old upstream are closed when its last request has ended, and not before', async (t) => {
  const old = await countedUpstream(t);
  const s = await stage(t, {
    upstreams: { api: { url: old.url } },
    routes: {
      'GET /slow': { upstream: 'api', price: 'free' },
      'GET /echo': { upstream: 'api', price: '$0.01' },
    },
  });
  await (await s.call('/echo')).text();
  const slow = await s.call('/slow');
  const left = new AbortController();
  await s.call('/slow', { signal: left.signal });
  assert.equal(await old.connections(), 2);
  await s.gateway.reload(s.configOf({ upstreams: { api: { url: s.upstream.url } } }));
  const { url } = (await (await s.call('/echo')).json()) as { url: string };
  assert.equal(url, '/echo', 'the new upstream has answered');
  assert.equal(old.streams.length, 2);
  // One reader leaves, the other reads to the end.
  const leaving = once(old.streams[1] as ServerResponse, 'close');
  left.abort();
  await leaving;
  assert.ok((await old.connections()) > 0, 'the other one is still there');
  old.streams[0]?.end('data: 2\n\n');
  assert.equal(await slow.text(), 'data: 1\n\ndata: 2\n\n');
  await until(async () => (await old.connections()) === 0, { what: 'the closed pool' });
});

test('routes, limits, time-outs, origins and free routes are those of the new config', async (t) => {
  const s = await stage(t);
  assert.equal((await s.call('/new')).status, 404);
  await s.gateway.reload(
    s.configOf({
      routes: {
        'POST /new': { upstream: 'api', price: 'free' },
        'GET /gate': { upstream: 'api', price: 'free' },
      },
      limits: { bodyBytes: 10, concurrency: 2, unpaidPerMinute: 1 },
      cors: { origins: ['https://one.example.com'] },
    }),
  );
  assert.equal((await s.call('/echo')).status, 404);
  assert.equal((await s.call('/new', { method: 'POST', body: 'x'.repeat(11) })).status, 413);
  const allowed = await s.call('/nothing', { headers: { origin: 'https://one.example.com' } });
  assert.equal(allowed.headers.get('access-control-allow-origin'), 'https://one.example.com');
  const waiting = [s.call('/gate'), s.call('/gate')];
  await s.upstream.seen('/gate', 2);
  assert.equal((await s.call('/gate')).status, 503);
  s.upstream.open();
  for (const one of waiting) assert.equal((await one).status, 200);
});

test('what was counted against a limit is not forgotten by a reload', async (t) => {
  const s = await stage(t, { limits: { unpaidPerMinute: 2 } });
  const unpaid = async (): Promise<number> => (await fetch(`${s.gateway.url}/echo`)).status;
  assert.deepEqual([await unpaid(), await unpaid(), await unpaid()], [402, 402, 429]);
  await s.gateway.reload(s.configOf());
  assert.equal(await unpaid(), 429);
  await s.gateway.reload(s.configOf({ limits: { unpaidPerMinute: 5 } }));
  assert.equal(await unpaid(), 402);
});

test('what needs a restart is refused by name, all of it at once, and nothing changes', async (t) => {
  const s = await stage(t);
  const routes = { 'GET /echo': { upstream: 'api', price: '$0.50' } };
  for (const [change, named] of [
    [{ listen: '127.0.0.1:1' }, 'listen'],
    [{ publicUrl: 'https://api.example.com' }, 'publicUrl'],
    [{ mode: 'test' }, 'mode'],
    [{ secret: 'a secret of at least thirty-two bytes' }, 'secret'],
    [{ trustProxy: ['10.0.0.0/8'] }, 'trustProxy'],
    [{ confirmations: 2 }, 'confirmations'],
    [{ quotes: { ttl: '1m' } }, 'quotes'],
    [{ payments: { prepaid: {}, free: { callsPerDay: 3 } } }, 'payments'],
    [{ limits: { headerBytes: '32KiB' } }, 'limits.headerBytes'],
    [{ timeouts: { settle: '1s' } }, 'timeouts.settle'],
    [{ timeouts: { request: '1s' }, operator: '127.0.0.1:2' }, 'operator, timeouts.request'],
  ] as const) {
    const config = s.configOf({ ...(change as Partial<TestConfig>), routes });
    await assert.rejects(s.gateway.reload(config), (error: Error & { code?: string }) => {
      assert.equal(error.code, 'restart_needed');
      assert.ok(error.message.startsWith(`${named} can't`), error.message);
      return true;
    });
    const response = await s.call('/echo');
    assert.equal(response.headers.get('x-payment-cost'), '0.01');
  }
  const elsewhere = parseConfig({ ...s.configOf(), database: 'sqlite:other.db' }, {});
  await assert.rejects(s.gateway.gateway.reload(elsewhere), /database can't/);
});

test('reloads that come at once are done one after another, and the last one counts', async (t) => {
  const s = await stage(t);
  const reloads = ['$0.02', '$0.03', '$0.04'].map((price) =>
    s.gateway.reload(s.configOf({ routes: { 'GET /echo': { upstream: 'api', price } } })),
  );
  await Promise.all(reloads);
  assert.equal((await s.call('/echo')).headers.get('x-payment-cost'), '0.04');
  await s.gateway.close();
  await assert.rejects(s.gateway.reload(s.configOf()), /stopping/);
});

test('a request that runs keeps its price and its route, although both are gone when it ends', async (t) => {
  const s = await stage(t);
  const running = s.call('/gate');
  await s.upstream.seen('/gate', 1);
  await s.gateway.reload(
    s.configOf({ routes: { 'GET /other': { upstream: 'api', price: '$9' } } }),
  );
  s.upstream.open();
  const response = await running;
  assert.equal(response.status, 200);
  assert.equal(response.headers.get('x-payment-cost'), '0.01');
});
