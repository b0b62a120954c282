/**
 * Moves the money of a captured payment, or finds out that it moved. Everything is written before it is
 * announced, only the chain's own logs count as settled, and what nobody knows stays unknown.
 */

import { CoinslotError, RailUnavailable, StoreUnavailable } from '../../core/errors.ts';
import type { Payment, PaymentState } from '../../core/payment.ts';
import type { CaptureOrder } from '../../core/ports/rail.ts';
import { amountOn } from './offers.ts';
import type { AuthorizedTransfer, X402Parts } from './parts.ts';
import { isTime, push, reasonToWait, sendAndWait } from './push-settlement.ts';
import {
  conclude,
  ENDED_UNPAID,
  effortOf,
  leaveUnknown,
  type OpenSettlement,
} from './settled-on-chain.ts';
import { decodeJob, encodeJob, type Settlement, settlementOf } from './settlement-job.ts';
import { type SignedSettlement, signSettlement } from './sign-settlement.ts';
import { amountOf } from './transfer.ts';

export interface Settler {
  /** Rejects with StoreUnavailable; every doubt about the outside is `settlement_unknown` instead. */
  capture(order: CaptureOrder): Promise<Payment>;
  /** Looks, and pushes on at a growing pace; takes `resolveMs` at most, beside what a node takes to answer. */
  resolve(payment: Payment): Promise<Payment>;
  /** Waits for what is running, which ends soon once `closing` has aborted. */
  close(): Promise<void>;
}

const OPEN_STATES: ReadonlySet<PaymentState> = new Set<PaymentState>([
  'captured',
  'settlement_unknown',
  'refund_due',
]);
/** After the wait there is one more look at the chain; a node that hangs is not waited for. */
const LAST_LOOK_MS = 1_000;
/** How often a nonce that something else is stored under is passed over. */
const NONCE_TRIES = 5;

export function createSettler(parts: X402Parts): Settler {
  /** One look at a payment at a time: a second one joins it. */
  const running = new Map<string, Promise<Payment>>();

  function alone(id: string, work: () => Promise<Payment>): Promise<Payment> {
    const promise = work().finally(() => running.delete(id));
    running.set(id, promise);
    return promise;
  }

  return {
    capture(order) {
      const { id } = order.payment;
      const authorized = parts.authorized.get(id);
      if (authorized === undefined)
        return Promise.reject(new StoreUnavailable(`Payment ${id} was not authorized here.`));
      const stored = Promise.withResolvers<Payment>();
      const seen = alone(id, () => captureAndSettle(parts, order, authorized, stored.resolve));
      if (!isSettledBehind(order, authorized)) return seen;
      seen.catch(stored.reject);
      return stored.promise;
    },
    async resolve(payment) {
      if (!OPEN_STATES.has(payment.state) && !ENDED_UNPAID.has(payment.state)) return payment;
      const known = running.get(payment.id);
      if (known === undefined) return await alone(payment.id, () => look(parts, payment));
      const inTime = await within(known, parts.resolveMs);
      return inTime ?? (await parts.ledger.findPayment(payment.id)) ?? payment;
    },
    async close() {
      await Promise.allSettled(running.values());
    },
  };
}

/**
 * Signs first, so that capture and signed transaction are stored in one. When the transfer would fail
 * (the wallet was emptied during the work), nothing is signed: the payment is unknown, later looks try
 * again, and it fails once the authorization has expired.
 */
async function captureAndSettle(
  parts: X402Parts,
  order: CaptureOrder,
  authorized: AuthorizedTransfer,
  onStored: (payment: Payment) => void,
): Promise<Payment> {
  const { network } = authorized;
  const due = dueOf(authorized, order);
  if (amountOf(due.transfer) === 0n) {
    const nothing = await writeCapture(parts, order, null);
    parts.authorized.delete(nothing.id);
    onStored(nothing);
    return nothing;
  }
  const { signed, payment, settlement } = await storeCapture(parts, order, due);
  parts.authorized.delete(payment.id);
  onStored(payment);
  const open: OpenSettlement = { parts, network, payment, settlement };
  const seen = sendOnce(open, signed?.outcome === 'blocked' ? signed.reason : null);
  // A node that hangs takes its own time on every call; the payer's answer waits no longer than was promised.
  return (
    (await within(seen, parts.settleMs + LAST_LOOK_MS)) ?? (await leaveUnknown(open, 'pending'))
  );
}

/** The answer of a metered call that streamed is out already: nobody waits for the chain, only for the ledger. */
function isSettledBehind(
  { answer, delivering = false }: CaptureOrder,
  { transfer }: AuthorizedTransfer,
): boolean {
  return transfer.scheme === 'upto' && answer === null && !delivering;
}

/** Upto takes what the request cost, rounded up to the token's atom and never more than was held. */
function dueOf(
  authorized: AuthorizedTransfer,
  { cost, payment }: CaptureOrder,
): AuthorizedTransfer {
  const { transfer, network } = authorized;
  if (transfer.scheme === 'exact') return authorized;
  const atoms = amountOn(network, cost);
  const amount = atoms < payment.max ? atoms : payment.max;
  return { ...authorized, transfer: { ...transfer, amount } };
}

/** The payment as it then stands; goes on behind an answer that could not wait for it. */
async function sendOnce(open: OpenSettlement, blocked: string | null): Promise<Payment> {
  try {
    const reason = blocked ?? (await sendAndWait(open, open.parts.settleMs));
    if (typeof reason !== 'string') return reason;
    return (await conclude(open)) ?? (await leaveUnknown(open, reason));
  } catch (error) {
    return await leaveUnknown(open, reasonToWait(error));
  }
}

interface StoredCapture {
  /** Null when a facilitator settles. */
  readonly signed: SignedSettlement | null;
  readonly payment: Payment;
  readonly settlement: Settlement;
}

async function storeCapture(
  parts: X402Parts,
  order: CaptureOrder,
  authorized: AuthorizedTransfer,
): Promise<StoredCapture> {
  const { network, transfer } = authorized;
  const { submitter } = network;
  for (let tries = 1; ; tries++) {
    const signed =
      submitter === null || authorized.facilitator !== null
        ? null
        : await signSettlement(network, submitter, transfer);
    const transaction = signed?.outcome === 'signed' ? signed.transaction : null;
    const settlement = settlementOf(authorized, transaction);
    try {
      const payment = await writeCapture(parts, order, settlement);
      if (transaction !== null) submitter?.keep(transaction);
      return { signed, payment, settlement };
    } catch (error) {
      if (transaction === null || submitter === null) throw error;
      const isTaken = error instanceof CoinslotError && error.code === 'nonce_taken';
      if (isTaken) submitter.skip(transaction);
      else if (error instanceof CaptureLost) submitter.giveBack(transaction);
      else
        submitter.doubt(transaction, async () => {
          const job = await parts.ledger.findJob(order.payment.id);
          return job?.transaction?.hash === transaction.hash;
        });
      if (!isTaken || tries === NONCE_TRIES) throw error;
    }
  }
}

/** Somebody else finished the payment first. */
class CaptureLost extends StoreUnavailable {}

async function writeCapture(
  parts: X402Parts,
  { payment, cost, usage, answer, delivering = false }: CaptureOrder,
  settlement: Settlement | null,
): Promise<Payment> {
  const captured = await parts.ledger.capture({
    paymentId: payment.id,
    owner: payment.owner,
    amount: settlement === null ? 0n : amountOf(settlement.transfer),
    // Exact moves the whole amount that was signed, whatever the request cost.
    cost: settlement?.transfer.scheme === 'exact' ? payment.quoteMax : cost,
    usage,
    answer,
    job: settlement === null ? null : encodeJob(payment.network ?? '', settlement),
    delivering,
  });
  if (captured.outcome === 'lost')
    throw new CaptureLost(`Payment ${payment.id} was finished elsewhere.`);
  return captured.payment;
}

async function look(parts: X402Parts, payment: Payment): Promise<Payment> {
  const network = parts.networks.get(payment.network ?? '');
  if (network === undefined)
    throw new RailUnavailable(`${payment.network} is not configured any more.`);
  const job = await parts.ledger.findJob(payment.id);
  if (job === null) return payment;
  const open: OpenSettlement = { parts, network, payment, settlement: decodeJob(job) };
  if (ENDED_UNPAID.has(payment.state)) return await lookAfter(open);
  try {
    const concluded = await conclude(open);
    // What is due for refund is not asked for again; it is only seen when it comes.
    if (concluded !== null || payment.state === 'refund_due') return concluded ?? payment;
    const reason = await push(open);
    if (typeof reason !== 'string') return reason;
    return (await conclude(open)) ?? (await leaveUnknown(open, reason));
  } catch (error) {
    return await leaveUnknown(open, reasonToWait(error));
  }
}

/** What nobody asked to be paid is only seen when it comes, at a growing pace, until it can't come any more. */
async function lookAfter(open: OpenSettlement): Promise<Payment> {
  const { parts, payment } = open;
  if (!isTime(effortOf(open), parts.clock.now())) return payment;
  return (await conclude(open)) ?? payment;
}

/** Null when it takes longer. */
async function within<T>(work: Promise<T>, timeMs: number): Promise<T | null> {
  const late = Promise.withResolvers<null>();
  const timer = setTimeout(late.resolve, timeMs, null).unref();
  try {
    return await Promise.race([work, late.promise]);
  } finally {
    // Left to itself, it would keep the payment in memory for as long.
    clearTimeout(timer);
  }
}
