/** Sends a request with its signature until its outcome is known, or for a bounded number of times; never signs. */

import type { Clock } from '../core/clock.ts';
import { PaymentOutcomeUnknown } from './errors.ts';
import type { Journal, PaymentOutcome, SignedPayment } from './journal.ts';
import { judgeAnswer } from './judge-answer.ts';
import { receiptOf } from './receipt.ts';
import type { Fetch, ReplayableRequest } from './replayable-request.ts';
import { schemeOf } from './scheme-of.ts';

/** Waits that many milliseconds; rejects when the signal aborts. */
export type Wait = (ms: number, signal: AbortSignal | undefined) => Promise<void>;

export interface PaidSending {
  readonly fetch: Fetch;
  readonly request: ReplayableRequest;
  readonly journal: Journal;
  readonly id: string;
  readonly payment: SignedPayment;
  /** Whether an earlier call already sent this signature. */
  readonly wasSent: boolean;
  /** How many times it is sent again at most while its outcome is unknown. */
  readonly resendsMax: number;
  readonly clock: Clock;
  readonly wait: Wait;
  readonly onOutcome: (outcome: PaymentOutcome, response: Response | null) => void;
}

const DELAY_MS_FIRST = 250;
const DELAY_MS_MAX = 30_000;

/** Returns the answer, paid or refused. Throws PaymentOutcomeUnknown, or the caller's own abort reason. */
export async function sendPaid(sending: PaidSending): Promise<Response> {
  const { payment, request } = sending;
  const headers = { [payment.headerName]: payment.headerValue };
  let response: Response | null = null;
  let paymentId: string | null = null;
  let cause: unknown;
  try {
    for (let sent = 0; ; sent++) {
      ({ response, cause } = await trySend(sending, headers));
      const isResend = sending.wasSent || sent > 0;
      const outcome = response === null ? 'unknown' : judgeAnswer(response, isResend);
      if (response !== null) paymentId = receiptOf(response)?.paymentId ?? paymentId;
      if (response !== null && outcome !== 'unknown')
        return await finish(sending, outcome, response);
      if (sent >= sending.resendsMax) break;
      const delayMs = delayOf(response, sent, sending.clock);
      void response?.body?.cancel().catch(() => {});
      response = null;
      await sending.wait(delayMs, request.signal);
    }
  } catch (error) {
    // The caller aborted: the signature is out, so a repeated call must find it.
    await finish(sending, 'unknown', null);
    throw error;
  }
  await finish(sending, 'unknown', response);
  throw new PaymentOutcomeUnknown(payment, paymentId, response, { cause });
}

/** A network failure is a missing answer; only the caller's own abort is thrown. */
async function trySend(
  { fetch, request }: PaidSending,
  headers: Record<string, string>,
): Promise<{ response: Response | null; cause: unknown }> {
  try {
    return {
      response: await request.send(fetch, { headers, neverFollow: true }),
      cause: undefined,
    };
  } catch (error) {
    request.signal?.throwIfAborted();
    return { response: null, cause: error };
  }
}

async function finish<Answer extends Response | null>(
  { journal, id, payment, onOutcome }: PaidSending,
  outcome: PaymentOutcome,
  response: Answer,
): Promise<Answer> {
  // A journal that fails now leaves the payment in flight, where it counts as spent: the answer that
  // was paid for must not be lost over it.
  const taken = outcome === 'paid' ? takenBy(response, payment) : undefined;
  await journal.finish(id, outcome, taken).catch(() => {});
  onOutcome(outcome, response);
  return response;
}

/**
 * What a metered payment came to, as the receipt says; an exact one takes what was signed, whatever is said.
 * A stream says nothing in its head: then all of it counts.
 */
function takenBy(response: Response | null, payment: SignedPayment): bigint | undefined {
  const receipt = response === null ? null : receiptOf(response);
  if (receipt?.success !== true || receipt.amount === undefined) return undefined;
  if (schemeOf(payment) !== 'upto') return undefined;
  const taken = BigInt(receipt.amount);
  return taken <= payment.amount ? taken : undefined;
}

/** `Retry-After` in seconds or as a date, within bounds; else twice as long each time. */
function delayOf(response: Response | null, sent: number, clock: Clock): number {
  const retryAfter = response?.headers.get('retry-after')?.trim() ?? '';
  const asked = /^\d{1,9}$/.test(retryAfter)
    ? Number(retryAfter) * 1000
    : Date.parse(retryAfter) - clock.now();
  const delayMs = Number.isFinite(asked) ? asked : DELAY_MS_FIRST * 2 ** sent;
  return Math.min(Math.max(delayMs, 0), DELAY_MS_MAX);
}
