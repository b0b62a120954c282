/** The end of a hold: captured, or given back. */

import type { Capture, Transition } from '../core/ports/ledger.ts';
import type { Transaction } from '../storage/transaction.ts';
import { heldAccount, payerAccount, revenueAccount } from './accounts.ts';
import { storeAnswer } from './answers.ts';
import type { Posting } from './books.ts';
import { MoneyLawBroken } from './errors.ts';
import { giveBackFree } from './hold-free.ts';
import { unspendOnDay } from './hold-prepaid.ts';
import { insertJob } from './jobs.ts';
import type { Operation } from './operation.ts';
import { COLUMNS, type PaymentRow, readPaymentRow, selectPayment } from './payment-row.ts';
import { assertAtoms, move, postEntries } from './post-entries.ts';

export const capture: Operation<'capture'> = async (tx, { nowMs, memory }, order) => {
  assertAtoms('The capture', order.amount);
  assertAtoms('The cost', order.cost);
  const captured =
    (await captureRemembered(tx, memory.takeHold(order.paymentId), order, nowMs)) ??
    (await captureStored(tx, order, nowMs));
  if (captured === null) return await explainNoCapture(tx, order);
  assertCapture(captured, order);
  await postEntries(tx, memory.books, 'capture', captured.seq, nowMs, capturePostings(captured));
  if (captured.payment.rail === 'prepaid') {
    const { payer, max, amount } = captured.payment;
    await unspendOnDay(tx, payer, captured.day, max - amount);
  }
  if (order.answer !== null) await storeAnswer(tx, captured.seq, order.answer, nowMs);
  if (order.job !== null) await insertJob(tx, captured.seq, order.job, nowMs);
  if (order.delivering === true)
    await tx.run('UPDATE payment SET delivering = 1 WHERE seq = ?', [captured.seq]);
  return { outcome: 'done', payment: captured.payment };
};

export const delivered: Operation<'delivered'> = async (tx, _context, paymentId, owner) => {
  await tx.run('UPDATE payment SET delivering = 0 WHERE id = ? AND owner = ? AND delivering = 1', [
    paymentId,
    owner,
  ]);
};

const MAY_CAPTURE = `owner = ? AND state IN ('running', 'held')`;

const captureRememberedAs = (state: string): string => `UPDATE payment
  SET state = '${state}', amount = ?, cost = ?, usage = ?, updated_at_ms = ?
  WHERE seq = ? AND id = ? AND updated_at_ms = ? AND ${MAY_CAPTURE}`;
const CAPTURE_REMEMBERED = captureRememberedAs('captured');
const SETTLE_REMEMBERED = captureRememberedAs('settled');
const CAPTURE_STORED = `UPDATE payment
  SET state = ?, amount = ?, cost = ?, usage = ?, updated_at_ms = ?
  WHERE id = ? AND ${MAY_CAPTURE} AND amount_max >= ? AND cost_max >= ? RETURNING ${COLUMNS}`;

/**
 * Null unless the row is just as it was held. Everything else in it never changes after the hold, so
 * that it need not be read back, which would cost more than the update.
 */
async function captureRemembered(
  tx: Transaction,
  held: PaymentRow | undefined,
  order: Capture,
  nowMs: number,
): Promise<PaymentRow | null> {
  if (held === undefined || held.payment.owner !== order.owner) return null;
  const { payment, seq } = held;
  if (order.amount > payment.max || order.cost > payment.quoteMax) return null;
  const state = stateAfter(order);
  const changed = await tx.run(state === 'settled' ? SETTLE_REMEMBERED : CAPTURE_REMEMBERED, [
    ...[order.amount, order.cost, JSON.stringify(order.usage), nowMs],
    ...[seq, payment.id, payment.updatedAtMs, order.owner],
  ]);
  if (changed !== 1) return null;
  const { amount, cost, usage } = order;
  return { ...held, payment: { ...payment, state, amount, cost, usage, updatedAtMs: nowMs } };
}

async function captureStored(
  tx: Transaction,
  order: Capture,
  nowMs: number,
): Promise<PaymentRow | null> {
  const values = await tx.values(CAPTURE_STORED, [
    ...[stateAfter(order), order.amount, order.cost, JSON.stringify(order.usage), nowMs],
    ...[order.paymentId, order.owner, order.amount, order.cost],
  ]);
  return values === undefined ? null : readPaymentRow(values);
}

function stateAfter({ job }: Capture): 'settled' | 'captured' {
  return job === null ? 'settled' : 'captured';
}

/** Somebody else finished it, or the amount is beyond the hold: the latter is a fault and is refused loudly. */
async function explainNoCapture(tx: Transaction, order: Capture): Promise<Transition> {
  const found = await selectPayment(tx, order.paymentId);
  if (found === null) return { outcome: 'lost', payment: null };
  const { payment } = found;
  const isOurs = payment.owner === order.owner;
  if (!isOurs || (payment.state !== 'running' && payment.state !== 'held'))
    return { outcome: 'lost', payment };
  throw new MoneyLawBroken(
    `A capture of ${order.amount} (cost ${order.cost}) is beyond the hold of ${payment.max} (cost ${payment.quoteMax}) of ${payment.id}`,
  );
}

function assertCapture({ payment }: PaymentRow, { amount, cost, job }: Capture): void {
  if (payment.rail === 'free' && cost !== 0n) throw new MoneyLawBroken('A free call costs nothing');
  if (job === null && payment.network !== null && amount > 0n)
    throw new MoneyLawBroken(`The capture of ${payment.id} names no settlement job`);
  if (job !== null && job.network !== payment.network)
    throw new MoneyLawBroken(`The settlement job of ${payment.id} is for ${job.network}`);
}

function capturePostings({ payment }: PaymentRow): Posting[] {
  const { payer, route, asset, max, amount } = payment;
  if (max === 0n) return [];
  return [
    { account: heldAccount(payer), asset, amount: -max },
    { account: revenueAccount(route), asset, amount },
    { account: payerAccount(payer), asset, amount: max - amount },
  ];
}

export const release: Operation<'release'> = async (tx, { nowMs, memory }, order) => {
  memory.takeHold(order.paymentId);
  const found = await selectPayment(tx, order.paymentId);
  if (found === null) return { outcome: 'lost', payment: null };
  const { payment, seq, day, quotaScope } = found;
  const isHeld = payment.state === 'held' || payment.state === 'running';
  if (payment.owner !== order.owner || (payment.state !== 'claimed' && !isHeld))
    return { outcome: 'lost', payment };
  await tx.run('UPDATE payment SET state = ?, reason = ?, updated_at_ms = ? WHERE seq = ?', [
    order.state,
    order.reason,
    nowMs,
    seq,
  ]);
  if (isHeld && payment.max > 0n) {
    const { payer, asset, max } = payment;
    const postings = move(asset, heldAccount(payer), payerAccount(payer), max);
    await postEntries(tx, memory.books, 'release', seq, nowMs, postings);
  }
  if (payment.rail === 'prepaid') await unspendOnDay(tx, payment.payer, day, payment.max);
  if (quotaScope !== null && day !== null)
    await giveBackFree(tx, quotaScope, day, payment.quoteMax);
  if (order.answer !== null) await storeAnswer(tx, seq, order.answer, nowMs);
  const { state, reason } = order;
  return { outcome: 'done', payment: { ...payment, state, reason, updatedAtMs: nowMs } };
};
