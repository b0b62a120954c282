/** Discounts by what a payer spent this month and by what it keeps as its balance. */

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { type TestContext, test } from 'node:test';
import { parseUsd } from '../../src/core/money.ts';
import { newApiKey } from '../../src/rails/prepaid/protocol.ts';
import { startGateway, type TestConfig } from '../support/start-gateway.ts';
import { startUpstream } from '../support/start-upstream.ts';

type Price = NonNullable<TestConfig['routes']>[string]['price'];

async function stage(t: TestContext, price: Price, topUp = '$100') {
  const upstream = await startUpstream(t);
  const time = { now: Date.parse('2026-03-10T12:00:00Z') };
  const gateway = await startGateway(
    t,
    {
      upstreams: { api: { url: upstream.url } },
      payments: { prepaid: {} },
      routes: {
        'GET /echo': { upstream: 'api', price },
        'GET /status/:code': { upstream: 'api', price: '$6' },
      },
    },
    { clock: { now: () => time.now } },
  );
  const newKey = async (): Promise<string> => {
    const { id, key, prefix, secretHash } = newApiKey('live', randomBytes);
    await gateway.ledger.createKey({
      ...{ id, prefix, secretHash, mode: 'live', name: null, nowMs: Date.now() },
      ...{ topUp: parseUsd(topUp), perDay: null, routes: null },
    });
    return key;
  };
  const cost = async (key: string, path = '/echo'): Promise<string | null> => {
    // What was spent is known some seconds later.
    time.now += 6_000;
    const response = await fetch(gateway.url + path, { headers: { 'x-api-key': key } });
    assert.equal(response.status, 200, await response.text());
    return response.headers.get('x-payment-cost');
  };
  return { gateway, time, newKey, cost };
}

test('volume discounts follow what the payer spent this month, on all routes, and begin anew with the next', async (t) => {
  const volume = [
    { above: '$5', off: '10%' },
    { above: '$10', off: '50%' },
  ];
  const { newKey, cost, time } = await stage(t, { per: { call: '$1' }, volume });
  const [mine, other] = [await newKey(), await newKey()];
  assert.equal(await cost(mine), '1');
  assert.equal(await cost(mine, '/status/200'), '6');
  assert.equal(await cost(mine), '0.9', '$7 were spent');
  assert.equal(await cost(other), '1', 'by another payer nothing was');
  time.now += 86_400_000;
  assert.equal(await cost(mine), '0.9', 'yesterday counts');
  await cost(mine, '/status/200');
  assert.equal(await cost(mine), '0.5', '$14.80 were spent');
  time.now = Date.parse('2026-04-01T00:00:00Z');
  assert.equal(await cost(mine), '1');
});

test('balance discounts follow the balance before the call, also inside a price by something', async (t) => {
  const balance = [{ above: '$99', off: '20%' }];
  const price: Price = {
    by: { 'header.x-tier': { gold: '$0.5', '*': { per: { call: '$2' }, balance } } },
  };
  const { newKey, cost } = await stage(t, price, '$100');
  const key = await newKey();
  assert.equal(await cost(key), '1.6', 'of $100');
  assert.equal(await cost(key), '2', 'of $98.40');
});

test('a receipt shows the discount, its lines add up, and the hold was the whole price', async (t) => {
  const balance = [{ above: '$1', off: '25%' }];
  const { newKey, gateway } = await stage(t, { per: { call: '$1' }, balance });
  const headers = { 'x-api-key': await newKey() };
  const response = await fetch(`${gateway.url}/echo`, { headers });
  await response.text();
  const id = response.headers.get('x-payment-id');
  const receipt = (await (await fetch(`${gateway.url}/_pay/payments/${id}`)).json()) as {
    quote: { max: string };
    cost: string;
    usage: { unit: string; cost: string }[];
  };
  assert.deepEqual([receipt.quote.max, receipt.cost], ['1', '0.75']);
  assert.deepEqual(
    receipt.usage.map(({ unit, cost }) => [unit, cost]),
    [
      ['calls', '1'],
      ['balance', '-0.25'],
    ],
  );
});
