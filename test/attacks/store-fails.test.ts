import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { type TestContext, test } from 'node:test';
import { systemClock } from '../../src/core/clock.ts';
import { StoreUnavailable } from '../../src/core/errors.ts';
import { silentLog } from '../../src/core/log.ts';
import { parseUsd } from '../../src/core/money.ts';
import type { PaymentState } from '../../src/core/payment.ts';
import type { Ledger } from '../../src/core/ports/ledger.ts';
import { openLedger } from '../../src/ledger/open-ledger.ts';
import { createFreeRail } from '../../src/rails/free/server.ts';
import { createPrepaidRail } from '../../src/rails/prepaid/server.ts';
import { createAnswerExchange } from '../../src/request/answer-exchange.ts';
import { InFlight } from '../../src/request/in-flight.ts';
import { compileRoutes } from '../../src/request/match-route.ts';
import type { RequestParts } from '../../src/request/parts.ts';
import { withheldHeaders } from '../../src/request/proxy-upstream.ts';
import { createRateLimits } from '../../src/request/rate-limits.ts';
import { Running } from '../../src/request/running.ts';
import { ServicePrices } from '../../src/request/service-prices.ts';
import { ShadowCounts } from '../../src/request/shadow-counts.ts';
import { serveNode } from '../../src/serve/node.ts';
import { createRecovery, type Recovery } from '../../src/settlement/recovery.ts';
import { httpUpstream } from '../../src/upstreams/http.ts';
import { dialectFor } from '../../src/upstreams/index.ts';
import { routeOf } from '../support/route-of.ts';
import { tempDatabase } from '../support/start-gateway.ts';
import { startUpstream, type TestUpstream } from '../support/start-upstream.ts';
import { testQuotes } from '../support/test-quotes.ts';
import { createKey, DOLLAR } from './fixture.ts';

type Failure = 'before' | 'after';

interface Line {
  readonly url: string;
  readonly key: { readonly id: string; readonly key: string };
  readonly ledger: Ledger;
  readonly parts: RequestParts;
  readonly recovery: Recovery;
  readonly upstream: TestUpstream;
  /** The next calls of this operation fail, `before` or `after` they were written. */
  fail(name: keyof Ledger, how: Failure, times?: number): void;
  states(): Promise<PaymentState[]>;
  balance(): Promise<bigint | undefined>;
  call(path: string, init?: RequestInit): Promise<Response>;
}

/** The request line over a ledger that fails on demand, and recovery that runs only when asked. */
async function line(t: TestContext, paidPerMinute = 100): Promise<Line> {
  const upstream = await startUpstream(t);
  const clock = systemClock;
  const real = await openLedger({
    ...{ url: await tempDatabase(t), clock, exclusive: true },
    onFatal: (error) => assert.fail(error),
  });
  const failures = new Map<PropertyKey, { how: Failure; times: number }>();
  const ledger = failing(real, failures);
  const api = httpUpstream({
    ...{ url: upstream.url, headers: {}, connections: 4 },
    ...{ connectMs: 1_000, headMs: 1_000, idleMs: 1_000 },
  });
  const rail = { ledger, clock, random: randomBytes, marginMs: 1_000 };
  const free = {
    ...rail,
    callsPerDay: 1,
    per: 'ip',
    perDayTotal: null,
    readKey: () => null,
  } as const;
  const limits = {
    ...{ unpaidPerMinute: 100, failuresPerMinute: 100 },
    requestsPerMinute: { ip: 1_000, key: paidPerMinute, wallet: 100 },
  };
  const parts: RequestParts = {
    matchRoute: compileRoutes([
      routeOf('* /echo', { freeTier: false }),
      routeOf('* /status/:code', { freeTier: false }),
      routeOf('* /sse', { freeTier: false }),
      routeOf('* /sse-half', { freeTier: false }),
      routeOf('* /large/:bytes'),
    ]),
    quotes: testQuotes('secret', 1_000),
    rails: [createPrepaidRail(rail), createFreeRail(free)],
    upstreams: new Map([['api', api]]),
    ...{ ledger, clock, log: silentLog, owner: 'proc_test', orphans: new Map() },
    rateLimits: createRateLimits(limits, clock),
    inFlight: new InFlight(),
    running: new Running(10),
    servicePrices: new ServicePrices({
      quotes: testQuotes('secret', 1_000),
      keepMs: 0,
      log: silentLog,
      fetch,
    }),
    shadow: new ShadowCounts(ledger, clock, silentLog),
    listCost: () => null,
    withheldHeaders: withheldHeaders(['x-api-key']),
    withheldFromMeters: withheldHeaders(['x-api-key', 'accept-encoding']),
    dialectOf: () => dialectFor('/'),
    limits: { bodyBytes: 10_000, bufferBytes: 1_000, replayBytes: 1_000 },
    corsOrigins: null,
    exposure: { perPayer: 0n, perNetwork: 0n },
    keyOf: async () => null,
  };
  const server = await serveNode(
    { handle: createAnswerExchange(parts) },
    {
      ...{ host: '127.0.0.1', port: 0, headerBytes: 16_384, requestMs: 5_000 },
      ...{ trustProxy: [], publicUrl: null },
    },
  );
  const recovery = createRecovery({
    ...{ ledger, rails: parts.rails, owner: parts.owner, clock, log: silentLog },
    ...{ orphans: parts.orphans, leaseMs: 10_000, everyMs: 1_000, replayTtlMs: 60_000 },
  });
  t.after(async () => {
    await server.close();
    await api.close();
    assert.deepEqual(await real.audit(), []);
    await real.close();
  });
  const key = await createKey(real);
  return {
    ...{ url: server.url, key, ledger: real, parts, recovery, upstream },
    fail: (name, how, times = 1) => void failures.set(name, { how, times }),
    states: async () => (await real.listPayments({ limit: 10 })).map(({ state }) => state),
    balance: async () => (await real.findKey(key.id))?.balance,
    call: (path, init = {}) =>
      fetch(server.url + path, { ...init, headers: { 'x-api-key': key.key, ...init.headers } }),
  };
}

function failing(
  ledger: Ledger,
  failures: Map<PropertyKey, { how: Failure; times: number }>,
): Ledger {
  return new Proxy(ledger, {
    get(target, name, receiver) {
      const operation: unknown = Reflect.get(target, name, receiver);
      if (typeof operation !== 'function') return operation;
      return async (...args: unknown[]) => {
        const failure = failures.get(name);
        if (!failure || failure.times === 0) return await operation.apply(target, args);
        failure.times -= 1;
        if (failure.how === 'after') await operation.apply(target, args);
        throw new StoreUnavailable(`${String(name)} failed`);
      };
    },
  });
}

const PRICE = parseUsd('$0.006');

test('a store that cannot hold runs nothing, and says when to come back', async (t) => {
  const s = await line(t);
  s.fail('holdPrepaid', 'before');
  const response = await s.call('/echo');
  assert.equal(response.status, 503);
  assert.ok(response.headers.get('retry-after'));
  assert.equal(s.upstream.calls('/echo'), 0);
  assert.deepEqual(await s.states(), []);
});

test('a store that cannot count the free tier serves nothing for free', async (t) => {
  const s = await line(t);
  s.fail('holdFree', 'before');
  const response = await fetch(`${s.url}/large/10`);
  assert.equal(response.status, 503);
  assert.equal(s.upstream.calls('/large/10'), 0);
});

test('an answer whose capture was not written is withheld, and its hold goes back', async (t) => {
  const s = await line(t);
  s.fail('capture', 'before');
  assert.equal((await s.call('/echo')).status, 503);
  assert.equal(await s.balance(), DOLLAR - PRICE);
  await s.recovery.round();
  assert.deepEqual(await s.states(), ['released']);
  assert.equal(await s.balance(), DOLLAR);
});

test('an answer whose capture was written and not heard of is there for whoever repeats the request', async (t) => {
  const s = await line(t);
  s.fail('capture', 'after');
  const headers = { 'idempotency-key': 'one' };
  assert.equal((await s.call('/echo', { headers })).status, 503);
  await s.recovery.round();
  assert.equal((await s.call('/echo', { headers })).status, 200);
  assert.equal(s.upstream.calls('/echo'), 1);
  assert.deepEqual(await s.states(), ['settled']);
  assert.equal(await s.balance(), DOLLAR - PRICE);
});

test('a stream that was delivered is paid for, although the store failed at its end', async (t) => {
  const s = await line(t);
  s.fail('capture', 'before', 2);
  assert.match(await (await s.call('/sse')).text(), /DONE/);
  assert.deepEqual(await s.states(), ['running']);
  await s.recovery.round();
  assert.deepEqual(await s.states(), ['running'], 'the second try fails as well');
  await s.recovery.round();
  assert.deepEqual(await s.states(), ['settled']);
  assert.equal(await s.balance(), DOLLAR - PRICE);
  assert.equal(s.parts.orphans.size, 0);
});

test('a stream whose capture was written and not heard of is paid for once', async (t) => {
  const s = await line(t);
  s.fail('capture', 'after');
  await (await s.call('/sse')).text();
  await s.recovery.round();
  assert.deepEqual(await s.states(), ['settled']);
  assert.equal(await s.balance(), DOLLAR - PRICE);
  assert.equal(s.parts.orphans.size, 0);
});

for (const path of ['/status/500', '/sse-half'])
  test(`a failure of the upstream (${path}) is free, although the store failed to release it at first`, async (t) => {
    const s = await line(t);
    s.fail('release', 'before', 2);
    await (await s.call(path)).text().catch(() => {});
    assert.equal(await s.balance(), DOLLAR - PRICE);
    await s.recovery.round();
    await s.recovery.round();
    assert.deepEqual(await s.states(), ['released']);
    assert.equal(await s.balance(), DOLLAR);
  });

test('a request over its rate is refused before anything is claimed, so its credential stays good', async (t) => {
  const s = await line(t, 1);
  assert.equal((await s.call('/echo')).status, 200);
  assert.equal((await s.call('/echo')).status, 429);
  assert.deepEqual(await s.states(), ['settled']);
  assert.equal(await s.balance(), DOLLAR - PRICE);
});

test('what a dead process left is given back, although the store failed in the middle of that', async (t) => {
  const s = await line(t);
  const dead = { ...s.parts, owner: 'proc_dead' };
  const server = await serveNode(
    { handle: createAnswerExchange(dead) },
    {
      ...{ host: '127.0.0.1', port: 0, headerBytes: 16_384, requestMs: 5_000 },
      ...{ trustProxy: [], publicUrl: null },
    },
  );
  s.fail('capture', 'before', 3);
  for (let i = 0; i < 3; i++) {
    const { status } = await fetch(`${server.url}/echo`, { headers: { 'x-api-key': s.key.key } });
    assert.equal(status, 503);
  }
  await server.close();
  s.parts.orphans.clear();
  s.fail('release', 'before', 1);
  await s.recovery.round();
  await s.recovery.round();
  assert.deepEqual(await s.states(), ['released', 'released', 'released']);
  assert.equal(await s.balance(), DOLLAR);
});
