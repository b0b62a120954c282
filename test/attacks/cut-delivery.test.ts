/** Answers that are paid before they leave and are kept nowhere: whoever got only a part of one is owed the money. */

import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { after, before, type TestContext, test } from 'node:test';
import { systemClock } from '../../src/core/clock.ts';
import type { Payment, PaymentState } from '../../src/core/payment.ts';
import { type EvmDevnet, startEvmDevnet } from '../../src/devnet/start-evm-devnet.ts';
import { openLedger } from '../../src/ledger/open-ledger.ts';
import { signPayment } from '../support/sign-payment.ts';
import { type GatewayProcess, spawnGateway } from '../support/spawn-gateway.ts';
import { tempDatabase } from '../support/start-gateway.ts';
import { startUpstream, type TestUpstream } from '../support/start-upstream.ts';
import { until } from '../support/until.ts';
import { type RawClient, rawClient } from './fixture.ts';

let chain: EvmDevnet;
let nextAccount = 0;

before(async () => {
  chain = await startEvmDevnet({ accountsCount: 40 });
});
after(() => chain.close());

const BYTES = 20_000_000;

interface CutStage {
  readonly gateway: GatewayProcess;
  readonly upstream: TestUpstream;
  readonly database: string;
  sign(path: string): Promise<Headers>;
  /** A paid request of which nothing is read yet. */
  pay(path: string): Promise<RawClient>;
  kill(): Promise<void>;
  /** Starts the next gateway on the same database. */
  restart(): Promise<void>;
  only(state: PaymentState): Promise<Payment>;
}

async function stage(t: TestContext, route: object = {}): Promise<CutStage> {
  const upstream = await startUpstream(t);
  const database = await tempDatabase(t);
  const config = join(dirname(database.replace('sqlite:', '')), 'coinslot.yaml');
  const [settler, payer] = [chain.accounts[nextAccount++], chain.accounts[nextAccount++]];
  assert.ok(settler && payer, 'the devnet has too few accounts');
  const paid = { upstream: 'api', price: '$0.01', timeout: '10s', ...route };
  const network = { rpc: chain.rpcUrl, settleWith: '${SETTLEMENT_KEY}', pollMs: 10 };
  const settings = {
    listen: '127.0.0.1:0',
    database,
    upstreams: { api: { url: upstream.url } },
    payments: {
      x402: {
        payTo: { eip155: '0x00000000000000000000000000000000000c0135' },
        networks: { [chain.network]: network },
      },
    },
    routes: { 'GET /sse-gate': paid, 'GET /sse': paid, 'GET /large/:bytes': paid },
    exact: { bufferBytes: '32MiB' },
  };
  await writeFile(config, JSON.stringify(settings));
  const start = (): Promise<GatewayProcess> =>
    spawnGateway(t, { config, env: { SETTLEMENT_KEY: settler.privateKey } });
  const first = await start();
  const onFatal = (error: Error): never => {
    throw error;
  };
  const ledger = await openLedger({ url: database, clock: systemClock, exclusive: false, onFatal });
  t.after(async () => {
    assert.deepEqual(await ledger.audit(), []);
    await ledger.close();
  });
  const s = {
    ...{ gateway: first, upstream, database },
    sign: (path: string) => signPayment(s.gateway.url + path, payer.privateKey),
    async pay(path: string) {
      const headers = await s.sign(path);
      const client = await rawClient(t, s.gateway.url);
      client.socket.pause();
      const credential = headers.get('payment-signature');
      client.send(`GET ${path} HTTP/1.1\r\nHost: a\r\nPAYMENT-SIGNATURE: ${credential}\r\n\r\n`);
      return client;
    },
    kill: () => s.gateway.end(),
    async restart() {
      s.gateway = await start();
    },
    only: (state: PaymentState) =>
      until(async () => {
        const [payment, ...more] = await ledger.listPayments({ limit: 2 });
        assert.equal(more.length, 0);
        return payment?.state === state && payment;
      }),
  };
  return s;
}

/** Both are paid before their first byte: one that streams, and one that is whole and too large to be kept. */
for (const [path, first] of [
  ['/sse-gate', /data: 1/],
  [`/large/${BYTES}`, /xxx/],
] as const) {
  test(`kill -9 in the middle of ${path}: paid, cut off, and owed back`, async (t) => {
    const s = await stage(t);
    const client = await s.pay(path);
    await s.only('settled');
    await s.kill();
    await s.restart();
    assert.equal((await s.only('refund_due')).reason, 'gateway_stopped');
    client.socket.resume();
    await client.rest();
  });

  test(`kill -9 after ${path} was delivered: it stays sold`, async (t) => {
    const s = await stage(t);
    s.upstream.open();
    const response = await fetch(s.gateway.url + path, { headers: await s.sign(path) });
    assert.equal(response.status, 200);
    await response.arrayBuffer();
    await allDelivered(s.database);
    await s.kill();
    await s.restart();
    await s.only('settled');
  });

  for (const [onAbort, state, reason] of [
    ['capture-measured', 'settled', null],
    ['drain', 'settled', null],
    ['release', 'refund_due', 'client_gone'],
  ] as const)
    test(`who leaves in the middle of ${path} with onAbort ${onAbort}: ${state}, also after a kill`, async (t) => {
      const s = await stage(t, { onAbort });
      const client = await s.pay(path);
      client.socket.resume();
      await client.until(first);
      client.socket.destroy();
      if (onAbort === 'drain') s.upstream.open();
      await allDelivered(s.database);
      await s.kill();
      await s.restart();
      assert.equal((await s.only(state)).reason, reason);
    });
}

/** Once no answer is under way any more, so that a process that takes over finds none to owe back. */
async function allDelivered(database: string): Promise<void> {
  const file = new DatabaseSync(database.replace('sqlite:', ''), { readOnly: true });
  try {
    const marked = file.prepare('SELECT COUNT(*) AS count FROM payment WHERE delivering = 1');
    await until(() => marked.get()?.count === 0);
  } finally {
    file.close();
  }
}
