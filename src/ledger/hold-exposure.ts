/** Wallets: what a wallet has on the chain must cover everything that it still owes us, and this payment. */

import type { Transaction } from '../storage/transaction.ts';
import { heldAccount, payerAccount } from './accounts.ts';
import { MoneyLawBroken } from './errors.ts';
import type { Operation } from './operation.ts';
import { type PaymentRow, SERVED_UNSETTLED, selectPayment, UNSETTLED } from './payment-row.ts';
import { move, postEntries } from './post-entries.ts';

export const holdExposure: Operation<'holdExposure'> = async (tx, context, hold) => {
  const row = await selectPayment(tx, hold.paymentId);
  if (row === null || row.payment.state !== 'claimed' || row.payment.owner !== hold.owner)
    return { outcome: 'not_claimed' };
  const { payment, seq } = row;
  if (payment.network === null) throw new MoneyLawBroken(`${payment.id} is not paid by a wallet`);
  const barredBy = await tx.get(
    'SELECT id FROM payment WHERE payer = ? AND barred = 1 ORDER BY seq LIMIT 1',
    [payment.payer],
  );
  if (barredBy !== undefined) return { outcome: 'barred', paymentId: barredBy.id as string };
  const open = (await unsettled(tx, row)) + (await settledAfter(tx, row, hold.block));
  if (hold.balance - open < payment.max) return { outcome: 'insufficient', open };

  await tx.run("UPDATE payment SET state = 'running', updated_at_ms = ? WHERE seq = ?", [
    context.nowMs,
    seq,
  ]);
  const from = payerAccount(payment.payer);
  const postings = move(payment.asset, from, heldAccount(payment.payer), payment.max);
  await postEntries(tx, context.memory.books, 'hold', seq, context.nowMs, postings);
  const held = { ...payment, state: 'running', updatedAtMs: context.nowMs } as const;
  context.memory.keepHold({ ...row, payment: held });
  return { outcome: 'held', payment: held };
};

/** What the wallet's other payments may still take; this one is only claimed and does not count itself. */
async function unsettled(tx: Transaction, { payment }: PaymentRow): Promise<bigint> {
  const row = await tx.get(
    `SELECT COALESCE(SUM(CASE WHEN state IN ('held', 'running') THEN amount_max ELSE amount END), 0) AS open
     FROM payment WHERE payer = ? AND network = ? AND asset = ? AND ${UNSETTLED}`,
    [payment.payer, payment.network, payment.asset],
  );
  return row?.open as bigint;
}

/** What left the wallet after the block at which its balance was read. */
async function settledAfter(
  tx: Transaction,
  { payment }: PaymentRow,
  block: bigint,
): Promise<bigint> {
  const row = await tx.get(
    `SELECT COALESCE(SUM(settled_amount), 0) AS open FROM payment
     WHERE payer = ? AND network = ? AND asset = ? AND settled_block IS NOT NULL AND settled_block > ?`,
    [payment.payer, payment.network, payment.asset, block],
  );
  return row?.open as bigint;
}

export const expose: Operation<'expose'> = async (tx, context, limits) => {
  const row = await selectPayment(tx, limits.paymentId);
  if (row === null) return 'beyond';
  const { payment, seq } = row;
  if (payment.state === 'settled' || row.served) return 'within';
  if (!MAY_BE_SERVED.has(payment.state)) return 'beyond';
  const worth =
    payment.state === 'captured' || payment.state === 'settlement_unknown'
      ? payment.cost
      : payment.quoteMax;
  const byPayer = await servedWorth(tx, 'payer', payment.payer);
  if (byPayer + worth > limits.perPayer) return 'beyond';
  const byNetwork = await servedWorth(tx, 'network', payment.network);
  if (byNetwork + worth > limits.perNetwork) return 'beyond';
  await tx.run('UPDATE payment SET served = 1, updated_at_ms = ? WHERE seq = ?', [
    context.nowMs,
    seq,
  ]);
  return 'within';
};

const MAY_BE_SERVED: ReadonlySet<string> = new Set([
  'held',
  'running',
  'captured',
  'settlement_unknown',
]);

/** USD atoms of answers that went out and whose money was not seen yet. */
async function servedWorth(
  tx: Transaction,
  column: 'payer' | 'network',
  value: string | null,
): Promise<bigint> {
  const row = await tx.get(
    `SELECT COALESCE(SUM(CASE WHEN state IN ('held', 'running') THEN cost_max ELSE cost END), 0) AS worth
     FROM payment WHERE ${column} = ? AND ${SERVED_UNSETTLED}`,
    [value],
  );
  return row?.worth as bigint;
}
