/** Who owns an open payment, and what becomes of it when that process dies. */

import type { Payment } from '../core/payment.ts';
import type { Transaction } from '../storage/transaction.ts';
import type { Operation, OperationContext } from './operation.ts';
import { COLUMNS, OPEN, readPayment } from './payment-row.ts';
import { refundDue } from './settled.ts';

export const heartbeat: Operation<'heartbeat'> = async (tx, _context, owner, leaseUntilMs) => {
  await tx.run(
    `INSERT INTO lease (owner, until_ms) VALUES (?, ?)
     ON CONFLICT (owner) DO UPDATE SET until_ms = excluded.until_ms`,
    [owner, leaseUntilMs],
  );
};

/** Whoever holds no lease is dead. */
const LAPSED = 'owner <> ? AND owner NOT IN (SELECT l.owner FROM lease l WHERE l.until_ms >= ?)';

export const takeLapsed: Operation<'takeLapsed'> = async (tx, context, owner, nowMs) => {
  const cut = await oweCutAnswers(tx, context, owner, nowMs);
  const rows = await tx.allValues(
    `UPDATE payment SET owner = ?, updated_at_ms = ? WHERE ${OPEN} AND ${LAPSED} RETURNING ${COLUMNS}`,
    [owner, context.nowMs, owner, nowMs],
  );
  await tx.run('DELETE FROM lease WHERE until_ms < ? AND owner <> ?', [nowMs, owner]);
  return [...cut, ...rows.map(readPayment)].sort((a, b) => a.createdAtMs - b.createdAtMs);
};

/** The answer went with its process: what was or will be paid for it is owed back. */
async function oweCutAnswers(
  tx: Transaction,
  context: OperationContext,
  owner: string,
  nowMs: number,
): Promise<Payment[]> {
  const rows = await tx.allValues(
    `UPDATE payment SET owner = ? WHERE delivering = 1 AND ${LAPSED} RETURNING id`,
    [owner, owner, nowMs],
  );
  const cut: Payment[] = [];
  for (const [id] of rows) {
    const due = await refundDue(tx, context, id as string, 'gateway_stopped');
    if (due.outcome === 'done') cut.push(due.payment);
  }
  return cut;
}

export const overdue: Operation<'overdue'> = async (tx, _context, owner, expiredBeforeMs) => {
  const rows = await tx.allValues(
    `SELECT ${COLUMNS} FROM payment WHERE owner = ? AND ${OPEN}
       AND state IN ('claimed', 'held', 'running') AND expires_at_ms < ?`,
    [owner, expiredBeforeMs],
  );
  return rows.map(readPayment);
};
