/** What the outside did: seen, not heard of, definitely not paid, or to be paid back. */

import type { Payment, PaymentState } from '../core/payment.ts';
import type { SettledFact } from '../core/ports/settlement.ts';
import type { Awaitable, Transaction, Value } from '../storage/transaction.ts';
import {
  chainAccount,
  chainKeyAccount,
  gasAccount,
  gasAsset,
  payerAccount,
  refundDueAccount,
  revenueAccount,
} from './accounts.ts';
import type { Posting } from './books.ts';
import { MoneyLawBroken } from './errors.ts';
import type { Operation } from './operation.ts';
import { type PaymentRow, selectPayment } from './payment-row.ts';
import { assertAtoms, move, type PostingKind, postEntries } from './post-entries.ts';

/**
 * Records what was seen on the chain. Seen beats every opinion: a payment that was thought to have
 * failed becomes settled after all, and the wallet's bar is lifted; one that is due for refund stays
 * so, with its money now on the books; and money for which nobody got anything is due for refund.
 */
export const settled: Operation<'settled'> = async (tx, { nowMs, memory }, fact) => {
  assertFact(fact);
  const found = await selectPayment(tx, fact.paymentId);
  if (found === null) return { outcome: 'lost', payment: null };
  const { payment, seq, settledBlock } = found;
  const isUncaptured = UNCAPTURED.has(payment.state);
  if (settledBlock !== null || !(isUncaptured || MAY_SETTLE.has(payment.state)))
    return { outcome: 'lost', payment };
  if (payment.network === null)
    throw new MoneyLawBroken(`${payment.id} moves no outside money and can't settle`);

  const isDue = isUncaptured || (await wasNeverServed(tx, found));
  const state = isDue || payment.state === 'refund_due' ? 'refund_due' : 'settled';
  const reason = isDue ? 'paid_without_answer' : state === 'settled' ? null : payment.reason;
  // What was never captured can't be due for more than was promised.
  const amount = isUncaptured ? smaller(fact.amount, payment.max) : payment.amount;
  await tx.run(
    `UPDATE payment SET state = ?, reason = ?, amount = ?, chain_transaction = ?, settled_block = ?,
       settled_block_hash = ?, settled_amount = ?, gas_nano = gas_nano + ?, barred = 0, updated_at_ms = ?
     WHERE seq = ?`,
    [
      ...[state, reason, amount, fact.transaction, fact.block, fact.blockHash ?? null],
      ...[fact.amount, fact.gasNano, nowMs, seq],
    ],
  );
  const { asset, payer, route, network } = payment;
  const post = (kind: PostingKind, postings: Posting[]): Awaitable<void> =>
    postEntries(tx, memory.books, kind, seq, nowMs, postings);
  // From now on its job is one like any other: the money may have to be found again after a reorganisation.
  if (isUncaptured) await tx.run('UPDATE job SET shown = 0 WHERE payment_seq = ?', [seq]);
  if (isDue)
    await post('refund_due', move(asset, payerAccount(payer), refundDueAccount(payer), amount));
  else if (payment.state === 'settlement_failed')
    await post(
      'settled_after_all',
      move(asset, payerAccount(payer), revenueAccount(route), amount),
    );
  await post('settled', settledPostings(payment, network, fact.amount, fact.gasNano));
  const { transaction } = fact;
  return {
    outcome: 'done',
    payment: { ...payment, state, reason, amount, transaction, updatedAtMs: nowMs },
  };
};

const MAY_SETTLE: ReadonlySet<PaymentState> = new Set<PaymentState>([
  'captured',
  'settlement_unknown',
  'settlement_failed',
  'refund_due',
]);

/** Ended without capture: its authorization was out all the same, and somebody used it. */
const UNCAPTURED: ReadonlySet<PaymentState> = new Set<PaymentState>([
  'released',
  'rejected',
  'expired',
]);

/** A payment that failed withheld its answer; what was not kept of it can't be had any more. */
async function wasNeverServed(
  tx: Transaction,
  { payment, seq, served }: PaymentRow,
): Promise<boolean> {
  if (payment.state !== 'settlement_failed' || served) return false;
  return (await tx.values('SELECT 1 FROM answer WHERE payment_seq = ?', [seq])) === undefined;
}

function smaller(a: bigint, b: bigint): bigint {
  return a < b ? a : b;
}

function assertFact(fact: SettledFact): void {
  assertAtoms('The settled amount', fact.amount);
  assertAtoms('The gas', fact.gasNano);
  assertAtoms('The block', fact.block);
}

export function settledPostings(
  { asset, payer }: Payment,
  network: string,
  amount: bigint,
  gasNano: bigint,
): Posting[] {
  return [
    ...move(asset, chainAccount(network), payerAccount(payer), amount),
    ...gasPostings(network, gasNano),
  ];
}

function gasPostings(network: string, gasNano: bigint): Posting[] {
  return move(gasAsset(network), chainKeyAccount(network), gasAccount(network), gasNano);
}

export const settlementUnknown: Operation<'settlementUnknown'> = async (
  tx,
  { nowMs },
  paymentId,
  reason,
) => {
  const found = await selectPayment(tx, paymentId);
  if (found?.payment.state !== 'captured')
    return { outcome: 'lost', payment: found?.payment ?? null };
  await tx.run(
    "UPDATE payment SET state = 'settlement_unknown', reason = ?, updated_at_ms = ? WHERE seq = ?",
    [reason, nowMs, found.seq],
  );
  const state = 'settlement_unknown';
  return { outcome: 'done', payment: { ...found.payment, state, reason, updatedAtMs: nowMs } };
};

export const settlementFailed: Operation<'settlementFailed'> = async (
  tx,
  { nowMs, memory },
  paymentId,
  reason,
  gasNano = 0n,
) => {
  assertAtoms('The gas', gasNano);
  const found = await selectPayment(tx, paymentId);
  if (found === null) return { outcome: 'lost', payment: null };
  const { payment, seq } = found;
  if (!MAY_FAIL.has(payment.state) || found.settledBlock !== null || payment.network === null)
    return { outcome: 'lost', payment };
  // Work that was due for refund was no product, so its payer owes nothing and is not barred.
  const isBarred = found.served && payment.state !== 'refund_due';
  const values: Value[] = [reason, isBarred ? 1n : 0n, gasNano, nowMs, seq];
  await tx.run(
    `UPDATE payment SET state = 'settlement_failed', reason = ?, barred = ?, delivering = 0,
       gas_nano = gas_nano + ?, updated_at_ms = ? WHERE seq = ?`,
    values,
  );
  const from =
    payment.state === 'refund_due'
      ? refundDueAccount(payment.payer)
      : revenueAccount(payment.route);
  const postings = [
    ...move(payment.asset, from, payerAccount(payment.payer), payment.amount),
    ...gasPostings(payment.network, gasNano),
  ];
  await postEntries(tx, memory.books, 'settlement_failed', seq, nowMs, postings);
  const state = 'settlement_failed';
  return { outcome: 'done', payment: { ...payment, state, reason, updatedAtMs: nowMs } };
};

const MAY_FAIL: ReadonlySet<PaymentState> = new Set<PaymentState>([
  'captured',
  'settlement_unknown',
  'refund_due',
]);

export const forgive: Operation<'forgive'> = async (tx, { nowMs }, paymentId) => {
  const found = await selectPayment(tx, paymentId);
  const changed = await tx.run(
    'UPDATE payment SET barred = 0, updated_at_ms = ? WHERE id = ? AND barred = 1',
    [nowMs, paymentId],
  );
  if (found === null || changed === 0) return { outcome: 'lost', payment: found?.payment ?? null };
  return { outcome: 'done', payment: { ...found.payment, updatedAtMs: nowMs } };
};

export const refundDue: Operation<'refundDue'> = async (
  tx,
  { nowMs, memory },
  paymentId,
  reason,
) => {
  const found = await selectPayment(tx, paymentId);
  if (found === null) return { outcome: 'lost', payment: null };
  const { payment, seq } = found;
  if (!MAY_BE_DUE.has(payment.state)) return { outcome: 'lost', payment };
  await tx.run(
    "UPDATE payment SET state = 'refund_due', reason = ?, delivering = 0, updated_at_ms = ? WHERE seq = ?",
    [reason, nowMs, seq],
  );
  if (payment.amount > 0n) {
    const { asset, route, payer, amount } = payment;
    const postings = move(asset, revenueAccount(route), refundDueAccount(payer), amount);
    await postEntries(tx, memory.books, 'refund_due', seq, nowMs, postings);
  }
  return {
    outcome: 'done',
    payment: { ...payment, state: 'refund_due', reason, updatedAtMs: nowMs },
  };
};

const MAY_BE_DUE: ReadonlySet<PaymentState> = new Set<PaymentState>([
  'captured',
  'settlement_unknown',
  'settled',
]);
