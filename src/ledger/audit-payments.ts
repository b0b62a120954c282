/** The part of the audit that compares every payment with what its entries moved, in one pass. */

import type { Difference } from '../core/ports/ledger.ts';
import type { Transaction } from '../storage/transaction.ts';

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

interface PaymentCheck {
  readonly kind: string;
  readonly expected: string;
  readonly found: 'hold' | 'held' | 'revenue' | 'due' | 'seen' | 'gas';
  /** Only where this is true. */
  readonly where?: string;
}

const CHECKS: readonly PaymentCheck[] = [
  {
    // A claim holds nothing; what ended without capture, and may then be due, was held or only claimed.
    kind: 'payment_hold',
    expected: "CASE WHEN state = 'claimed' THEN 0 ELSE amount_max END",
    found: 'hold',
    where:
      "(state NOT IN ('released', 'rejected', 'expired', 'refund_due', 'settlement_failed') OR hold <> 0)",
  },
  {
    kind: 'payment_held',
    expected: "CASE WHEN state IN ('held', 'running') THEN amount_max ELSE 0 END",
    found: 'held',
  },
  {
    kind: 'payment_revenue',
    expected:
      "CASE WHEN state IN ('captured', 'settlement_unknown', 'settled') THEN amount ELSE 0 END",
    found: 'revenue',
  },
  {
    kind: 'payment_refund_due',
    expected: "CASE WHEN state = 'refund_due' THEN amount ELSE 0 END",
    found: 'due',
  },
  { kind: 'payment_chain', expected: 'COALESCE(settled_amount, 0)', found: 'seen' },
  { kind: 'payment_gas', expected: 'gas_nano', found: 'gas' },
];

function differs({ expected, found, where }: PaymentCheck): string {
  const condition = `${expected} <> COALESCE(${found}, 0)`;
  return where === undefined ? condition : `${where} AND ${condition}`;
}

const SQL = `SELECT id,
    ${CHECKS.map(
      (check) => `CASE WHEN ${differs(check)} THEN 1 ELSE 0 END AS ${check.kind},
        ${check.expected} AS ${check.kind}_expected, COALESCE(${check.found}, 0) AS ${check.kind}_found`,
    ).join(',\n')}
  FROM payment p LEFT JOIN (${MOVED}) m ON m.seq = p.seq
  WHERE ${CHECKS.map((check) => `(${differs(check)})`).join(' OR ')}`;

export async function auditPayments(tx: Transaction): Promise<Difference[]> {
  const rows = await tx.all(SQL);
  return rows.flatMap((row) =>
    CHECKS.filter((check) => row[check.kind] === 1n).map(({ kind }) => ({
      kind,
      subject: String(row.id),
      expected: String(row[`${kind}_expected`]),
      found: String(row[`${kind}_found`]),
    })),
  );
}
