/**
 * Proves the ledger: recomputes balances, holds, earnings and quotas from the entries and the payments
 * and names each difference. Reads one snapshot and changes nothing.
 */

import type { Difference } from '../core/ports/ledger.ts';
import type { Transaction } from '../storage/transaction.ts';
import { HELD_ACCOUNT_SQL } from './accounts.ts';
import { auditPayments } from './audit-payments.ts';
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
      WHERE state IN ('captured', 'settlement_unknown')
        AND seq NOT IN (SELECT payment_seq FROM job WHERE shown = 0)`,
  },
  {
    // Marked in the capture, until its answer was delivered or its money is due or gone.
    kind: 'delivering',
    sql: `SELECT id AS subject, 'captured, unknown or settled' AS expected, state AS found FROM payment
      WHERE delivering = 1 AND (network IS NULL
        OR state NOT IN ('captured', 'settlement_unknown', 'settled'))`,
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
  for (const check of CHECKS)
    differences.push(...(await orOverflow(check.kind, () => runCheck(tx, check))));
  differences.push(...(await orOverflow('payment', () => auditPayments(tx))));
  const present = new Set(await tx.triggers());
  for (const name of TRIGGERS)
    if (!present.has(name))
      differences.push({ kind: 'trigger', subject: name, expected: 'present', found: 'missing' });
  return differences;
};

async function runCheck(tx: Transaction, { kind, sql }: Check): Promise<Difference[]> {
  const rows = await tx.all(sql);
  return rows.map((row) => ({
    kind,
    subject: String(row.subject),
    expected: String(row.expected),
    found: String(row.found),
  }));
}

/** Sums of 64 bits overflow only where somebody wrote amounts that the ledger would not. */
async function orOverflow(kind: string, check: () => Promise<Difference[]>): Promise<Difference[]> {
  try {
    return await check();
  } catch (error) {
    if (!(error instanceof Error && /overflow/.test(error.message))) throw error;
    return [{ kind, subject: 'every sum', expected: 'within 64 bits', found: 'overflow' }];
  }
}
