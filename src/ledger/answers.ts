/** Answers kept so that the same credential can fetch them again, bounded in size and in time. */

import { STORED_ANSWER_BYTES_MAX, type StoredAnswer } from '../core/payment.ts';
import type { Transaction } from '../storage/transaction.ts';
import type { Operation } from './operation.ts';
import { OPEN } from './payment-row.ts';

/** Beyond this the oldest answers are forgotten before their time. */
export const ANSWERS_BYTES_MAX = 268_435_456;

export async function storeAnswer(
  tx: Transaction,
  seq: bigint,
  answer: StoredAnswer,
  nowMs: number,
): Promise<void> {
  const headers = JSON.stringify(answer.headers);
  const bytes = answer.body.byteLength + headers.length;
  // Its credential gets 410 when it asks again.
  if (bytes > STORED_ANSWER_BYTES_MAX) return;
  await tx.run(
    `INSERT INTO answer (payment_seq, status, headers, bytes, created_at_ms, body)
     VALUES (?, ?, ?, ?, ?, ?)`,
    [seq, answer.status, headers, bytes, nowMs, answer.body],
  );
}

export const findAnswer: Operation<'findAnswer'> = async (tx, _context, paymentId) => {
  const row = await tx.get(
    `SELECT a.status, a.headers, a.body FROM payment p JOIN answer a ON a.payment_seq = p.seq
     WHERE p.id = ?`,
    [paymentId],
  );
  if (row === undefined) return null;
  return {
    status: Number(row.status),
    headers: JSON.parse(row.headers as string) as string[],
    body: row.body as Uint8Array,
  };
};

/** An answer whose payment is still open stays: it is handed out once its money is known. */
const FORGETTABLE = `payment_seq NOT IN (SELECT seq FROM payment WHERE ${OPEN})`;

/** Deletes the answers stored before that time, then the oldest until the rest fits the bound. */
export const forgetAnswers: Operation<'forgetAnswers'> = async (tx, _context, olderThanMs) => {
  const expired = await tx.run(`DELETE FROM answer WHERE created_at_ms < ? AND ${FORGETTABLE}`, [
    olderThanMs,
  ]);
  const row = await tx.get('SELECT COALESCE(SUM(bytes), 0) AS bytes FROM answer');
  let excess = (row?.bytes as bigint) - BigInt(ANSWERS_BYTES_MAX);
  if (excess <= 0n) return expired;
  const oldest = await tx.all(
    `SELECT payment_seq, bytes FROM answer WHERE ${FORGETTABLE} ORDER BY created_at_ms`,
  );
  let crowded = 0;
  for (const { payment_seq, bytes } of oldest) {
    if (excess <= 0n) break;
    await tx.run('DELETE FROM answer WHERE payment_seq = ?', [payment_seq as bigint]);
    excess -= bytes as bigint;
    crowded++;
  }
  return expired + crowded;
};
