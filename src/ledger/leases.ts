/** Who owns an open payment, and what becomes of it when that process dies. */

import type { Operation } from './operation.ts';
import { COLUMNS, OPEN, readPayment } from './payment-row.ts';

export const heartbeat: Operation<'heartbeat'> = async (tx, _context, owner, leaseUntilMs) => {
  await tx.run(
    `INSERT INTO lease (owner, until_ms) VALUES (?, ?)
     ON CONFLICT (owner) DO UPDATE SET until_ms = excluded.until_ms`,
    [owner, leaseUntilMs],
  );
  await tx.run(
    `UPDATE payment SET expires_at_ms = ?
     WHERE owner = ? AND ${OPEN} AND state = 'running' AND expires_at_ms < ?`,
    [leaseUntilMs, owner, leaseUntilMs],
  );
};

export const takeLapsed: Operation<'takeLapsed'> = async (tx, context, owner, nowMs) => {
  const rows = await tx.allValues(
    `UPDATE payment SET owner = ?, updated_at_ms = ?
     WHERE ${OPEN} AND owner <> ?
       AND owner NOT IN (SELECT l.owner FROM lease l WHERE l.until_ms >= ?)
     RETURNING ${COLUMNS}`,
    [owner, context.nowMs, owner, nowMs],
  );
  await tx.run('DELETE FROM lease WHERE until_ms < ? AND owner <> ?', [nowMs, owner]);
  return rows.map(readPayment).sort((a, b) => a.createdAtMs - b.createdAtMs);
};
