/**
 * Law 11: everything ends, and has one owner. What would break it: two gateways on one database, a process that dies
 * with work of every rail in its hands, an upstream that neither answers nor hangs up.
 *
 * More attacks on it: gateway/kill, test/crash (killed again and again), attacks/broken-inside (the ledger's thread),
 * attacks/client-leaves (readers who stop reading), attacks/stop, ledger/records (leases), ledger/durability.
 */

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { after, before, type TestContext, test } from 'node:test';
import { systemClock } from '../../src/core/clock.ts';
import { FINAL_STATES } from '../../src/core/payment.ts';
import type { Ledger } from '../../src/core/ports/ledger.ts';
import { type EvmDevnet, startEvmDevnet } from '../../src/devnet/start-evm-devnet.ts';
import { openLedger } from '../../src/ledger/open-ledger.ts';
import { answered, attackedGateway, countEach, v2 } from '../support/attacked-gateway.ts';
import { spawnGateway } from '../support/spawn-gateway.ts';
import { startUpstream, type TestUpstream } from '../support/start-upstream.ts';
import { tempDir } from '../support/temp-dir.ts';
import { until } from '../support/until.ts';
import { createKey, DOLLAR } from './fixture.ts';

let chain: EvmDevnet;
before(async () => {
  chain = await startEvmDevnet({ accountsCount: 10 });
});
after(() => chain.close());

async function configFile(t: TestContext, upstream: TestUpstream): Promise<string> {
  const file = join(tempDir(t), 'coinslot.yaml');
  const route = { upstream: 'api', price: '$0.01', timeout: '10s' };
  const config = {
    listen: '127.0.0.1:0',
    database: 'sqlite:test.db',
    upstreams: { api: { url: upstream.url } },
    payments: { prepaid: {}, free: { callsPerDay: 1 } },
    routes: { 'GET /echo': route, 'GET /gate': route, 'GET /sse-gate': { ...route, free: false } },
  };
  await writeFile(file, JSON.stringify(config));
  return file;
}

async function ledgerBeside(t: TestContext, config: string): Promise<Ledger> {
  const ledger = await openLedger({
    url: `sqlite:${config.replace('coinslot.yaml', 'test.db')}`,
    ...{ clock: systemClock, exclusive: false },
    onFatal: (error) => assert.fail(error),
  });
  t.after(() => ledger.close());
  return ledger;
}

test('of three gateways that start on one database at once exactly one serves; when it is killed, the next one may', async (t) => {
  const upstream = await startUpstream(t);
  const config = await configFile(t, upstream);
  const starts = await Promise.allSettled(
    Array.from({ length: 3 }, () => spawnGateway(t, { config })),
  );
  assert.deepEqual(countEach(starts.map(({ status }) => status)), { fulfilled: 1, rejected: 2 });
  const first = starts.find((one) => one.status === 'fulfilled')?.value;
  assert.ok(first);
  assert.equal((await answered(`${first.url}/echo`)).status, 200);
  await first.end('SIGKILL');
  const second = await spawnGateway(t, { config });
  assert.equal((await answered(`${second.url}/echo`)).status, 402, 'the free call stays used');
});

test('a process that is killed with work of every kind in its hands leaves nothing taken and nothing open', async (t) => {
  const upstream = await startUpstream(t);
  const config = await configFile(t, upstream);
  const first = await spawnGateway(t, { config });
  const ledger = await ledgerBeside(t, config);
  const { id, key } = await createKey(ledger);
  const headers = { 'x-api-key': key };
  const running = [
    answered(`${first.url}/gate`, { headers }),
    answered(`${first.url}/gate`, { headers: { ...headers, 'idempotency-key': 'one' } }),
    answered(`${first.url}/gate`),
    answered(`${first.url}/sse-gate`, { headers }),
  ].map((one) => assert.rejects(one));
  await upstream.seen('/gate', 3);
  await upstream.seen('/sse-gate', 1);
  assert.equal((await ledger.findKey(id))?.balance, DOLLAR - 30_000n, 'three are held');
  await first.end('SIGKILL');
  await Promise.all(running);
  const second = await spawnGateway(t, { config });
  const payments = await until(
    async () => {
      const all = await ledger.listPayments({ limit: 10 });
      return all.every(({ state }) => FINAL_STATES.has(state)) && all;
    },
    { what: 'the end of every payment' },
  );
  assert.equal(payments.length, 4);
  assert.deepEqual(new Set(payments.map(({ state }) => state)), new Set(['released']));
  assert.equal((await ledger.findKey(id))?.balance, DOLLAR);
  assert.equal((await answered(`${second.url}/echo`)).status, 200, 'the free call came back');
  const again = await answered(`${second.url}/gate`, {
    headers: { ...headers, 'idempotency-key': 'one' },
  });
  assert.equal(again.status, 410, 'what was lost is told, not run again');
  assert.deepEqual(await ledger.audit(), []);
});

/** Says some of an answer and then nothing more, without hanging up. */
async function stuckUpstream(t: TestContext): Promise<string> {
  const server = createServer((request, response) => {
    const path = request.url ?? '';
    if (path === '/empty') return void response.writeHead(200).flushHeaders();
    if (path === '/echo') return void response.writeHead(200, { 'content-length': '9' }).write('a');
    if (path !== '/sse') return;
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    response.write('data: 1\n\n');
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

test('an upstream that stops in the middle of anything ends with its route, for keys and wallets, and its place is free again', async (t) => {
  const s = await attackedGateway(t, chain, {
    upstreamUrl: await stuckUpstream(t),
    route: { timeout: '1s' },
    over: { limits: { concurrency: 8 } },
  });
  const paths = ['/hang', '/empty', '/echo', '/sse'];
  const calls = [];
  for (const path of paths) {
    calls.push(s.call(path, { 'x-api-key': s.key }).catch(() => null));
    calls.push(s.call(path, v2(await s.sign(path))).catch(() => null));
  }
  const seen = await Promise.all(calls);
  for (const one of seen) assert.ok(one === null || one.status === 504, one?.text);
  await until(async () => (await s.payments()).every(({ state }) => FINAL_STATES.has(state)));
  const states = (await s.payments()).map(({ rail, state }) => `${rail} ${state}`);
  // What a wallet paid for a stream that then broke is owed back; all else was never taken.
  assert.deepEqual(countEach(states), {
    'prepaid released': 4,
    'x402 released': 3,
    'x402 refund_due': 1,
  });
  assert.equal(await s.keyBalance(), '$1');
  const all = await Promise.all(Array.from({ length: 8 }, () => s.call('/nothing')));
  assert.deepEqual(countEach(all.map(({ status }) => status)), { 404: 8 });
});

test('a thousand requests that all end badly leave no hold, no place and no lease behind', async (t) => {
  const s = await attackedGateway(t, chain, {
    over: { limits: { concurrency: 300, failuresPerMinute: 100_000 } },
  });
  const bad: (() => Promise<unknown>)[] = [
    () => s.call('/reset', { 'x-api-key': s.key }),
    () => s.call('/half', { 'x-api-key': s.key }),
    () => s.call('/status/500', { 'x-api-key': s.key }),
    () => s.call('/echo', { 'x-api-key': 'none of ours' }),
    () => s.call('/echo', { 'payment-signature': '!' }),
    () => s.call('/hang', { 'x-api-key': s.key }, { signal: AbortSignal.timeout(20) }),
    () => s.call('/nothing'),
    () => s.call('/sse-gate', { 'x-api-key': s.key }, { signal: AbortSignal.timeout(20) }),
  ];
  for (let round = 0; round < 5; round++)
    await Promise.allSettled(Array.from({ length: 200 }, (_, i) => bad[i % bad.length]?.()));
  await until(async () => (await s.payments()).every(({ state }) => FINAL_STATES.has(state)));
  const balances = await s.gateway.ledger.balances();
  assert.deepEqual(
    balances.filter(({ account, balance }) => /held/.test(account) && balance !== 0n),
    [],
  );
  const all = await Promise.all(Array.from({ length: 250 }, () => s.call('/free/x')));
  assert.deepEqual(countEach(all.map(({ status }) => status)), { 200: 250 });
});
