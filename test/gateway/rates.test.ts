/** Prices in currencies whose value is read from somewhere: believed while it is fresh, kept for the quotes made by it. */

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type TestContext, test } from 'node:test';
import { silentLog } from '../../src/core/log.ts';
import { startEvmDevnet } from '../../src/devnet/start-evm-devnet.ts';
import { RateReadings } from '../../src/request/rate-readings.ts';
import { startGateway, type TestConfig } from '../support/start-gateway.ts';
import { startUpstream } from '../support/start-upstream.ts';
import { until } from '../support/until.ts';
import { afterFirst402, CLIENTS, priceStage } from './price-stage.ts';

interface RateSource {
  readonly url: string;
  readonly calls: number;
  answer: (response: ServerResponse) => void;
  /** Resolves after that many more readings. */
  read(count: number): Promise<void>;
}

const says =
  (usd: string) =>
  (response: ServerResponse): void =>
    void response.end(JSON.stringify({ data: { usd } }));

async function startRates(t: TestContext, usd: string): Promise<RateSource> {
  const source = {
    url: '',
    calls: 0,
    answer: says(usd),
    async read(count: number): Promise<void> {
      const from = source.calls;
      // One more, so that the one before it was taken in.
      await until(() => source.calls > from + count);
    },
  };
  const server = createServer((_request, response) => {
    source.calls += 1;
    source.answer(response);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(async () => {
    server.closeAllConnections();
    server.close();
    await once(server, 'close');
  });
  source.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/btc`;
  return source;
}

async function stage(t: TestContext, source: RateSource, over: object = {}, skew = { ms: 0 }) {
  const upstream = await startUpstream(t);
  const configOf = (more: Partial<TestConfig> = {}): TestConfig => ({
    upstreams: { api: { url: upstream.url } },
    payments: { prepaid: {} },
    rates: { BTC: { url: source.url, json: 'data.usd', every: '10ms', staleAfter: '1m', ...over } },
    routes: {
      'POST /echo': { upstream: 'api', price: '1000 sat' },
      'POST /dollars': { upstream: 'api', price: '$0.02' },
      'GET /status/:code': { upstream: 'api', price: 'free' },
    },
    ...more,
  });
  const clock = { now: () => Date.now() + skew.ms };
  const gateway = await startGateway(t, configOf(), { clock });
  const ask = async (path: string): Promise<[number, string | undefined]> => {
    const answer = await fetch(gateway.url + path, { method: 'POST' });
    const body = (await answer.json()) as { quote?: { max: string }; code: string };
    return [answer.status, body.quote?.max ?? body.code];
  };
  return { gateway, configOf, ask };
}

test('a price in satoshi is worth what its source says, from the first request on', async (t) => {
  const source = await startRates(t, '50000');
  const { ask } = await stage(t, source);
  assert.deepEqual(await ask('/echo'), [402, '0.5']);
  source.answer = says('52000.5');
  await until(async () => (await ask('/echo'))[1] === '0.520005');
  source.answer = says('90000');
  await source.read(2);
  assert.equal((await ask('/echo'))[1], '0.520005', 'a jump beyond the tolerance is not believed');
});

const FAILURES: readonly (readonly [string, (response: ServerResponse) => void])[] = [
  ['an error', (response) => void response.writeHead(500).end('{"data":{"usd":"1"}}')],
  ['no JSON', (response) => void response.end('50000')],
  ['no number', (response) => void response.end('{"data":{"usd":null}}')],
  ['a negative number', says('-50000')],
  ['nothing', (response) => void response.end()],
  ['half an answer', (response) => void response.write('{', () => response.destroy())],
  [
    'too much',
    (response) => void response.end(`{"data":{"usd":"50000"},"x":"${'x'.repeat(70_000)}"}`),
  ],
  ['a redirect', (response) => void response.writeHead(302, { location: '/btc?again' }).end()],
];

for (const [what, answer] of FAILURES)
  test(`a source that gives ${what} makes only the routes that need it 503 once stale, until it is good again`, async (t) => {
    const source = await startRates(t, '50000');
    const skew = { ms: 0 };
    const { ask, gateway } = await stage(t, source, {}, skew);
    source.answer = answer;
    await source.read(1);
    assert.deepEqual(await ask('/echo'), [402, '0.5'], 'the last reading counts for a while');
    skew.ms = 61_000;
    assert.deepEqual(await ask('/echo'), [503, 'rate_unavailable']);
    assert.deepEqual(await ask('/dollars'), [402, '0.02']);
    assert.equal((await fetch(`${gateway.url}/status/200`)).status, 200);
    source.answer = says('90000');
    await until(async () => (await ask('/echo'))[1] === '0.9', { what: 'the source' });
  });

test('a source that is down at the start costs only the routes that need it', async (t) => {
  const source = await startRates(t, '50000');
  source.answer = (response) => void response.destroy();
  const { ask } = await stage(t, source);
  assert.deepEqual(await ask('/echo'), [503, 'rate_unavailable']);
  assert.deepEqual(await ask('/dollars'), [402, '0.02']);
  source.answer = says('40000');
  await until(async () => (await ask('/echo'))[1] === '0.4');
});

test('a source that never answers keeps neither the gateway nor its end waiting', async (t) => {
  const source = await startRates(t, '50000');
  const { ask, gateway } = await stage(t, source);
  source.answer = () => {};
  await source.read(0);
  assert.deepEqual(await ask('/echo'), [402, '0.5']);
  const fromMs = performance.now();
  await gateway.close();
  assert.ok(performance.now() - fromMs < 3_000);
});

test('a reload reads from another source, and keeps what was read while that one is silent', async (t) => {
  const [old, other] = [await startRates(t, '50000'), await startRates(t, '80000')];
  const { ask, gateway, configOf } = await stage(t, old);
  const rates = { BTC: { url: other.url, json: 'data.usd', every: '10ms' } };
  await gateway.reload(configOf({ rates }));
  assert.deepEqual(await ask('/echo'), [402, '0.8'], 'no tolerance holds between two sources');
  const calls = old.calls;
  await other.read(2);
  assert.ok(old.calls <= calls + 1, 'the old source is left alone');
  old.answer = (response) => void response.destroy();
  await gateway.reload(configOf());
  assert.deepEqual(await ask('/echo'), [402, '0.8']);
  await gateway.reload(configOf({ rates: { BTC: { usd: '20000' } } }));
  assert.deepEqual(await ask('/echo'), [402, '0.2']);
});

test('the rate of a quote is honoured for as long as the quote is, with every client', async (t) => {
  const chain = await startEvmDevnet();
  t.after(() => chain.close());
  for (const [index, [name, make]] of CLIENTS.entries()) {
    const source = await startRates(t, '1000');
    const rates = { BTC: { url: source.url, json: 'data.usd', every: '10ms', tolerance: '100%' } };
    const price = { per: { call: '1000 sat' }, max: '$0.10' };
    const s = await priceStage(t, chain, index + 2, price, { rates });
    const changed = afterFirst402(async () => {
      for (const usd of ['1500', '2000', '1800']) {
        source.answer = says(usd);
        await source.read(2);
      }
    });
    const client = make(s, changed);
    const response = await client(`${s.gateway.url}/echo`, { method: 'POST', body: 'hello' });
    assert.equal(response.status, 200, `${name}: ${await response.clone().text()}`);
    assert.equal(await s.paid(), 10_000n, name);
    assert.equal(await s.asked(), 18_000n, name);
    // The gateway's clock has left the time for which the old rate is known.
    s.skewMs = 16_000;
    source.answer = says('1000');
    await source.read(2);
    assert.equal(await s.asked(), 10_000n);
  }
});

test('a rate is known for as long as a quote made by it may be paid, and nothing is read after the end', async () => {
  let nowMs = 0;
  let usd = 100;
  const sources = {
    BTC: {
      kind: 'read' as const,
      ...{ url: 'http://127.0.0.1/', json: ['usd'], everyMs: 0, staleAfterMs: 1e9 },
      tolerance: { n: 1n, d: 1n },
    },
  };
  let reads = 0;
  const readings = new RateReadings({
    ...{ sources, keepMs: 100, log: silentLog },
    clock: { now: () => nowMs },
    fetch: async () => {
      reads += 1;
      nowMs += 10;
      usd += 1;
      return Response.json({ usd });
    },
  });
  await readings.start();
  const seen = new Map<number, unknown>();
  await until(() => {
    seen.set(nowMs, readings.at(nowMs));
    return reads > 50;
  });
  await readings.close();
  const last = reads;
  await until(() => true);
  assert.equal(reads, last, 'nothing is read after the end');
  for (const [atMs, rates] of seen)
    if (atMs >= nowMs - 100 && atMs < nowMs) assert.equal(readings.at(atMs), rates, `${atMs}`);
});
