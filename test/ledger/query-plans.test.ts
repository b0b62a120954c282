/** The queries of the request path must stay fast on a ledger of any age: each must use its index. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Memory } from '../../src/ledger/memory.ts';
import { operations } from '../../src/ledger/operations.ts';
import { openSqlite } from '../../src/storage/sqlite/open-sqlite.ts';
import type { Row, Transaction, Value } from '../../src/storage/transaction.ts';
import {
  captureOf,
  captureWallet,
  createKey,
  freeHold,
  freshFolder,
  holdWallet,
  NOW,
  openInThread,
  prepaidHold,
  settledFact,
  walletClaim,
} from './fixture.ts';

/** A transaction that notes the statements it runs. */
function noting(tx: Transaction, statements: Set<string>): Transaction {
  const note = (sql: string): string => {
    statements.add(sql);
    return sql;
  };
  return {
    get: (sql, params) => tx.get(note(sql), params),
    all: (sql, params) => tx.all(note(sql), params),
    values: (sql, params) => tx.values(note(sql), params),
    allValues: (sql, params) => tx.allValues(note(sql), params),
    run: (sql, params) => tx.run(note(sql), params),
    insert: (sql, params) => tx.insert(note(sql), params),
    nest: (work) => tx.nest(work),
    version: () => tx.version(),
    triggers: () => tx.triggers(),
  };
}

async function scansOf(tx: Transaction, sql: string): Promise<string[]> {
  const params: Value[] = Array(sql.split('?').length - 1).fill(null);
  const rows: Row[] = await tx.all(`EXPLAIN QUERY PLAN ${sql}`, params);
  return rows
    .map((row) => String(row.detail))
    .filter((detail) => /^SCAN(?! \d+-ROW VALUES)/.test(detail));
}

test('no operation of the request path and of recovery scans a table that grows', async (t) => {
  const path = `${freshFolder(t)}/ledger.db`;
  const { ledger } = await openInThread(path);
  await createKey(ledger, 'key_1', 1_000n);
  const prepaid = prepaidHold('key_1', 10n);
  await ledger.holdPrepaid(prepaid);
  const open = await captureWallet(ledger, 10n);
  const held = await holdWallet(ledger, 10n);
  const claim = walletClaim(10n);
  await ledger.claim(claim);
  await ledger.close();

  const database = openSqlite({ path, exclusive: false, busyTimeoutMs: 50 });
  const statements = new Set<string>();
  await database.transact('write', async (plain) => {
    const tx = noting(plain, statements);
    const memory = new Memory();
    const now = { nowMs: NOW, memory };
    const hold = { paymentId: claim.id, owner: 'proc_a', balance: 100n, block: 1n };
    await operations.holdPrepaid(tx, now, prepaidHold('key_1', 10n));
    await operations.holdPrepaid(tx, now, prepaid);
    await operations.capture(tx, now, captureOf(prepaid.claim.id, 5n));
    await memory.books.flush(tx);
    await operations.holdFree(tx, now, freeHold('ip:203.0.113.7', 3));
    await operations.holdExposure(tx, now, hold);
    await operations.expose(tx, now, { paymentId: open, perPayer: 100n, perNetwork: 100n });
    await operations.settled(tx, now, settledFact(open, 10n));
    await operations.release(tx, now, { ...captureOf(held, 0n), state: 'released', reason: 'r' });
    await operations.findByCredential(tx, now, 'x');
    await operations.findAnswer(tx, now, open);
    await operations.findJob(tx, now, open);
    await operations.nextNonce(tx, now, 'n', 's');
    await operations.heartbeat(tx, now, 'proc_a', NOW);
    await operations.takeLapsed(tx, now, 'proc_b', NOW);
    await operations.openJobs(tx, now);
    await operations.shownJobs(tx, now);
    await operations.overdue(tx, now, 'proc_b', NOW);
    await operations.delivered(tx, now, open, 'proc_b');
    await operations.settledBlocks(tx, now, 'n', 1n);
    await operations.unsettle(tx, now, 'n', { block: 1n, blockHash: '0x' });
    await operations.listPayments(tx, now, { limit: 5, payer: 'key:key_1' });
    await operations.listPayments(tx, now, { limit: 5, sinceMs: NOW });
    await operations.entries(tx, now, { limit: 5, paymentId: open });
    assert.ok(statements.size > 25);
    // Leases, and what is open, are few and all wanted there.
    for (const sql of statements)
      for (const scan of await scansOf(plain, sql))
        assert.match(
          scan,
          /^SCAN (l|lease)$|USING (COVERING )?INDEX (payment_(open|unsettled|delivering)|job_shown)\b/,
          sql,
        );
  });
  await database.close();
});
