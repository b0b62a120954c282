/**
 * Proves the ledger: recomputes balances, holds, earnings and quotas from the entries and the payments
 * and names each difference. Reads one snapshot and changes nothing.
 */

import type { Difference } from '../core/ports/ledger.ts';
import type { Row, Transaction } from '../storage/transaction.ts';
import { HELD_ACCOUNT_SQL } from './accounts.ts';
import { TOTAL_SCOPE } from './hold-free.ts';
import type { Operation } from './operation.ts';

/** One query whose every row is a difference, with the columns `subject`, `expected` and `found`. */
interface Check {
  readonly kind: string;
  readonly sql: string;
}

/** Triggers without which entries could be changed. */
const TRIGGERS = [
  'entry_delete',
  'entry_update',
  'ledger_transaction_delete',
  'ledger_transaction_update',
  'payment_delete',
];

const CAPTURED = "('captured', 'settlement_unknown', 'settled')";

/** What every payment moved on each kind of account, by its entries. */
const MOVED = `SELECT t.payment_seq AS seq,
    SUM(CASE WHEN t.kind = 'hold' AND substr(e.account, 1, 5) = 'held:' THEN e.amount ELSE 0 END) AS hold,
    SUM(CASE WHEN substr(e.account, 1, 5) = 'held:' THEN e.amount ELSE 0 END) AS held,
    SUM(CASE WHEN substr(e.account, 1, 8) = 'revenue:' THEN e.amount ELSE 0 END) AS revenue,
    SUM(CASE WHEN substr(e.account, 1, 11) = 'refund-due:' THEN e.amount ELSE 0 END) AS due,
    SUM(CASE WHEN substr(e.account, 1, 6) = 'chain:' THEN -e.amount ELSE 0 END) AS seen,
    SUM(CASE WHEN substr(e.account, 1, 4) = 'gas:' THEN e.amount ELSE 0 END) AS gas
  FROM ledger_transaction t JOIN entry e ON e.transaction_seq = t.seq
  WHERE t.payment_seq IS NOT NULL GROUP BY t.payment_seq`;

/** Compares a value expected of each payment with what its entries moved. */
function perPayment(kind: string, expected: string, found: string, where: string): Check {
  return {
    kind,
    sql: `SELECT p.id AS subject, ${expected} AS expected, COALESCE(m.${found}, 0) AS found
      FROM payment p LEFT JOIN (${MOVED}) m ON m.seq = p.seq
      WHERE ${where} AND ${expected} <> COALESCE(m.${found}, 0)`,
  };
}

/** Compares two lists of sums with the same keys, either of which may lack a row. */
function compare(kind: string, keys: string, expected: string, found: string): Check {
  return {
    kind,
    sql: `SELECT ${keys} AS subject, SUM(expected) AS expected, SUM(found) AS found FROM (
        SELECT a, b, value AS expected, 0 AS found FROM (${expected}) x
        UNION ALL SELECT a, b, 0 AS expected, value AS found FROM (${found}) y
      ) z GROUP BY a, b HAVING SUM(expected) <> SUM(found)`,
  };
}

const CHECKS: readonly Check[] = [
  compare(
    'balance',
    "a || ' ' || b",
    'SELECT account AS a, asset AS b, SUM(amount) AS value FROM entry GROUP BY account, asset',
    'SELECT name AS a, asset AS b, balance AS value FROM account',
  ),
  {
    kind: 'zero_sum',
    sql: `SELECT 'transaction ' || transaction_seq || ' ' || asset AS subject, 0 AS expected,
        SUM(amount) AS found
      FROM entry GROUP BY transaction_seq, asset HAVING SUM(amount) <> 0`,
  },
  {
    kind: 'transaction_without_entries',
    sql: `SELECT 'transaction ' || seq AS subject, 'entries' AS expected, 'none' AS found
      FROM ledger_transaction WHERE seq NOT IN (SELECT transaction_seq FROM entry)`,
  },
  {
    kind: 'entry_without_transaction',
    sql: `SELECT 'transaction ' || transaction_seq AS subject, 'a transaction' AS expected, 'none' AS found
      FROM entry WHERE transaction_seq NOT IN (SELECT seq FROM ledger_transaction) GROUP BY transaction_seq`,
  },
  {
    kind: 'transaction_without_payment',
    sql: `SELECT 'transaction ' || seq AS subject, 'payment ' || payment_seq AS expected, 'none' AS found
      FROM ledger_transaction
      WHERE payment_seq IS NOT NULL AND payment_seq NOT IN (SELECT seq FROM payment)`,
  },
  {
    // Transactions are numbered without gaps, because writers never overlap: a gap is a deleted row.
    kind: 'transaction_missing',
    sql: `SELECT 'ledger_transaction' AS subject, COALESCE(MAX(seq), 0) AS expected, COUNT(*) AS found
      FROM ledger_transaction HAVING COALESCE(MAX(seq), 0) <> COUNT(*)`,
  },
  {
    kind: 'overdrawn',
    sql: `SELECT name || ' ' || asset AS subject, 'at least 0' AS expected, balance AS found FROM account
      WHERE balance < 0 AND (substr(name, 1, 6) = 'payer:' OR substr(name, 1, 5) = 'held:')`,
  },
  compare(
    'held',
    "a || ' ' || b",
    `SELECT ${HELD_ACCOUNT_SQL} AS a, asset AS b, SUM(amount_max) AS value FROM payment
     WHERE state IN ('held', 'running') AND rail <> 'free' GROUP BY 1, asset`,
    "SELECT name AS a, asset AS b, balance AS value FROM account WHERE substr(name, 1, 5) = 'held:'",
  ),
  // A claim holds nothing; what ended without capture may have been held or only claimed.
  perPayment(
    'payment_hold',
    "CASE WHEN p.state = 'claimed' THEN 0 ELSE p.amount_max END",
    'hold',
    "(p.state NOT IN ('released', 'rejected', 'expired') OR m.hold <> 0)",
  ),
  perPayment(
    'payment_held',
    "CASE WHEN p.state IN ('held', 'running') THEN p.amount_max ELSE 0 END",
    'held',
    '1 = 1',
  ),
  perPayment(
    'payment_revenue',
    `CASE WHEN p.state IN ${CAPTURED} THEN p.amount ELSE 0 END`,
    'revenue',
    '1 = 1',
  ),
  perPayment(
    'payment_refund_due',
    "CASE WHEN p.state = 'refund_due' THEN p.amount ELSE 0 END",
    'due',
    "p.state <> 'refunded'",
  ),
  perPayment('payment_chain', 'COALESCE(p.settled_amount, 0)', 'seen', '1 = 1'),
  perPayment('payment_gas', 'p.gas_nano', 'gas', '1 = 1'),
  {
    // Settled means seen, and the very amount: on rails where outside money moves.
    kind: 'settled_amount',
    sql: `SELECT id AS subject, amount AS expected,
        COALESCE(CAST(settled_amount AS TEXT), 'not seen') AS found
      FROM payment WHERE state = 'settled' AND network IS NOT NULL
        AND amount <> COALESCE(settled_amount, 0)`,
  },
  {
    kind: 'job_missing',
    sql: `SELECT id AS subject, 'a settlement job' AS expected, 'none' AS found FROM payment
      WHERE state IN ('captured', 'settlement_unknown') AND seq NOT IN (SELECT payment_seq FROM job)`,
  },
  compare(
    'key_day',
    "a || ' ' || b",
    `SELECT payer AS a, day AS b,
       SUM(CASE WHEN state IN ('held', 'running') THEN amount_max
         WHEN state IN ('released', 'rejected', 'expired') THEN 0 ELSE amount END) AS value
     FROM payment WHERE rail = 'prepaid' AND day IS NOT NULL GROUP BY payer, day`,
    "SELECT 'key:' || key_id AS a, day AS b, spent AS value FROM key_day",
  ),
  freeDays('free_calls', '1', 'calls'),
  freeDays('free_worth', 'cost_max', 'worth'),
];

/** Every free payment that was not given back counts once for its scope and once for all scopes. */
function freeDays(kind: string, value: string, column: string): Check {
  const counted = `FROM payment WHERE quota_scope IS NOT NULL
    AND state NOT IN ('released', 'rejected', 'expired')`;
  return compare(
    kind,
    "a || ' ' || b",
    `SELECT quota_scope AS a, day AS b, SUM(${value}) AS value ${counted} GROUP BY quota_scope, day
     UNION ALL SELECT '${TOTAL_SCOPE}' AS a, day AS b, SUM(${value}) AS value ${counted} GROUP BY day`,
    `SELECT scope AS a, day AS b, ${column} AS value FROM free_day`,
  );
}

export const audit: Operation<'audit'> = async (tx) => {
  const differences: Difference[] = [];
  for (const check of CHECKS) differences.push(...(await runCheck(tx, check)));
  const present = new Set(await tx.triggers());
  for (const name of TRIGGERS)
    if (!present.has(name))
      differences.push({ kind: 'trigger', subject: name, expected: 'present', found: 'missing' });
  return differences;
};

async function runCheck(tx: Transaction, { kind, sql }: Check): Promise<Difference[]> {
  let rows: Row[];
  try {
    rows = await tx.all(sql);
  } catch (error) {
    // Sums of 64 bits overflow only where somebody wrote amounts that the ledger would not.
    if (!(error instanceof Error && /overflow/.test(error.message))) throw error;
    return [{ kind, subject: 'every sum', expected: 'within 64 bits', found: 'overflow' }];
  }
  return rows.map((row) => ({
    kind,
    subject: String(row.subject),
    expected: String(row.expected),
    found: String(row.found),
  }));
}
