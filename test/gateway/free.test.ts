import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { type TestContext, test } from 'node:test';
import { parseUsd } from '../../src/core/money.ts';
import { newApiKey } from '../../src/rails/prepaid/protocol.ts';
import { startGateway, type TestConfig, type TestGateway } from '../support/start-gateway.ts';
import { startUpstream, type TestUpstream } from '../support/start-upstream.ts';

type Free = NonNullable<NonNullable<TestConfig['payments']>['free']>;

async function stage(t: TestContext, free: Free, options: object = {}): Promise<Stage> {
  const upstream = await startUpstream(t);
  const route = { upstream: 'api', price: '$0.01', timeout: '2s' };
  const config: TestConfig = {
    trustProxy: ['127.0.0.1/32'],
    upstreams: { api: { url: upstream.url } },
    payments: { prepaid: {}, free },
    routes: {
      'GET /echo': route,
      'GET /status/:code': route,
      'GET /gate': route,
      'POST /echo': { ...route, free: false },
      'GET /sse': { ...route, price: 'free' },
    },
  };
  return { upstream, gateway: await startGateway(t, config, options) };
}
interface Stage {
  readonly upstream: TestUpstream;
  readonly gateway: TestGateway;
}

const callFrom = (url: string, address: string): Promise<Response> =>
  fetch(url, { headers: { 'x-forwarded-for': address } });

test('ten calls a day are free, with what remains and when it resets in headers; the eleventh is 402', async (t) => {
  const { gateway } = await stage(t, { callsPerDay: 10 });
  for (let left = 9; left >= 0; left--) {
    const response = await fetch(`${gateway.url}/echo`);
    assert.equal(response.status, 200);
    assert.equal(response.headers.get('x-free-calls-remaining'), String(left));
    assert.match(response.headers.get('x-free-calls-reset') ?? '', /T00:00:00\.000Z$/);
    assert.equal(response.headers.get('x-payment-cost'), '0');
  }
  const eleventh = await fetch(`${gateway.url}/echo`);
  assert.equal(eleventh.status, 402);
  assert.equal(((await eleventh.json()) as { freeCallsRemaining: number }).freeCallsRemaining, 0);
});

test('the counter survives a restart', async (t) => {
  const { gateway } = await stage(t, { callsPerDay: 2 });
  await fetch(`${gateway.url}/echo`);
  await fetch(`${gateway.url}/echo`);
  const restarted = await gateway.restart();
  assert.equal((await fetch(`${restarted.url}/echo`)).status, 402);
});

test('the counter can not be raced: of fifty concurrent calls ten are served', async (t) => {
  const { gateway, upstream } = await stage(t, { callsPerDay: 10 });
  const responses = await Promise.all(
    Array.from({ length: 50 }, () => fetch(`${gateway.url}/echo`)),
  );
  assert.equal(responses.filter((one) => one.status === 200).length, 10);
  assert.equal(responses.filter((one) => one.status === 402).length, 40);
  assert.equal(upstream.calls('/echo'), 10);
});

test('a failed call is given back', async (t) => {
  const { gateway } = await stage(t, { callsPerDay: 1 });
  assert.equal((await fetch(`${gateway.url}/status/500`)).status, 500);
  assert.equal((await fetch(`${gateway.url}/echo`)).status, 200);
  assert.equal((await fetch(`${gateway.url}/echo`)).status, 402);
});

test('addresses have a quota each, and those of one IPv6 /64 share one', async (t) => {
  const { gateway } = await stage(t, { callsPerDay: 1 });
  const url = `${gateway.url}/echo`;
  assert.equal((await callFrom(url, '203.0.113.1')).status, 200);
  assert.equal((await callFrom(url, '203.0.113.2')).status, 200);
  assert.equal((await callFrom(url, '203.0.113.1')).status, 402);
  assert.equal((await callFrom(url, '2001:db8::1')).status, 200);
  assert.equal((await callFrom(url, '2001:db8::2:2')).status, 402);
  assert.equal((await callFrom(url, '2001:db8:0:1::1')).status, 200);
});

test('forwarded addresses made up by the client itself buy no free calls', async (t) => {
  const { gateway } = await stage(t, { callsPerDay: 1 });
  const url = `${gateway.url}/echo`;
  assert.equal((await callFrom(url, '198.51.100.1, 203.0.113.1')).status, 200);
  assert.equal((await callFrom(url, '198.51.100.2, 203.0.113.1')).status, 402);
});

test('a quota per key is spent before the balance, and needs a key that is known', async (t) => {
  const { gateway } = await stage(t, { callsPerDay: 1, per: 'key' });
  const { id, key, prefix, secretHash } = newApiKey('live', randomBytes);
  await gateway.ledger.createKey({
    ...{ id, prefix, secretHash, mode: 'live', perDay: null, routes: null, name: null },
    topUp: parseUsd('$1'),
    nowMs: Date.now(),
  });
  const headers = { 'x-api-key': key };
  const costs = [];
  for (let i = 0; i < 2; i++)
    costs.push((await fetch(`${gateway.url}/echo`, { headers })).headers.get('x-payment-cost'));
  assert.deepEqual(costs, ['0', '0.01']);
  assert.equal((await gateway.ledger.findKey(id))?.balance, parseUsd('$0.99'));
  assert.equal((await fetch(`${gateway.url}/echo`)).status, 402);
  const forged = `${key.slice(0, -1)}${key.endsWith('1') ? '2' : '1'}`;
  assert.equal(
    (await fetch(`${gateway.url}/echo`, { headers: { 'x-api-key': forged } })).status,
    401,
  );
});

test('all free calls of a day together have a ceiling', async (t) => {
  const { gateway } = await stage(t, { callsPerDay: 10, perDayTotal: '$0.02' });
  const url = `${gateway.url}/echo`;
  assert.equal((await callFrom(url, '203.0.113.1')).status, 200);
  assert.equal((await callFrom(url, '203.0.113.2')).status, 200);
  const closed = await callFrom(url, '203.0.113.3');
  assert.equal(closed.status, 402);
  assert.equal(((await closed.json()) as { code: string }).code, 'free_calls_closed');
});

test('a new day brings new calls', async (t) => {
  let nowMs = Date.parse('2026-11-21T23:59:59Z');
  const { gateway } = await stage(t, { callsPerDay: 1 }, { clock: { now: () => nowMs } });
  assert.equal((await fetch(`${gateway.url}/echo`)).status, 200);
  assert.equal((await fetch(`${gateway.url}/echo`)).status, 402);
  nowMs += 1_000;
  assert.equal((await fetch(`${gateway.url}/echo`)).status, 200);
});

test('zero free calls is a legal quota, and a route can keep the free tier away', async (t) => {
  const none = await stage(t, { callsPerDay: 0 });
  assert.equal((await fetch(`${none.gateway.url}/echo`)).status, 402);
  const some = await stage(t, { callsPerDay: 10 });
  assert.equal((await fetch(`${some.gateway.url}/echo`, { method: 'POST' })).status, 402);
});

test('a free route needs no quota and carries no receipt', async (t) => {
  const { gateway } = await stage(t, { callsPerDay: 0 });
  const response = await fetch(`${gateway.url}/sse`);
  assert.equal(response.status, 200);
  assert.equal(response.headers.get('x-payment-id'), null);
  assert.match(await response.text(), /DONE/);
});

test('a client that leaves while its free call runs gets it back', async (t) => {
  const { gateway, upstream } = await stage(t, { callsPerDay: 1 });
  const abort = new AbortController();
  const gone = fetch(`${gateway.url}/gate`, { signal: abort.signal });
  await upstream.seen('/gate', 1);
  abort.abort();
  await assert.rejects(gone);
  await upstream.aborted(1);
  const restarted = await gateway.restart();
  assert.equal((await fetch(`${restarted.url}/echo`)).status, 200);
});
