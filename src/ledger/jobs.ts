/** Settlement jobs: how outside money will move, written with the capture and before it is announced. */

import type { SettlementJob, StoredJob } from '../core/ports/settlement.ts';
import type { Row, Transaction } from '../storage/transaction.ts';
import { MoneyLawBroken, NonceTaken } from './errors.ts';
import type { Operation } from './operation.ts';
import { UNSETTLED } from './payment-row.ts';

export async function insertJob(
  tx: Transaction,
  seq: bigint,
  job: SettlementJob,
  nowMs: number,
): Promise<void> {
  const transaction = job.transaction ?? null;
  const inserted = await tx.run(
    `INSERT INTO job (payment_seq, network, scheme, payload, via, valid_before_ms, sender, nonce,
       hash, raw, created_at_ms)
     VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
     ON CONFLICT DO NOTHING`,
    [
      ...[seq, job.network, job.scheme, job.payload, job.via, job.validBeforeMs],
      ...[transaction?.sender ?? null, transaction?.nonce ?? null],
      ...[transaction?.hash ?? null, transaction?.raw ?? null, nowMs],
    ],
  );
  if (inserted === 1) return;
  // What was shown before the work is what settles after it.
  const wasShown = await tx.run(
    'UPDATE job SET shown = 0 WHERE payment_seq = ? AND shown <> 0 AND via = ? AND payload = ?',
    [seq, job.via, job.payload],
  );
  if (wasShown === 1) return;
  throw new NonceTaken(`Nonce ${transaction?.nonce} of ${transaction?.sender} is already in use`);
}

export const JOB_COLUMNS = `p.id, j.network AS network, j.scheme, j.payload, j.via, j.valid_before_ms,
  j.sender, j.nonce, j.hash, j.raw, j.created_at_ms`;

export function readJob(row: Row): StoredJob {
  return {
    paymentId: row.id as string,
    network: row.network as string,
    scheme: row.scheme as string,
    payload: row.payload as string,
    via: row.via as string,
    validBeforeMs: Number(row.valid_before_ms),
    createdAtMs: Number(row.created_at_ms),
    ...(row.sender === null ? {} : { transaction: readTransaction(row) }),
  };
}

function readTransaction(row: Row): NonNullable<SettlementJob['transaction']> {
  return {
    sender: row.sender as string,
    nonce: Number(row.nonce),
    hash: row.hash as string,
    raw: row.raw as string,
  };
}

export const findJob: Operation<'findJob'> = async (tx, _context, paymentId) => {
  const row = await tx.get(
    `SELECT ${JOB_COLUMNS} FROM payment p JOIN job j ON j.payment_seq = p.seq WHERE p.id = ?`,
    [paymentId],
  );
  return row === undefined ? null : readJob(row);
};

/** Also those due for refund whose money was not seen yet: it may still arrive. */
export const openJobs: Operation<'openJobs'> = async (tx) => {
  const rows = await tx.all(
    `SELECT ${JOB_COLUMNS}
     FROM (SELECT seq, id FROM payment WHERE ${UNSETTLED}) p JOIN job j ON j.payment_seq = p.seq
     WHERE j.shown = 0 ORDER BY j.created_at_ms, j.payment_seq`,
  );
  return rows.map(readJob);
};

export const nextNonce: Operation<'nextNonce'> = async (tx, _context, network, sender) => {
  const row = await tx.get('SELECT MAX(nonce) AS nonce FROM job WHERE network = ? AND sender = ?', [
    network,
    sender,
  ]);
  const highest = row?.nonce ?? null;
  return highest === null ? null : Number(highest) + 1;
};

export const replaceTransaction: Operation<'replaceTransaction'> = async (
  tx,
  context,
  paymentId,
  transaction,
  spentNonce,
) => {
  const job = await findJob(tx, context, paymentId);
  if (job === null) return;
  if (!mayReplace(job, transaction, spentNonce))
    throw new MoneyLawBroken(`A replacement must keep the sender and the nonce of ${paymentId}`);
  const { sender, nonce, hash, raw } = transaction;
  const taken = await tx.get(
    `SELECT 1 AS taken FROM job WHERE network = ? AND sender = ? AND nonce = ?
     AND payment_seq <> (SELECT seq FROM payment WHERE id = ?)`,
    [job.network, sender, nonce, paymentId],
  );
  if (taken !== undefined) throw new NonceTaken(`Nonce ${nonce} of ${sender} is already in use`);
  await tx.run(
    `UPDATE job SET sender = ?, nonce = ?, hash = ?, raw = ?
     WHERE payment_seq = (SELECT seq FROM payment WHERE id = ?)`,
    [sender, nonce, hash, raw, paymentId],
  );
};

/** Never a second live transaction: a new nonce is taken only where none is out, or the old one is used up. */
function mayReplace(
  { via, transaction: stored }: StoredJob,
  { sender, nonce }: NonNullable<SettlementJob['transaction']>,
  spentNonce: number | undefined,
): boolean {
  if (stored === undefined) return via === 'embedded';
  if (stored.sender === sender && stored.nonce === nonce) return true;
  return spentNonce === stored.nonce && (stored.sender !== sender || nonce > stored.nonce);
}
