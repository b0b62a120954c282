/** Shadow routes: real traffic is metered and counted, nobody is asked to pay, nothing is charged. */

import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { silentLog } from '../../src/core/log.ts';
import { parseUsd } from '../../src/core/money.ts';
import type { ShadowDay } from '../../src/core/ports/usage-days.ts';
import { ShadowCounts } from '../../src/request/shadow-counts.ts';
import { startModelServer } from '../support/model-server.ts';
import { startGateway, type TestConfig } from '../support/start-gateway.ts';
import { startUpstream } from '../support/start-upstream.ts';
import { until } from '../support/until.ts';

const MESSAGES = [{ role: 'user', content: 'Say hello to the whole world, please.' }];
const CHAT = { model: 'gpt-4o-mini', messages: MESSAGES, max_tokens: 200 };

async function stage(t: TestContext, over: Partial<TestConfig> = {}) {
  const model = await startModelServer(t);
  const api = await startUpstream(t);
  const per = (inputToken: string, outputToken: string) => ({
    price: { per: { inputToken, outputToken }, max: '$0.05' },
  });
  const shadow = { upstream: 'models', shadow: true };
  const gateway = await startGateway(t, {
    upstreams: {
      models: { url: model.url, headers: { authorization: 'Bearer upstream' }, kind: 'openai' },
      api: { url: api.url },
    },
    payments: { prepaid: {}, free: { callsPerDay: 1 } },
    routes: {
      'POST /v1/chat/completions': { ...shadow, ...per('$1/1M', '$10/1M') },
      'POST /v1/responses': { ...shadow, ...per('$0.001/1M', '$0.001/1M') },
      'POST /v1/embeddings': { ...shadow, price: '$0.002' },
      'GET /status/:code': { upstream: 'api', shadow: true, price: '$0.01', chargeOn: [404] },
      'GET /sse-half': { upstream: 'api', shadow: true, price: '$0.01' },
      'GET /sse': { upstream: 'api', shadow: true, price: '$0.01' },
    },
    ...over,
  });
  const post = (path: string, body: unknown): Promise<Response> =>
    fetch(gateway.url + path, {
      ...{ method: 'POST', headers: { 'content-type': 'application/json' } },
      body: typeof body === 'string' ? body : JSON.stringify(body),
    });
  const counted = async (): Promise<Map<string, ShadowDay>> => {
    const closing = await gateway.restart();
    const days = await closing.ledger.shadowDays('2026-01-01');
    assert.deepEqual(await closing.ledger.listPayments({ limit: 10 }), []);
    return new Map(days.map((one) => [one.route, one]));
  };
  return { gateway, model, api, post, counted };
}

test('calls of a shadow route are served to anybody, and what they would have cost is kept', async (t) => {
  const { post, counted, gateway } = await stage(t);
  const whole = await post('/v1/chat/completions', CHAT);
  assert.equal(whole.status, 200);
  assert.equal(whole.headers.get('x-payment-id'), null);
  const { usage } = (await whole.json()) as {
    usage: { prompt_tokens: number; completion_tokens: number };
  };
  const streamed = await post('/v1/chat/completions', { ...CHAT, stream: true });
  assert.match(await streamed.text(), /\[DONE\]\s*$/);
  const asked = await fetch(`${gateway.url}/_pay/quote`, {
    ...{ method: 'POST', body: JSON.stringify({ path: '/v1/chat/completions', body: CHAT }) },
  });
  assert.equal(((await asked.json()) as { free: boolean }).free, true);

  const day = (await counted()).get('POST /v1/chat/completions');
  const cost = BigInt(usage.prompt_tokens + 10 * usage.completion_tokens);
  assert.ok(day);
  assert.deepEqual([day.calls, day.unpriced, day.cost], [2, 0, 2n * cost]);
  assert.equal(day.units.inputTokens, 2 * usage.prompt_tokens);
  assert.equal(day.units.outputTokens, 2 * usage.completion_tokens);
  assert.deepEqual([day.listed.calls, day.listed.earned], [2, 2n * cost]);
  // $0.15 and $0.60 for a million tokens.
  const listed = usage.prompt_tokens * 0.15 + usage.completion_tokens * 0.6;
  assert.ok(Math.abs(Number(day.listed.cost) - 2 * listed) <= 2, `${day.listed.cost}`);
});

test('a route that is priced below the list shows as such', async (t) => {
  const { post, counted } = await stage(t);
  const answer = await post('/v1/responses', { model: 'gpt-4o-mini', input: 'Hello there' });
  assert.equal(answer.status, 200, await answer.text());
  const day = (await counted()).get('POST /v1/responses');
  assert.equal(day?.listed.calls, 1);
  assert.ok(day.listed.earned < day.listed.cost);
});

test('what could not be sold is served all the same, and counted as without a price', async (t) => {
  const { post, counted, model } = await stage(t);
  for (const body of ['{"model":', JSON.stringify({ model: 'gpt-4o-mini' }), ''])
    await (await post('/v1/chat/completions', body)).text();
  assert.equal(model.requests.length, 3, 'the upstream has seen them as they were sent');
  assert.deepEqual(
    model.requests.map(({ body }) => body.toString()),
    ['{"model":', JSON.stringify({ model: 'gpt-4o-mini' }), ''],
  );
  const day = (await counted()).get('POST /v1/chat/completions');
  assert.ok(day === undefined || (day.unpriced === day.calls && day.cost === 0n));
});

test('only what would have been charged counts: no failures, but what chargeOn names', async (t) => {
  const { gateway, counted } = await stage(t);
  for (const path of ['/status/200', '/status/404', '/status/500', '/status/429', '/status/302'])
    await (await fetch(gateway.url + path, { redirect: 'manual' })).text();
  await fetch(`${gateway.url}/sse-half`)
    .then((response) => response.text())
    .catch(() => {});
  await (await fetch(`${gateway.url}/sse`)).text();
  const days = await counted();
  const status = days.get('GET /status/:code');
  assert.deepEqual([status?.calls, status?.cost], [2, parseUsd('$0.02')]);
  assert.equal(days.get('GET /sse-half'), undefined);
  assert.equal(days.get('GET /sse')?.cost, parseUsd('$0.01'));
});

test('a reload ends a shadow: from then on the same route is paid', async (t) => {
  const upstream = await startUpstream(t);
  const configOf = (shadow: boolean): TestConfig => ({
    upstreams: { api: { url: upstream.url } },
    payments: { prepaid: {} },
    routes: { 'GET /echo': { upstream: 'api', price: '$0.01', shadow } },
  });
  const gateway = await startGateway(t, configOf(true));
  assert.equal((await fetch(`${gateway.url}/echo`)).status, 200);
  await gateway.reload(configOf(false));
  assert.equal((await fetch(`${gateway.url}/echo`)).status, 402);
});

test('many calls are one write, one that fails loses no count, and days are kept apart', async () => {
  const written: ShadowDay[][] = [];
  let nowMs = Date.parse('2026-03-10T23:59:59Z');
  let isDown = true;
  const addShadow = async (days: readonly ShadowDay[]): Promise<void> => {
    if (isDown) throw new Error('down');
    written.push([...days]);
  };
  const counts = new ShadowCounts({ addShadow }, { now: () => nowMs }, silentLog);
  const call = { route: 'GET /a', cost: 5n, listCost: null, units: { calls: 1 } };
  for (let i = 0; i < 1_000; i++) counts.add(call);
  await counts.keep();
  isDown = false;
  nowMs += 2_000;
  counts.add({ ...call, listCost: 9n });
  await counts.close();
  assert.equal(written.length, 1);
  assert.deepEqual(
    written[0]?.map(({ day, calls, cost, listed }) => [day, calls, cost, listed.cost]),
    [
      ['2026-03-10', 1_000, 5_000n, 0n],
      ['2026-03-11', 1, 5n, 9n],
    ],
  );
});

test('counts are written while the gateway runs, and added to what is there', async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const written: bigint[] = [];
  const addShadow = async (days: readonly ShadowDay[]): Promise<void> => {
    for (const { cost } of days) written.push(cost);
  };
  const counts = new ShadowCounts({ addShadow }, { now: () => 0 }, silentLog);
  const call = { route: 'GET /a', cost: 5n, listCost: null, units: {} };
  counts.add(call);
  counts.add(call);
  t.mock.timers.tick(4_999);
  assert.deepEqual(written, []);
  t.mock.timers.tick(1);
  t.mock.timers.reset();
  await until(() => written.length === 1);
  await counts.close();
  await pause(0);
  assert.deepEqual(written, [10n]);
});
