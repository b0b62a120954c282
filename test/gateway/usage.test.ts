/** `GET /_pay/usage`: a key sees what it used, all of it, and nothing of others. */

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { type TestContext, test } from 'node:test';
import { parseUsd } from '../../src/core/money.ts';
import { newApiKey } from '../../src/rails/prepaid/protocol.ts';
import { startGateway, type TestGateway } from '../support/start-gateway.ts';
import { startUpstream } from '../support/start-upstream.ts';

interface Usage {
  readonly from: string;
  readonly to: string;
  readonly total: object;
  readonly days: { day: string; calls: number; cost: string; routes: object[] }[];
  readonly routes: object[];
}

async function stage(t: TestContext) {
  const upstream = await startUpstream(t);
  const time = { now: Date.parse('2026-03-10T12:00:00Z') };
  const gateway = await startGateway(
    t,
    {
      upstreams: { api: { url: upstream.url } },
      payments: { prepaid: {}, free: { callsPerDay: 1, per: 'key' } },
      routes: {
        'GET /echo': { upstream: 'api', price: '$0.01', free: false },
        'GET /status/:code': { upstream: 'api', price: '$0.5', free: false },
        'GET /large/:bytes': { upstream: 'api', price: '$0.25' },
      },
    },
    { clock: { now: () => time.now } },
  );
  const call = async (path: string, key: string): Promise<Response> => {
    const response = await fetch(gateway.url + path, { headers: { 'x-api-key': key } });
    return response;
  };
  const usage = async (key: string, query = ''): Promise<Usage> => {
    // What was added up is kept for some seconds.
    time.now += 6_000;
    const response = await call(`/_pay/usage${query}`, key);
    assert.equal(response.status, 200);
    return (await response.json()) as Usage;
  };
  return {
    gateway,
    time,
    call,
    usage,
    keys: [await keyOn(gateway), await keyOn(gateway)] as const,
  };
}

async function keyOn(gateway: TestGateway): Promise<string> {
  const { id, key, prefix, secretHash } = newApiKey('live', randomBytes);
  await gateway.ledger.createKey({
    ...{ id, prefix, secretHash, mode: 'live', name: null, nowMs: Date.now() },
    ...{ topUp: parseUsd('$100'), perDay: null, routes: null },
  });
  return key;
}

const DAY_MS = 86_400_000;

test('calls and costs are added up by day and by route, failures and other keys left out', async (t) => {
  const { call, usage, time, keys } = await stage(t);
  const [mine, other] = keys;
  for (const path of ['/echo', '/echo', '/status/200', '/status/500', '/large/9', '/large/9'])
    await (await call(path, mine)).text();
  for (let i = 0; i < 3; i++) await (await call('/echo', other)).text();
  time.now += DAY_MS;
  await (await call('/echo', mine)).text();
  const all = await usage(mine);
  assert.deepEqual([all.from, all.to], ['2026-02-10', '2026-03-11']);
  assert.deepEqual(all.total, { calls: 6, cost: '0.78' });
  assert.deepEqual(all.days[0], {
    day: '2026-03-10',
    ...{ calls: 5, cost: '0.77' },
    routes: [
      { route: 'GET /echo', calls: 2, cost: '0.02' },
      { route: 'GET /large/:bytes', calls: 2, cost: '0.25' },
      { route: 'GET /status/:code', calls: 1, cost: '0.5' },
    ],
  });
  assert.deepEqual(all.days.map(({ day, calls, cost }) => [day, calls, cost])[1], [
    ...['2026-03-11', 1, '0.01'],
  ]);
  assert.deepEqual(all.routes[0], { route: 'GET /echo', calls: 3, cost: '0.03' });
  assert.deepEqual((await usage(mine, '?days=1')).total, { calls: 1, cost: '0.01' });
  assert.deepEqual((await usage(other, '?days=366')).total, { calls: 3, cost: '0.03' });
  time.now += 40 * DAY_MS;
  const later = await usage(mine);
  assert.deepEqual([later.total, later.days], [{ calls: 0, cost: '0' }, []]);
});

test('usage needs a key, and a number of days that makes sense', async (t) => {
  const { gateway, call, keys } = await stage(t);
  assert.equal((await fetch(`${gateway.url}/_pay/usage`)).status, 401);
  assert.equal((await call('/_pay/usage', `cs_live_${'x'.repeat(40)}`)).status, 401);
  for (const days of ['0', '-1', '367', '1e1', '', 'x', '1.5', '99999999999'])
    assert.equal((await call(`/_pay/usage?days=${days}`, keys[0])).status, 400, days);
  const posted = await fetch(`${gateway.url}/_pay/usage`, { method: 'POST' });
  assert.equal(posted.status, 405);
});

test('pages of any size add up to the same, and look at nothing of others', async (t) => {
  const { gateway, call, keys } = await stage(t);
  for (let i = 0; i < 7; i++) {
    await (await call('/echo', keys[0])).text();
    await (await call(i % 2 ? '/status/500' : '/status/200', keys[1])).text();
  }
  const [payment] = await gateway.ledger.listPayments({ limit: 1, rail: 'prepaid' });
  const payer = payment?.payer ?? '';
  for (const limit of [1, 2, 3, 100]) {
    let [after, calls, cost, pages]: [number | null, number, bigint, number] = [null, 0, 0n, 0];
    do {
      const page = await gateway.ledger.usageOf({ payer, sinceMs: 0, after, limit });
      for (const one of page.days) [calls, cost] = [calls + one.calls, cost + one.cost];
      after = page.next;
      pages += 1;
    } while (after !== null);
    assert.deepEqual([calls, cost], [4, parseUsd('$2')], `pages of ${limit}`);
    assert.ok(pages <= Math.floor(7 / limit) + 1);
  }
});
