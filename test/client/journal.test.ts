import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import {
  BudgetExceeded,
  fileJournal,
  type Journal,
  JournalUnavailable,
  memoryJournal,
  payFetch,
  privateKeyWallet,
  type SignedPayment,
} from '../../src/client/index.ts';
import { PRIVATE_KEY, servePaid, signerOf } from './servers.ts';

const NOW = Date.UTC(2026, 10, 21, 12);
const DAY_MS = 86_400_000;

const signed = (change: Partial<SignedPayment> = {}): SignedPayment => ({
  method: 'POST',
  url: 'http://api.example.com/',
  requestKey: 'k1',
  headerName: 'PAYMENT-SIGNATURE',
  headerValue: 'e30=',
  network: 'eip155:84532',
  asset: '0xa',
  from: '0xb',
  payTo: '0xc',
  amount: 60n,
  nonce: '0xd',
  validBeforeMs: NOW + 60_000,
  ...change,
});

class TemporaryFolder {
  readonly path = mkdtempSync(join(tmpdir(), 'coinslot-journal-'));
  file(name = 'spend.db'): string {
    return join(this.path, name);
  }
  [Symbol.dispose](): void {
    rmSync(this.path, { recursive: true });
  }
}

const kinds: [string, (folder: TemporaryFolder) => Journal][] = [
  ['in memory', () => memoryJournal()],
  ['in a file', (folder) => fileJournal(folder.file())],
];

for (const [kind, open] of kinds)
  describe(`a journal ${kind}`, () => {
    test('counts holds and payments of the UTC day against its limit', async () => {
      using folder = new TemporaryFolder();
      const journal = open(folder);
      const hold = (id: string, amount: bigint, nowMs = NOW) =>
        journal.hold({ id, amount, perDay: 100n, nowMs });
      assert.deepEqual(await hold('a', 60n), { outcome: 'held' });
      assert.deepEqual(await hold('b', 41n), { outcome: 'exceeded', spent: 60n });
      assert.deepEqual(await hold('c', 40n), { outcome: 'held' });
      assert.deepEqual(await hold('d', 1n), { outcome: 'exceeded', spent: 100n });
      await journal.release('c');
      await journal.signed('a', signed());
      await journal.finish('a', 'paid');
      assert.deepEqual(await hold('e', 41n), { outcome: 'exceeded', spent: 60n });
      assert.deepEqual(await hold('f', 100n, NOW + DAY_MS), { outcome: 'held' });
      await journal.close();
    });

    test('counts without a limit what a limit set later must see', async () => {
      using folder = new TemporaryFolder();
      const journal = open(folder);
      await journal.hold({ id: 'a', amount: 2n ** 60n, perDay: null, nowMs: NOW });
      const outcome = await journal.hold({ id: 'b', amount: 1n, perDay: 5n, nowMs: NOW });
      assert.deepEqual(outcome, { outcome: 'exceeded', spent: 2n ** 60n });
      await journal.close();
    });

    test('hands an unknown payment to one repeat of its request until it expires', async () => {
      using folder = new TemporaryFolder();
      const journal = open(folder);
      await journal.hold({ id: 'a', amount: 60n, perDay: null, nowMs: NOW });
      await journal.signed('a', signed());
      assert.equal(await journal.takeUnknown('k1', NOW), null, 'in flight');
      await journal.finish('a', 'unknown');
      assert.equal(await journal.takeUnknown('k2', NOW), null);
      assert.equal(await journal.takeUnknown('k1', NOW + 60_000), null, 'expired');
      assert.deepEqual(await journal.takeUnknown('k1', NOW), { id: 'a', payment: signed() });
      assert.equal(await journal.takeUnknown('k1', NOW), null, 'in flight again');
      await journal.finish('a', 'paid');
      assert.equal(await journal.takeUnknown('k1', NOW), null);
      await journal.close();
    });

    test('counts a refused payment until its signature has expired', async () => {
      using folder = new TemporaryFolder();
      const journal = open(folder);
      const hold = (id: string, nowMs: number) =>
        journal.hold({ id, amount: 60n, perDay: 100n, nowMs });
      await hold('a', NOW);
      await journal.signed('a', signed());
      await journal.finish('a', 'refused');
      assert.equal((await hold('b', NOW + 119_000)).outcome, 'exceeded');
      assert.equal((await hold('c', NOW + 121_000)).outcome, 'held');
      await journal.close();
    });
  });

test('a file journal is private to its user and remembers across openings', async () => {
  using folder = new TemporaryFolder();
  const first = fileJournal(folder.file());
  await first.hold({ id: 'a', amount: 60n, perDay: 100n, nowMs: NOW });
  await first.signed('a', signed());
  await first.finish('a', 'unknown');
  await first.close();
  assert.equal(statSync(folder.file()).mode & 0o777, 0o600);
  const second = fileJournal(folder.file());
  assert.equal(
    (await second.hold({ id: 'b', amount: 60n, perDay: 100n, nowMs: NOW })).outcome,
    'exceeded',
  );
  assert.deepEqual((await second.takeUnknown('k1', NOW))?.payment, signed());
  await second.close();
});

test('a journal that is no database or of a newer version is refused by name, and no payment is signed', async () => {
  using folder = new TemporaryFolder();
  writeFileSync(folder.file('text'), 'this is not a database, and long enough to be sure of it');
  await using server = await servePaid();
  const fetch402 = payFetch(fetch, {
    wallet: privateKeyWallet(PRIVATE_KEY),
    budget: { perCall: '$1' },
    journal: folder.file('text'),
  });
  const error = await fetch402(server.url).catch((e) => e);
  assert.ok(error instanceof JournalUnavailable);
  assert.match(error.message, /text can't be used/);
  assert.equal(server.paid().length, 0);

  const { DatabaseSync } = await import('node:sqlite');
  const newer = new DatabaseSync(folder.file());
  newer.exec('PRAGMA user_version = 99');
  newer.close();
  await assert.rejects(fileJournal(folder.file()).takeUnknown('k', NOW), /newer version \(99\)/);
});

test('twenty parallel calls never overspend the day, in memory', async () => {
  await using server = await servePaid();
  const fetch402 = payFetch(fetch, {
    wallet: privateKeyWallet(PRIVATE_KEY),
    budget: { perCall: '$0.006', perDay: '$0.05' },
  });
  const calls = await Promise.allSettled(Array.from({ length: 20 }, () => fetch402(server.url)));
  const paid = calls.filter((call) => call.status === 'fulfilled');
  const refused = calls.filter((call) => call.status === 'rejected');
  assert.equal(paid.length, 8);
  assert.ok(
    refused.every((call) => call.reason instanceof BudgetExceeded && call.reason.by === 'perDay'),
  );
  assert.equal(new Set(server.paid().map((one) => one.payment)).size, 8);
});

const payerProgram = new URL('./paying-process.ts', import.meta.url).pathname;

function startPayer(args: readonly string[]) {
  return spawn(process.execPath, [payerProgram, ...args], { stdio: ['ignore', 'pipe', 'inherit'] });
}

test('two processes that share a journal file never overspend the day together', async () => {
  using folder = new TemporaryFolder();
  await using server = await servePaid();
  const payers = [1, 2].map(() => startPayer([server.url, folder.file(), '20', '$0.10']));
  const outputs = await Promise.all(
    payers.map(async (payer) => {
      const chunks: Buffer[] = [];
      payer.stdout.on('data', (chunk) => chunks.push(chunk));
      await once(payer, 'close');
      return JSON.parse(Buffer.concat(chunks).toString()) as { paid: number; over: number };
    }),
  );
  const total = (key: 'paid' | 'over') => outputs.reduce((sum, output) => sum + output[key], 0);
  assert.deepEqual([total('paid'), total('over')], [16, 24]);
  const spent = await Promise.all(server.paid().map((one) => signerOf(one.payment ?? '')));
  assert.equal(new Set(spent.map((one) => one.authorization.nonce)).size, 16);
  assert.ok(spent.reduce((sum, one) => sum + one.authorization.value, 0n) <= 100_000n);
});

test('what a killed process had sent is sent again by the next one, not signed anew', async () => {
  using folder = new TemporaryFolder();
  let arrived = () => {};
  const sent = new Promise<void>((resolve) => {
    arrived = resolve;
  });
  await using server = await servePaid((_request, response) => {
    // The first payer never gets its answer.
    if (server.paid().length === 1) arrived();
    else response.end('ok');
  });
  const killed = startPayer([server.url, folder.file(), '1', '$0.10']);
  await sent;
  killed.kill('SIGKILL');
  await once(killed, 'close');
  const fetch402 = payFetch(fetch, {
    wallet: privateKeyWallet(PRIVATE_KEY),
    budget: { perCall: '$0.05', perDay: '$0.006' },
    journal: folder.file(),
  });
  assert.equal((await fetch402(server.url)).status, 200);
  const [first, second] = server.paid();
  assert.equal(second?.payment, first?.payment);
});
