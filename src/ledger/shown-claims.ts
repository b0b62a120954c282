/**
 * Claims that a remote facilitator was shown: it could settle them whatever it says, so what it was shown is
 * stored before, and is looked after until the authorization can't be used any more.
 */

import type { Transition } from '../core/ports/ledger.ts';
import type { Transaction } from '../storage/transaction.ts';
import { insertJob, JOB_COLUMNS, readJob } from './jobs.ts';
import type { Operation } from './operation.ts';
import { type PaymentRow, selectPayment } from './payment-row.ts';

const VERIFYING = 1;
const WAITING = 2;

export const showClaim: Operation<'showClaim'> = async (
  tx,
  { nowMs },
  { paymentId, owner, job },
) => {
  const found = await selectPayment(tx, paymentId);
  if (found === null || !isClaimOf(found, owner))
    return { outcome: 'lost', payment: found?.payment ?? null };
  await insertJob(tx, found.seq, job, nowMs);
  await tx.run('UPDATE job SET shown = ? WHERE payment_seq = ?', [VERIFYING, found.seq]);
  return { outcome: 'done', payment: found.payment };
};

export const parkClaim: Operation<'parkClaim'> = async (tx, _context, paymentId, owner) => {
  const found = await selectPayment(tx, paymentId);
  if (found === null || !isClaimOf(found, owner))
    return { outcome: 'lost', payment: found?.payment ?? null };
  return await turn(tx, found, VERIFYING, WAITING);
};

export const resumeClaim: Operation<'resumeClaim'> = async (
  tx,
  { nowMs },
  { paymentId, owner, expiresAtMs },
) => {
  const found = await selectPayment(tx, paymentId);
  if (found?.payment.state !== 'claimed')
    return { outcome: 'lost', payment: found?.payment ?? null };
  const resumed = await turn(tx, found, WAITING, VERIFYING);
  if (resumed.outcome === 'lost') return resumed;
  await tx.run('UPDATE payment SET owner = ?, expires_at_ms = ?, updated_at_ms = ? WHERE seq = ?', [
    owner,
    expiresAtMs,
    nowMs,
    found.seq,
  ]);
  const payment = { ...resumed.payment, owner, expiresAtMs, updatedAtMs: nowMs };
  return { outcome: 'done', payment };
};

function isClaimOf({ payment }: PaymentRow, owner: string): boolean {
  return payment.state === 'claimed' && payment.owner === owner;
}

async function turn(
  tx: Transaction,
  { payment, seq }: PaymentRow,
  from: number,
  to: number,
): Promise<Transition> {
  const changed = await tx.run('UPDATE job SET shown = ? WHERE payment_seq = ? AND shown = ?', [
    ...[to, seq, from],
  ]);
  return changed === 1 ? { outcome: 'done', payment } : { outcome: 'lost', payment };
}

/** Oldest first. */
export const shownJobs: Operation<'shownJobs'> = async (tx) => {
  const rows = await tx.all(
    `SELECT ${JOB_COLUMNS} FROM job j JOIN payment p ON p.seq = j.payment_seq
     WHERE j.shown <> 0 AND (p.state IN ('released', 'rejected', 'expired')
       OR p.state = 'claimed' AND j.shown = ${WAITING})
     ORDER BY j.valid_before_ms`,
  );
  return rows.map(readJob);
};

export const closeShown: Operation<'closeShown'> = async (tx, _context, paymentId) => {
  await tx.run(
    `DELETE FROM job WHERE shown <> 0 AND payment_seq =
       (SELECT seq FROM payment WHERE id = ? AND state IN ('released', 'rejected', 'expired'))`,
    [paymentId],
  );
};
