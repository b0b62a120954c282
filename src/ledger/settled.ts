/** What the outside did: seen, not heard of, definitely not paid, or to be paid back. */

import type { Payment, PaymentState } from '../core/payment.ts';
import type { SettledFact } from '../core/ports/ledger.ts';
import type { Value } from '../storage/transaction.ts';
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
import { selectPayment } from './payment-row.ts';
import { assertAtoms, move, postEntries } from './post-entries.ts';

/**
 * Records what was seen on the chain. Seen beats every opinion: a payment that was thought to have
 * failed becomes settled after all, and the wallet's bar is lifted; one that is due for refund stays
 * so, with its money now on the books.
 */
export const settled: Operation<'settled'> = async (tx, { nowMs, memory }, fact) => {
  assertFact(fact);
  const found = await selectPayment(tx, fact.paymentId);
  if (found === null) return { outcome: 'lost', payment: null };
  const { payment, seq, settledBlock } = found;
  if (!MAY_SETTLE.has(payment.state) || settledBlock !== null) return { outcome: 'lost', payment };
  if (payment.network === null)
    throw new MoneyLawBroken(`${payment.id} moves no outside money and can't settle`);

  const state = payment.state === 'refund_due' ? 'refund_due' : 'settled';
  const reason = state === 'settled' ? null : payment.reason;
  await tx.run(
    `UPDATE payment SET state = ?, reason = ?, chain_transaction = ?, settled_block = ?,
       settled_amount = ?, gas_nano = ?, barred = 0, updated_at_ms = ? WHERE seq = ?`,
    [state, reason, fact.transaction, fact.block, fact.amount, fact.gasNano, nowMs, seq],
  );
  if (payment.state === 'settlement_failed') {
    const again = move(
      payment.asset,
      payerAccount(payment.payer),
      revenueAccount(payment.route),
      payment.amount,
    );
    await postEntries(tx, memory.books, 'settled_after_all', seq, nowMs, again);
  }
  await postEntries(
    tx,
    memory.books,
    'settled',
    seq,
    nowMs,
    settledPostings(payment, payment.network, fact),
  );
  const { transaction } = fact;
  return {
    outcome: 'done',
    payment: { ...payment, state, reason, transaction, updatedAtMs: nowMs },
  };
};

const MAY_SETTLE: ReadonlySet<PaymentState> = new Set<PaymentState>([
  'captured',
  'settlement_unknown',
  'settlement_failed',
  'refund_due',
]);

function assertFact(fact: SettledFact): void {
  assertAtoms('The settled amount', fact.amount);
  assertAtoms('The gas', fact.gasNano);
  assertAtoms('The block', fact.block);
}

function settledPostings(payment: Payment, network: string, fact: SettledFact): Posting[] {
  const gas = gasAsset(network);
  return [
    ...move(payment.asset, chainAccount(network), payerAccount(payment.payer), fact.amount),
    ...move(gas, chainKeyAccount(network), gasAccount(network), fact.gasNano),
  ];
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
) => {
  const found = await selectPayment(tx, paymentId);
  if (found === null) return { outcome: 'lost', payment: null };
  const { payment, seq } = found;
  if (!MAY_FAIL.has(payment.state) || found.settledBlock !== null || payment.network === null)
    return { outcome: 'lost', payment };
  // Work that was due for refund was no product, so its payer owes nothing and is not barred.
  const isBarred = found.served && payment.state !== 'refund_due';
  const values: Value[] = [reason, isBarred ? 1n : 0n, nowMs, seq];
  await tx.run(
    "UPDATE payment SET state = 'settlement_failed', reason = ?, barred = ?, updated_at_ms = ? WHERE seq = ?",
    values,
  );
  const from =
    payment.state === 'refund_due'
      ? refundDueAccount(payment.payer)
      : revenueAccount(payment.route);
  const postings = move(payment.asset, from, payerAccount(payment.payer), payment.amount);
  await postEntries(tx, memory.books, 'settlement_failed', seq, nowMs, postings);
  const state = 'settlement_failed';
  return { outcome: 'done', payment: { ...payment, state, reason, updatedAtMs: nowMs } };
};

const MAY_FAIL: ReadonlySet<PaymentState> = new Set<PaymentState>([
  'captured',
  'settlement_unknown',
  'refund_due',
]);

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
    "UPDATE payment SET state = 'refund_due', reason = ?, updated_at_ms = ? WHERE seq = ?",
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
