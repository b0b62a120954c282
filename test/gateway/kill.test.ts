import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { type TestContext, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { systemClock } from '../../src/core/clock.ts';
import { FINAL_STATES } from '../../src/core/payment.ts';
import type { Ledger } from '../../src/core/ports/ledger.ts';
import { type EvmDevnet, startEvmDevnet } from '../../src/devnet/start-evm-devnet.ts';
import { openLedger } from '../../src/ledger/open-ledger.ts';
import { signPayment } from '../support/sign-payment.ts';
import { tempDatabase } from '../support/start-gateway.ts';
import { startUpstream } from '../support/start-upstream.ts';

const REQUESTS = 200;
const KILL_AFTER = 40;
const PRICE = 10_000n;

test('kill -9 in the middle of 200 paid requests: after a restart nothing is lost, open or paid twice', async (t) => {
  const chain = await startEvmDevnet();
  t.after(() => chain.close());
  const upstream = await startUpstream(t);
  const payTo = '0x00000000000000000000000000000000000c0135';
  const database = await tempDatabase(t);
  const config = await writeConfig(database, chain, upstream.url, payTo);
  const [settler, payer] = chain.accounts;
  assert.ok(settler && payer);
  const env = { ...process.env, SETTLEMENT_KEY: settler.privateKey };

  const first = await startCli(t, config, env);
  const paths = Array.from({ length: REQUESTS }, (_, i) => `/echo?n=${i}`);
  const headers = await Promise.all(
    paths.map((path) => signPayment(first.url + path, payer.privateKey)),
  );
  const send = (url: string) =>
    paths.map((path, i) =>
      fetch(url + path, { headers: headers[i] as Headers }).then(statusOf, () => 0),
    );
  let answered = 0;
  const statuses = send(first.url).map((one) =>
    one.then((status) => {
      answered += 1;
      if (answered === KILL_AFTER) first.process.kill('SIGKILL');
      return status;
    }),
  );
  const before = await Promise.all(statuses);
  assert.ok(before.includes(0), 'the kill came too late to interrupt anything');
  assert.ok(before.includes(200), 'the kill came too early for any answer');

  const second = await startCli(t, config, env);
  const ledger = await openLedger({
    url: database,
    clock: systemClock,
    exclusive: false,
    onFatal: () => {},
  });
  t.after(() => ledger.close());
  await settledDown(ledger);

  const after = await Promise.all(send(second.url));
  for (const [i, status] of before.entries())
    if (status === 200)
      assert.equal(after[i], 200, `request ${i} was answered and is not replayed`);
  await settledDown(ledger);
  const ran = upstream.calls('/echo');
  const payments = await ledger.listPayments({ limit: 10_000 });
  const settled = payments.filter((payment) => payment.state === 'settled');
  assert.deepEqual(await ledger.audit(), []);
  assert.deepEqual(
    payments.filter((payment) => !FINAL_STATES.has(payment.state)),
    [],
  );
  assert.equal(new Set(payments.map((payment) => payment.credentialKey)).size, payments.length);
  assert.ok(ran <= payments.length, `${ran} upstream calls for ${payments.length} payments`);
  assert.equal(await chain.usdcBalance(payTo), PRICE * BigInt(settled.length));
  assert.equal(
    after.filter((status) => status === 200).length,
    settled.length,
    'paid without an answer',
  );
});

async function writeConfig(
  database: string,
  chain: EvmDevnet,
  upstream: string,
  payTo: string,
): Promise<string> {
  const file = join(dirname(database.replace('sqlite:', '')), 'coinslot.yaml');
  const config = {
    listen: '127.0.0.1:0',
    database,
    upstreams: { api: { url: upstream } },
    payments: {
      x402: {
        payTo: { eip155: payTo },
        networks: {
          [chain.network]: { rpc: chain.rpcUrl, settleWith: '${SETTLEMENT_KEY}', pollMs: 10 },
        },
      },
    },
    exposure: { perPayer: '$100', perNetwork: '$100' },
    routes: { 'GET /echo': { upstream: 'api', price: '$0.01', timeout: '10s' } },
  };
  await writeFile(file, JSON.stringify(config));
  return file;
}

async function startCli(
  t: TestContext,
  config: string,
  env: NodeJS.ProcessEnv,
): Promise<{ url: string; process: ChildProcess }> {
  const main = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url));
  const child = spawn(process.execPath, [main, 'start', '--config', config, '--json'], {
    env,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  t.after(async () => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    child.kill('SIGTERM');
    await once(child, 'exit');
  });
  for await (const line of createInterface({ input: child.stdout })) {
    const ready = readyLine(line);
    if (ready) {
      child.stdout.resume();
      return { url: ready, process: child };
    }
  }
  throw new Error('coinslot start ended without being ready');
}

function readyLine(line: string): string | null {
  try {
    const value: unknown = JSON.parse(line);
    return typeof value === 'object' && value !== null && 'url' in value ? String(value.url) : null;
  } catch {
    return null;
  }
}

/** Waits until no payment is between two states; recovery works in rounds of its own. */
async function settledDown(ledger: Ledger): Promise<void> {
  const deadline = Date.now() + 30_000;
  while (Date.now() < deadline) {
    const payments = await ledger.listPayments({ limit: 10_000 });
    if (payments.every((payment) => FINAL_STATES.has(payment.state))) return;
    await pause(50);
  }
  throw new Error('payments are still open after 30 s');
}

async function statusOf(response: Response): Promise<number> {
  await response.arrayBuffer();
  return response.status;
}
