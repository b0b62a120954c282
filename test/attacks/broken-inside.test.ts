/** The inside of a running gateway breaks: its store, its ledger's thread, the process itself; afterwards nothing is lost. */

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, it, type TestContext } from 'node:test';
import { systemClock } from '../../src/core/clock.ts';
import { FINAL_STATES } from '../../src/core/payment.ts';
import type { Ledger } from '../../src/core/ports/ledger.ts';
import { type EvmDevnet, startEvmDevnet } from '../../src/devnet/start-evm-devnet.ts';
import { openLedger } from '../../src/ledger/open-ledger.ts';
import { failOnLeaks } from '../support/leak-check.ts';
import { signPayment } from '../support/sign-payment.ts';
import { type GatewayProcess, spawnGateway } from '../support/spawn-gateway.ts';
import { startUpstream, type TestUpstream } from '../support/start-upstream.ts';
import { tempDir } from '../support/temp-dir.ts';
import { until } from '../support/until.ts';
import { CENT, createKey, DOLLAR } from './fixture.ts';
import { assertTryAgain, PRICE, type Seen, see } from './outside-stage.ts';

failOnLeaks();

let chain: EvmDevnet;
before(async () => {
  chain = await startEvmDevnet({ accountsCount: 12 });
});
after(() => chain.close());

interface InsideStage {
  gateway: GatewayProcess;
  readonly upstream: TestUpstream;
  readonly ledger: Ledger;
  readonly key: Headers;
  start(): Promise<void>;
  sign(path: string): Promise<Headers>;
  send(path: string, headers?: Headers): Promise<Seen>;
  balance(): Promise<bigint | undefined>;
  received(): Promise<bigint>;
}

let nextAccount = 0;

async function insideStage(t: TestContext): Promise<InsideStage> {
  const folder = tempDir(t);
  const config = join(folder, 'coinslot.yaml');
  const upstream = await startUpstream(t);
  const [settler, payer] = [chain.accounts[nextAccount++], chain.accounts[nextAccount++]];
  assert.ok(settler && payer);
  const payTo = `0x${randomBytes(20).toString('hex')}`;
  const route = { upstream: 'api', price: '$0.01', timeout: '2s' };
  const paid = ['* /echo', '* /gate', '* /sse-gate'].map((path) => [path, route]);
  const settings = {
    listen: '127.0.0.1:0',
    database: 'sqlite:test.db',
    upstreams: { api: { url: upstream.url } },
    payments: {
      prepaid: {},
      x402: {
        payTo: { eip155: payTo },
        networks: {
          [chain.network]: { rpc: chain.rpcUrl, settleWith: '${SETTLEMENT_KEY}', pollMs: 10 },
        },
      },
    },
    routes: { ...Object.fromEntries(paid), 'GET /free': { upstream: 'api', price: 'free' } },
  };
  await writeFile(config, JSON.stringify(settings));
  const env = { SETTLEMENT_KEY: settler.privateKey };
  const gateway = await spawnGateway(t, { config, env });
  const ledger = await openLedger({
    ...{ url: `sqlite:${join(folder, 'test.db')}`, clock: systemClock, exclusive: false },
    onFatal: (error) => assert.fail(error),
  });
  t.after(() => ledger.close());
  const { id, key } = await createKey(ledger);
  const stage: InsideStage = {
    ...{ gateway, upstream, ledger, key: new Headers({ 'x-api-key': key }) },
    async start() {
      stage.gateway = await spawnGateway(t, { config, env });
    },
    sign: (path) => signPayment(stage.gateway.url + path, payer.privateKey),
    send: (path, headers) => see(stage.gateway.url + path, headers),
    balance: async () => (await ledger.findKey(id))?.balance,
    received: () => chain.usdcBalance(payTo),
  };
  return stage;
}

type Breaking = (gateway: GatewayProcess) => Promise<void>;

const pragma =
  (sql: string): Breaking =>
  (gateway) =>
    gateway.order({ order: 'pragma', sql });

/** Limits the bytes that any file of the process may have: what is written beyond fails, as on a full disk. */
const fileSize =
  (soft: string): Breaking =>
  async ({ pid }) => {
    const { status, stderr } = spawnSync('prlimit', ['--pid', String(pid), `--fsize=${soft}:`]);
    assert.equal(status, 0, String(stderr));
  };

const hasPrlimit = spawnSync('prlimit', ['--version']).status === 0;

const WAYS: readonly (readonly [
  name: string,
  breaks: Breaking,
  mends: Breaking,
  works: boolean,
])[] = [
  ['can only be read', pragma('PRAGMA query_only = 1'), pragma('PRAGMA query_only = 0'), true],
  ['takes no more bytes', fileSize('1000'), fileSize('unlimited'), hasPrlimit],
];

describe('a gateway whose database', { concurrency: true }, () => {
  for (const [name, breaks, mends, works] of WAYS)
    it(`${name}: paid routes are 503, free ones serve, and nothing is lost or paid twice`, {
      skip: works ? false : 'prlimit is not on this machine',
    }, async (t) => {
      const s = await insideStage(t);
      assert.equal((await s.send('/echo', s.key)).status, 200);
      const [early, late] = [await s.sign('/echo'), await s.sign('/gate')];
      assert.equal((await s.send('/echo', await s.sign('/echo'))).status, 200);
      // Both are running when the store breaks: what they bought cannot be written down.
      const running = [s.send('/gate', s.key), s.send('/gate', late)];
      await s.upstream.seen('/gate', 2);

      await breaks(s.gateway);
      s.upstream.open();
      for (const one of await Promise.all(running)) assertTryAgain(one);
      assertTryAgain(await s.send('/echo', s.key));
      assertTryAgain(await s.send('/echo', early));
      assert.equal((await s.send('/free')).status, 200);
      assert.equal(s.upstream.calls('/echo'), 2, 'nothing ran that could not be held');

      await mends(s.gateway);
      await settledDown(s);
      assert.equal(await s.balance(), DOLLAR - CENT, 'the work that was not handed out is free');
      await until(async () => (await s.send('/echo', early)).status === 200);
      assert.equal((await s.send('/echo', s.key)).status, 200);
      await settledDown(s);
      assert.equal(await s.balance(), DOLLAR - 2n * CENT);
      assert.equal(await s.received(), 2n * PRICE);
      assert.equal(s.upstream.calls('/gate'), 2);
      assert.deepEqual(await s.ledger.audit(), []);
    });

  it('loses the thread that writes it: the process ends by itself, and the next one finishes what it left', async (t) => {
    const s = await insideStage(t);
    const headers = await s.sign('/gate');
    const running = [s.send('/gate', s.key), s.send('/gate', headers)].map((one) =>
      assert.rejects(one, /fetch failed/),
    );
    await s.upstream.seen('/gate', 2);
    await s.gateway.order({ order: 'kill-ledger-thread' });
    assert.equal(await s.gateway.ended, 1);
    await Promise.all(running);
    s.upstream.open();
    await s.start();
    await settledDown(s);
    assert.equal(await s.balance(), DOLLAR);
    assert.equal(await s.received(), 0n);
    assert.equal((await s.send('/echo', s.key)).status, 200);
    assert.deepEqual(await s.ledger.audit(), []);
  });

  it('is left by a killed process in the middle of a stream that a wallet has paid for: it is owed back', async (t) => {
    const s = await insideStage(t);
    const headers = await s.sign('/sse-gate');
    const response = await fetch(`${s.gateway.url}/sse-gate`, { headers });
    const reader = response.body?.getReader();
    await reader?.read();
    await s.gateway.end('SIGKILL');
    await assert.rejects(async () => await reader?.read());
    s.upstream.open();
    await s.start();
    await until(async () => (await s.ledger.listPayments({ limit: 1 }))[0]?.state === 'refund_due');
    assert.equal(await s.received(), PRICE);
    assert.deepEqual(await s.ledger.audit(), []);
  });
});

async function settledDown({ ledger }: InsideStage): Promise<void> {
  await until(
    async () => {
      const payments = await ledger.listPayments({ limit: 100 });
      return payments.every(({ state }) => FINAL_STATES.has(state));
    },
    { what: 'the end of every payment' },
  );
}
