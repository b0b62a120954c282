/** The audit must name whatever was changed behind the ledger's back. */

import assert from 'node:assert/strict';
import { copyFileSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { type TestContext, test } from 'node:test';
import { HELD_ACCOUNT_SQL, heldAccount } from '../../src/ledger/accounts.ts';
import {
  captureOf,
  captureWallet,
  createKey,
  freeHold,
  freshFolder,
  holdWallet,
  open,
  openInThread,
  prepaidHold,
  releaseOf,
  settledFact,
} from './fixture.ts';

/** A database with something of everything in it. */
async function populate(t: TestContext): Promise<string> {
  const path = join(freshFolder(t), 'ledger.db');
  const ledger = await open(t, { url: `sqlite:${path}` });
  await createKey(ledger, 'key_1', 10_000n, { perDay: 9_000n });
  const captured = prepaidHold('key_1', 1_000n, { id: 'pay_captured' });
  const running = prepaidHold('key_1', 1_000n, { id: 'pay_running' });
  const released = prepaidHold('key_1', 1_000n, { id: 'pay_released' });
  for (const hold of [captured, running, released]) await ledger.holdPrepaid(hold);
  await ledger.capture(captureOf('pay_captured', 600n));
  await ledger.release(releaseOf('pay_released'));
  await ledger.holdFree(freeHold('ip:203.0.113.7', 5));
  await holdWallet(ledger, 40n, { id: 'pay_wallet' });
  await captureWallet(ledger, 50n, { id: 'pay_settled' });
  await ledger.settled(settledFact('pay_settled', 50n, 9n, 3n));
  await captureWallet(ledger, 60n, { id: 'pay_due' });
  await ledger.refundDue('pay_due', 'upstream_broke_off');
  await captureWallet(ledger, 70n, { id: 'pay_failed' });
  await ledger.settlementFailed('pay_failed', 'expired');
  await captureWallet(ledger, 80n, { id: 'pay_open' });
  assert.deepEqual(await ledger.audit(), []);
  await ledger.close();
  return path;
}

/** Changes a copy of the file without the ledger, and returns what the audit then finds, as `kind subject`. */
async function auditAfter(t: TestContext, original: string, sql: string): Promise<string[]> {
  const path = join(freshFolder(t), 'tampered.db');
  copyFileSync(original, path);
  const raw = new DatabaseSync(path);
  raw.exec(`PRAGMA foreign_keys = OFF; PRAGMA ignore_check_constraints = ON; ${sql}`);
  raw.close();
  const { ledger } = await openInThread(path);
  const found = await ledger.audit();
  await ledger.close();
  return found.map(({ kind, subject }) => `${kind} ${subject}`);
}

const UNLOCK = `DROP TRIGGER entry_update; DROP TRIGGER entry_delete; DROP TRIGGER payment_delete;
  DROP TRIGGER ledger_transaction_update; DROP TRIGGER ledger_transaction_delete;`;
const LOCK = `
  CREATE TRIGGER entry_update BEFORE UPDATE ON entry BEGIN SELECT RAISE(ABORT, ''); END;
  CREATE TRIGGER entry_delete BEFORE DELETE ON entry BEGIN SELECT RAISE(ABORT, ''); END;
  CREATE TRIGGER payment_delete BEFORE DELETE ON payment BEGIN SELECT RAISE(ABORT, ''); END;
  CREATE TRIGGER ledger_transaction_update BEFORE UPDATE ON ledger_transaction BEGIN SELECT RAISE(ABORT, ''); END;
  CREATE TRIGGER ledger_transaction_delete BEFORE DELETE ON ledger_transaction BEGIN SELECT RAISE(ABORT, ''); END;`;

const OF = (id: string): string => `(SELECT seq FROM payment WHERE id = '${id}')`;
const TRANSACTIONS_OF = (id: string): string =>
  `(SELECT seq FROM ledger_transaction WHERE payment_seq = ${OF(id)})`;

interface Tampering {
  readonly what: string;
  readonly sql: string;
  readonly finds: string;
}

const TAMPERINGS: readonly Tampering[] = [
  {
    what: 'a balance raised',
    sql: "UPDATE account SET balance = balance + 1 WHERE name = 'payer:key_1'",
    finds: 'balance payer:key_1 USD',
  },
  {
    what: 'a balance deleted',
    sql: "DELETE FROM account WHERE name = 'outside:operator'",
    finds: 'balance outside:operator USD',
  },
  {
    what: 'a balance invented',
    sql: "INSERT INTO account VALUES ('payer:key_9', 'USD', 5)",
    finds: 'balance payer:key_9 USD',
  },
  {
    what: 'a balance below zero',
    sql: "UPDATE account SET balance = -1 WHERE name = 'payer:key_1'",
    finds: 'overdrawn payer:key_1 USD',
  },
  {
    what: 'an entry edited',
    sql: "UPDATE entry SET amount = amount + 1 WHERE account = 'outside:operator'",
    finds: 'zero_sum transaction 1 USD',
  },
  {
    what: 'an entry deleted',
    sql: "DELETE FROM entry WHERE account = 'outside:operator'",
    finds: 'zero_sum transaction 1 USD',
  },
  {
    what: 'an amount beyond 64 bits in sum',
    sql: "UPDATE entry SET amount = 9223372036854775807 WHERE account LIKE 'held:%' AND amount > 0",
    finds: 'balance every sum',
  },
  {
    what: 'the entries of a payment deleted, balances adjusted',
    sql: `DELETE FROM entry WHERE transaction_seq IN ${TRANSACTIONS_OF('pay_captured')};
      UPDATE account SET balance = balance + 600 WHERE name = 'payer:key_1';
      UPDATE account SET balance = balance - 600 WHERE name = 'revenue:POST /summarize' AND asset = 'USD'`,
    finds: 'payment_revenue pay_captured',
  },
  {
    what: 'a whole top-up deleted with its transaction, balances adjusted',
    sql: `DELETE FROM entry WHERE transaction_seq = 1; DELETE FROM ledger_transaction WHERE seq = 1;
      UPDATE account SET balance = 0 WHERE name = 'outside:operator';
      UPDATE account SET balance = balance - 10000 WHERE name = 'payer:key_1'`,
    finds: 'transaction_missing ledger_transaction',
  },
  {
    what: 'a ledger transaction deleted under its entries',
    sql: 'DELETE FROM ledger_transaction WHERE seq = 1',
    finds: 'entry_without_transaction transaction 1',
  },
  {
    what: 'a ledger transaction without entries',
    sql: "INSERT INTO ledger_transaction VALUES ((SELECT MAX(seq) + 1 FROM ledger_transaction), 'hold', NULL, 1)",
    finds: 'transaction_without_entries transaction',
  },
  {
    what: 'a payment deleted',
    sql: "DELETE FROM payment WHERE id = 'pay_released'",
    finds: 'transaction_without_payment transaction',
  },
  {
    what: "a payment's captured amount edited",
    sql: "UPDATE payment SET amount = 500 WHERE id = 'pay_captured'",
    finds: 'payment_revenue pay_captured',
  },
  {
    what: "a payment's hold edited",
    sql: "UPDATE payment SET amount_max = 2000 WHERE id = 'pay_captured'",
    finds: 'payment_hold pay_captured',
  },
  {
    what: 'a running payment called released',
    sql: "UPDATE payment SET state = 'released' WHERE id = 'pay_running'",
    finds: 'held held:key_1 USD',
  },
  {
    what: 'a running wallet payment called released',
    sql: "UPDATE payment SET state = 'released' WHERE id = 'pay_wallet'",
    finds: 'payment_held pay_wallet',
  },
  {
    what: 'a released payment called captured',
    sql: "UPDATE payment SET state = 'settled', amount = 5 WHERE id = 'pay_released'",
    finds: 'payment_revenue pay_released',
  },
  {
    what: 'an open payment called settled though nothing was seen',
    sql: "UPDATE payment SET state = 'settled' WHERE id = 'pay_open'",
    finds: 'settled_amount pay_open',
  },
  {
    what: 'a settled amount edited',
    sql: "UPDATE payment SET settled_amount = 49 WHERE id = 'pay_settled'",
    finds: 'payment_chain pay_settled',
  },
  {
    what: 'gas edited',
    sql: "UPDATE payment SET gas_nano = 4 WHERE id = 'pay_settled'",
    finds: 'payment_gas pay_settled',
  },
  {
    what: 'a refund that is due forgotten',
    sql: "UPDATE payment SET state = 'released' WHERE id = 'pay_due'",
    finds: 'payment_refund_due pay_due',
  },
  {
    what: 'a failed settlement called captured',
    sql: "UPDATE payment SET state = 'captured' WHERE id = 'pay_failed'",
    finds: 'payment_revenue pay_failed',
  },
  {
    what: 'the job of an open settlement deleted',
    sql: `DELETE FROM job WHERE payment_seq = ${OF('pay_open')}`,
    finds: 'job_missing pay_open',
  },
  {
    what: "a key's spending of a day lowered",
    sql: 'UPDATE key_day SET spent = 0',
    finds: 'key_day key:key_1 2026-11-21',
  },
  {
    what: 'a free call given back twice',
    sql: "UPDATE free_day SET calls = 0 WHERE scope = 'ip:203.0.113.7'",
    finds: 'free_calls ip:203.0.113.7 2026-11-21',
  },
  {
    what: 'the worth of all free calls lowered',
    sql: "UPDATE free_day SET worth = 1 WHERE scope = 'total'",
    finds: 'free_worth total 2026-11-21',
  },
];

test('security: the audit names every tampering with the file', async (t) => {
  const path = await populate(t);
  for (const { what, sql, finds } of TAMPERINGS) {
    const found = await auditAfter(t, path, `${UNLOCK} ${sql}; ${LOCK}`);
    const isFound = found.some((line) => line.startsWith(finds));
    assert.ok(isFound, `${what}: expected "${finds}" among ${JSON.stringify(found)}`);
  }
});

test('security: entries, ledger transactions and payments that ran can be neither changed nor deleted', async (t) => {
  const path = await populate(t);
  const raw = new DatabaseSync(path);
  t.after(() => raw.close());
  for (const sql of [
    'UPDATE entry SET amount = 1',
    'DELETE FROM entry',
    "UPDATE ledger_transaction SET kind = 'top_up'",
    'DELETE FROM ledger_transaction',
    "DELETE FROM payment WHERE id = 'pay_captured'",
    "UPDATE account SET balance = -1 WHERE name = 'payer:key_1'",
    "UPDATE payment SET amount = amount_max + 1 WHERE id = 'pay_captured'",
    "UPDATE payment SET cost = cost_max + 1 WHERE id = 'pay_captured'",
    "UPDATE payment SET amount_max = 9223372036854775807 + 1 WHERE id = 'pay_running'",
    'UPDATE account SET balance = 9223372036854775807 + 1',
  ])
    assert.throws(
      () => raw.exec(sql),
      /append-only|may be deleted|constraint failed|cannot store/,
      sql,
    );
});

test('security: the audit names triggers that are missing', async (t) => {
  const path = await populate(t);
  assert.deepEqual(await auditAfter(t, path, UNLOCK), [
    'trigger entry_delete',
    'trigger entry_update',
    'trigger ledger_transaction_delete',
    'trigger ledger_transaction_update',
    'trigger payment_delete',
  ]);
});

test('the held account has one name in SQL and in code', () => {
  const db = new DatabaseSync(':memory:');
  for (const payer of ['key:key_7Yk', 'wallet:eip155:8453:0xaa', 'wallet:key:odd']) {
    const row = db
      .prepare(`SELECT ${HELD_ACCOUNT_SQL} AS held FROM (SELECT ? AS payer)`)
      .get(payer);
    assert.equal(row?.held, heldAccount(payer));
  }
  db.close();
});
