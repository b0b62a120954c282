import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { type TestContext, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import type { Worker } from 'node:worker_threads';
import { StoreUnavailable } from '../../src/core/errors.ts';
import type { Ledger } from '../../src/core/ports/ledger.ts';
import { DatabaseInUse } from '../../src/storage/errors.ts';
import type { Database } from '../../src/storage/transaction.ts';
import {
  captureOf,
  createKey,
  engines,
  freshFolder,
  open,
  openInThread,
  prepaidHold,
  releaseOf,
} from './fixture.ts';

const CHILD = fileURLToPath(new URL('./crash-child.ts', import.meta.url));

interface Acknowledged {
  readonly held: Set<string>;
  readonly captured: Map<string, bigint>;
}

function startChild(t: TestContext, url: string, owner: string): ChildProcess {
  const child = spawn(process.execPath, [CHILD, url, owner], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  t.after(() => child.kill('SIGKILL'));
  return child;
}

/** Kills the child, as a power cut would, after it has acknowledged that many operations; returns them. */
async function killAfter(child: ChildProcess, lines: number): Promise<Acknowledged> {
  const acknowledged: Acknowledged = { held: new Set(), captured: new Map() };
  if (child.stdout === null) throw new Error('The child has no stdout');
  let seen = 0;
  for await (const line of createInterface({ input: child.stdout })) {
    // A line that the kill has cut lacks its full stop.
    if (line.endsWith(' .')) {
      const [verb, id = '', amount = ''] = line.split(' ');
      if (verb === 'held') acknowledged.held.add(id);
      if (verb === 'captured') acknowledged.captured.set(id, BigInt(amount));
    }
    if (++seen === lines) child.kill('SIGKILL');
  }
  if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
  assert.equal(child.signalCode, 'SIGKILL');
  return acknowledged;
}

for (const engine of engines) {
  test(`${engine.name}: what was answered is there after close and reopen`, async (t) => {
    const url = engine.freshUrl(t);
    const first = await open(t, { url });
    await createKey(first, 'key_1', 10_000n);
    const hold = prepaidHold('key_1', 1_000n);
    await first.holdPrepaid(hold);
    const before = await first.findPayment(hold.claim.id);
    await first.close();
    await assert.rejects(first.findPayment(hold.claim.id), StoreUnavailable);

    const second = await open(t, { url });
    assert.deepEqual(await second.findPayment(hold.claim.id), before);
    assert.equal((await second.capture(captureOf(hold.claim.id, 400n))).outcome, 'done');
    assert.equal((await second.findKey('key_1'))?.balance, 9_600n);
    assert.deepEqual(await second.audit(), []);
  });

  test(`${engine.name}: openings that race to create and migrate one database all succeed`, async (t) => {
    const url = engine.freshUrl(t);
    const racers = Array.from({ length: 6 }, (_, i) => open(t, { url, exclusive: i === 3 }));
    const ledgers = await Promise.all(racers);
    const secrets = ledgers.map((ledger, i) => ledger.sharedSecret('quotes', `candidate ${i}`));
    assert.equal(new Set(await Promise.all(secrets)).size, 1);
  });

  test(`${engine.name}: security: killed at any instant, every answered operation is there and the books balance`, async (t) => {
    const url = engine.freshUrl(t);
    const setUp = await open(t, { url });
    await createKey(setUp, 'key_1', 1_000_000n);
    await setUp.close();
    for (const [round, lines] of [40, 333, 1_200].entries()) {
      const child = startChild(t, url, `proc_${round}`);
      const acknowledged = await killAfter(child, lines);
      assert.ok(acknowledged.captured.size > 0);

      // The operating system gave the lock back with the process: no waiting, no cleaning up.
      const ledger = await open(t, { url });
      assert.deepEqual(await ledger.audit(), []);
      for (const id of acknowledged.held)
        assert.ok(await ledger.findPayment(id), `the hold ${id} was answered and is gone`);
      for (const [id, amount] of acknowledged.captured) {
        const payment = await ledger.findPayment(id);
        assert.equal(payment?.state, 'settled');
        assert.equal(payment.amount, amount);
      }
      // What was running when it died is taken over and given back.
      for (const payment of await ledger.takeLapsed('proc_next', Date.now()))
        assert.equal((await ledger.release(releaseOf(payment.id, 'proc_next'))).outcome, 'done');
      const held = (await ledger.balances()).find((row) => row.account === 'held:key_1');
      assert.equal(held?.balance, 0n);
      assert.deepEqual(await ledger.audit(), []);
      await ledger.close();
    }
  });

  test(`${engine.name}: a second gateway is refused while commands work beside the first`, async (t) => {
    const url = engine.freshUrl(t);
    const gateway = await open(t, { url });
    await createKey(gateway, 'key_1', 10_000n);
    await assert.rejects(open(t, { url }), (error) => {
      assert.ok(error instanceof DatabaseInUse);
      assert.match(error.hint, /Stop the other gateway/);
      return true;
    });
    const command = await open(t, { url, exclusive: false });
    const work = Array.from({ length: 20 }, async (_, i) => {
      const hold = prepaidHold('key_1', 10n);
      assert.equal((await gateway.holdPrepaid(hold)).outcome, 'held');
      assert.equal((await gateway.capture(captureOf(hold.claim.id, 5n))).outcome, 'done');
      await command.topUpKey('key_1', 100n, 'operator', i);
    });
    await Promise.all(work);
    assert.equal((await command.findKey('key_1'))?.balance, 10_000n + 2_000n - 100n);
    assert.deepEqual(await command.audit(), []);
    // The refused opening did not loosen the lock, and the closing of a command does not either.
    await command.close();
    await assert.rejects(open(t, { url }), DatabaseInUse);
    await gateway.close();
    await (await open(t, { url })).close();
  });

  test(`${engine.name}: a second gateway in another process is refused, and welcome after a kill`, async (t) => {
    const url = engine.freshUrl(t);
    const setUp = await open(t, { url });
    await createKey(setUp, 'key_1', 1_000_000n);
    await setUp.close();
    const child = startChild(t, url, 'proc_child');
    if (child.stdout === null) throw new Error('The child has no stdout');
    await once(child.stdout, 'readable');
    await assert.rejects(open(t, { url }), DatabaseInUse);
    child.kill('SIGKILL');
    child.stdout.resume();
    await once(child, 'exit');
    const ledger = await open(t, { url });
    assert.deepEqual(await ledger.audit(), []);
  });
}

test('sqlite: security: neither a refused opening nor a command of the same process loosens the lock', async (t) => {
  // POSIX drops all locks of a process on a file when the process closes any descriptor of it.
  const url = `sqlite:${join(freshFolder(t), 'ledger.db')}`;
  await open(t, { url });
  await assert.rejects(open(t, { url }), DatabaseInUse);
  await (await open(t, { url, exclusive: false })).close();
  const child = spawn(process.execPath, [CHILD, url, 'proc_child'], { stdio: 'pipe' });
  t.after(() => child.kill('SIGKILL'));
  let errors = '';
  child.stderr.on('data', (chunk: Buffer) => {
    errors += chunk.toString();
  });
  child.stdout.on('data', () => child.kill('SIGKILL'));
  await once(child, 'close');
  assert.match(errors, /database_in_use/);
});

/** Opens a ledger in this thread whose engine is then broken by a pragma, and mended by another. */
async function withBroken(
  t: TestContext,
  breaking: string,
  mending: string,
  attack: (ledger: Ledger) => Promise<void>,
): Promise<void> {
  const { ledger, database } = await openInThread(join(freshFolder(t), 'ledger.db'));
  const pragma = async (db: Database, sql: string) =>
    await db.transact('read', (tx) => tx.all(sql));
  await createKey(ledger, 'key_1', 10_000n);
  const hold = prepaidHold('key_1', 1_000n);
  await ledger.holdPrepaid(hold);
  const before = await ledger.balances();
  await pragma(database, breaking);
  await attack(ledger);
  assert.deepEqual(await ledger.balances(), before);
  await pragma(database, mending);
  assert.equal((await ledger.capture(captureOf(hold.claim.id, 600n))).outcome, 'done');
  assert.equal((await ledger.findKey('key_1'))?.balance, 9_400n);
  assert.deepEqual(await ledger.audit(), []);
  await ledger.close();
}

test('sqlite: security: a full disk refuses the whole batch, loses nothing and heals', async (t) => {
  // A page count below the file's own size means: not one page more.
  await withBroken(
    t,
    'PRAGMA max_page_count = 1',
    'PRAGMA max_page_count = 1000000',
    async (ledger) => {
      const holds = Array.from({ length: 200 }, () =>
        ledger.holdPrepaid(prepaidHold('key_1', 10n)),
      );
      const results = await Promise.allSettled(holds);
      assert.ok(results.every((result) => result.status === 'rejected'));
      assert.ok(results.every((result) => result.reason instanceof StoreUnavailable));
      assert.deepEqual(await ledger.listPayments({ limit: 10, state: 'claimed' }), []);
    },
  );
});

test('sqlite: security: a read-only database refuses every write, still reads, loses nothing and heals', async (t) => {
  await withBroken(t, 'PRAGMA query_only = 1', 'PRAGMA query_only = 0', async (ledger) => {
    await assert.rejects(ledger.holdPrepaid(prepaidHold('key_1', 10n)), StoreUnavailable);
    await assert.rejects(ledger.topUpKey('key_1', 10n, 'operator', 1), StoreUnavailable);
    assert.equal((await ledger.findKey('key_1'))?.balance, 9_000n);
  });
});

test('sqlite: a write that waits too long for another process is refused and works later', async (t) => {
  const path = join(freshFolder(t), 'ledger.db');
  const ledger = await open(t, { url: `sqlite:${path}`, busyTimeoutMs: 20 });
  await createKey(ledger, 'key_1', 10_000n);
  const other = await openInThread(path);
  await other.database.transact('write', async () => {
    await assert.rejects(ledger.holdPrepaid(prepaidHold('key_1', 10n)), StoreUnavailable);
    assert.equal((await ledger.findKey('key_1'))?.balance, 10_000n);
  });
  assert.equal((await ledger.holdPrepaid(prepaidHold('key_1', 10n))).outcome, 'held');
  await other.ledger.close();
});

test('sqlite: when the thread of the database dies, all that waits is refused and the process is told', async (t) => {
  const workers: Worker[] = [];
  const keep = (worker: Worker): void => void workers.push(worker);
  process.on('worker', keep);
  t.after(() => process.off('worker', keep));
  const died = Promise.withResolvers<Error>();
  const url = `sqlite:${join(freshFolder(t), 'ledger.db')}`;
  const ledger = await open(t, { url, onFatal: died.resolve });
  await createKey(ledger, 'key_1', 10_000n);
  const waiting = Array.from({ length: 600 }, () => ledger.holdPrepaid(prepaidHold('key_1', 1n)));
  const settledAll = Promise.allSettled(waiting);
  await workers[0]?.terminate();
  assert.ok((await died.promise) instanceof StoreUnavailable);
  const rejected = (await settledAll).filter((result) => result.status === 'rejected');
  assert.ok(rejected.every((result) => result.reason instanceof StoreUnavailable));
  await assert.rejects(ledger.findKey('key_1'), StoreUnavailable);
  await ledger.close();

  // What it had answered is there, and the lock went with the thread.
  const answered = 600 - rejected.length;
  const again = await open(t, { url });
  assert.ok((await again.listPayments({ limit: 1_000 })).length >= answered);
  assert.deepEqual(await again.audit(), []);
});
