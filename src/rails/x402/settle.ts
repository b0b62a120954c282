/**
 * Moves the money of a captured payment, or finds out that it moved. Everything is written before it is
 * announced, only the chain's own logs count as settled, and what nobody knows stays unknown.
 */

import { CoinslotError, RailUnavailable, StoreUnavailable } from '../../core/errors.ts';
import type { Payment, PaymentState } from '../../core/payment.ts';
import type { CaptureOrder } from '../../core/ports/rail.ts';
import type { AuthorizedTransfer, X402Parts } from './parts.ts';
import { push, reasonToWait, sendAndWait } from './push-settlement.ts';
import { conclude, leaveUnknown, type OpenSettlement } from './settled-on-chain.ts';
import { decodeJob, encodeJob, type Settlement, settlementOf } from './settlement-job.ts';
import { type SignedSettlement, signSettlement } from './sign-settlement.ts';

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
      return alone(id, () => captureAndSettle(parts, order, authorized));
    },
    async resolve(payment) {
      if (!OPEN_STATES.has(payment.state)) return payment;
      const known = running.get(payment.id);
      if (known === undefined) return await alone(payment.id, () => look(parts, payment));
      const inTime = await Promise.race([known, sleep(parts.resolveMs)]);
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
): Promise<Payment> {
  const { network } = authorized;
  const { signed, payment, settlement } = await storeCapture(parts, order, authorized);
  parts.authorized.delete(payment.id);
  const open: OpenSettlement = { parts, network, payment, settlement };
  const seen = sendOnce(open, signed?.outcome === 'blocked' ? signed.reason : null);
  // A node that hangs takes its own time on every call; the payer's answer waits no longer than was promised.
  return (
    (await Promise.race([seen, sleep(parts.settleMs + LAST_LOOK_MS)])) ??
    (await leaveUnknown(open, 'pending'))
  );
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
  const { submitter, asset } = network;
  for (let tries = 1; ; tries++) {
    const signed =
      submitter === null || authorized.facilitator !== null
        ? null
        : await signSettlement(network, submitter, asset.address, transfer);
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

/** Exact moves the whole amount that was signed, whatever the request cost. */
async function writeCapture(
  parts: X402Parts,
  { payment, usage, answer }: CaptureOrder,
  settlement: Settlement,
): Promise<Payment> {
  const captured = await parts.ledger.capture({
    paymentId: payment.id,
    owner: payment.owner,
    amount: payment.max,
    cost: payment.quoteMax,
    usage,
    answer,
    job: encodeJob(payment.network ?? '', settlement),
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

function sleep(timeMs: number): Promise<null> {
  return new Promise((resolve) => setTimeout(resolve, timeMs, null).unref());
}
