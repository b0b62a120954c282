/**
 * Step 8: the end of the money. A product is captured, anything else is given back; where the rail
 * moves outside money, it moves before the first byte of the answer leaves.
 */

import { ClientGone, CoinslotError, RailUnavailable, SettlementPending } from '../core/errors.ts';
import { type Answer, type Body, findHeader, isStream } from '../core/exchange.ts';
import { type Payment, STORED_ANSWER_BYTES_MAX, type StoredAnswer } from '../core/payment.ts';
import type { UpstreamAnswer } from '../core/ports/upstream.ts';
import { problemAnswer, storable, withGatewayHeaders } from './answers.ts';
import { endOrRetry, endUnanswered, releaseHold } from './end-payment.ts';
import { judgeAnswer } from './judge-answer.ts';
import { type Metered, type MeteredAnswer, meterAnswer } from './meter-usage.ts';
import type { PaidRequest } from './paid-request.ts';
import type { UpstreamOutcome } from './proxy-upstream.ts';
import { requirePayment } from './require-payment.ts';
import { captureAfterStream, watchDelivery } from './stream-answer.ts';
import { receiptHeaders } from './write-receipt.ts';

export async function captureOrRelease(
  paid: PaidRequest,
  outcome: UpstreamOutcome,
): Promise<Answer> {
  if (outcome.kind === 'failed') return await giveBack(paid, outcome.error.code, outcome.error);
  const { answer } = outcome;
  const verdict = judgeAnswer(paid.match.route, paid.demand.exchange.method, answer);
  if (!verdict.charge) return await giveBack(paid, verdict.reason, answer);

  return await capturePassing(paid, meterAnswer(paid, outcome));
}

/** Takes the money of a product: after its last byte, or before its first where the rail has to. */
export async function capturePassing(
  paid: PaidRequest,
  { answer, metered }: MeteredAnswer,
): Promise<Answer> {
  if (isStream(answer.body) && !paid.rail.capturesBeforeAnswer(paid.payment))
    return await streamFirst(paid, answer, answer.body, metered);
  return await captureFirst(paid, answer, metered());
}

/** The answer leaves before its money moves; where that is outside money, as far as the exposure limit allows. */
async function streamFirst(
  paid: PaidRequest,
  answer: UpstreamAnswer,
  body: Body,
  metered: () => Metered,
): Promise<Answer> {
  const { parts, payment } = paid;
  const { id: paymentId, network } = payment;
  const exposed =
    network === null
      ? 'within'
      : await parts.ledger.expose({ paymentId, ...parts.exposure }).catch(() => 'beyond');
  if (exposed === 'within') return captureAfterStream(paid, answer, body, metered);
  const beyond = new RailUnavailable('Too much is served to this wallet and not paid for yet.');
  return await giveBack(paid, beyond.code, beyond, answer);
}

/** Captures, then answers: a whole answer with its receipt, or a stream whose money has already moved. */
async function captureFirst(
  paid: PaidRequest,
  answer: UpstreamAnswer,
  metered: Metered,
): Promise<Answer> {
  if (isStream(answer.body) && paid.demand.exchange.signal.aborted) {
    const gone = new ClientGone('The client went away before the answer began.');
    return await giveBack(paid, gone.code, gone, answer);
  }
  const kept = keptOf(paid, answer);
  const payment = await takeCost(paid, answer, metered, kept);
  if (payment.state === 'settlement_failed') {
    discard(answer);
    const reason = {
      code: payment.reason ?? 'settlement_failed',
      message: 'The payment could not be settled.',
    };
    return await requirePayment(paid.parts, paid.demand, reason);
  }
  if (payment.state !== 'settled') await exposeOrWithhold(paid, payment, answer, kept);
  const headers = withGatewayHeaders(answer.headers, [
    ...receiptHeaders(paid.rail, payment),
    ...paid.headers,
  ]);
  const whole = { status: answer.status, headers, body: answer.body };
  return isDelivering(paid, kept) ? deliver(paid, payment, whole) : whole;
}

/** Outside money moved first, and nothing but this one delivery can give the payer what it paid for. */
function isDelivering({ payment }: PaidRequest, kept: StoredAnswer | null): boolean {
  return payment.network !== null && kept === null;
}

/** A whole answer too goes out as a stream then, of one part: its end matters. */
function deliver(
  paid: PaidRequest,
  payment: Payment,
  { status, headers, body }: UpstreamAnswer,
): Answer {
  if (isStream(body)) return watchDelivery(paid, payment, { status, headers, body });
  const isSized = findHeader(headers, 'content-length') !== undefined;
  return watchDelivery(paid, payment, {
    status,
    headers: isSized ? headers : [...headers, 'Content-Length', String(body.length)],
    body: onePart(body),
  });
}

async function* onePart(bytes: Uint8Array): Body {
  yield bytes;
}

async function takeCost(
  paid: PaidRequest,
  answer: UpstreamAnswer,
  metered: Metered,
  kept: StoredAnswer | null,
): Promise<Payment> {
  const { payment, parts } = paid;
  if (payment.replay === 'until-broadcast') parts.inFlight.close(paid.credential);
  try {
    const delivering = isDelivering(paid, kept);
    return await paid.rail.capture({ payment, ...metered, answer: kept, delivering });
  } catch (error) {
    // Nobody knows what the ledger wrote, and nothing was said: the worker looks and ends it.
    parts.orphans.set(payment.id, (now) => endUnanswered(parts, now));
    discard(answer);
    throw error;
  }
}

/** Outside money is not seen yet: within the exposure limit the answer goes out, beyond it it waits. */
async function exposeOrWithhold(
  paid: PaidRequest,
  payment: Payment,
  answer: UpstreamAnswer,
  kept: StoredAnswer | null,
): Promise<void> {
  const { parts } = paid;
  const { id: paymentId } = payment;
  const short = payment.reason === 'insufficient_funds';
  // A store that can't count what is exposed can't allow it either.
  const exposed = short
    ? 'beyond'
    : await parts.ledger.expose({ paymentId, ...parts.exposure }).catch(() => 'beyond');
  if (exposed === 'within') return;
  discard(answer);
  if (kept === null) {
    await endOrRetry(parts, payment, () => parts.ledger.refundDue(paymentId, 'answer_not_kept'));
    throw new RailUnavailable(
      'The payment is not confirmed in time, and this answer is too long to be kept; what is paid is owed back.',
    );
  }
  throw new SettlementPending(
    short
      ? 'The wallet no longer covers this payment; the answer is kept until it does.'
      : 'The payment is not confirmed yet; the answer is kept.',
    paymentId,
  );
}

/** Releases the hold and answers with the failure, which says that nothing was charged. */
export async function giveBack(
  paid: PaidRequest,
  reason: string,
  failure: CoinslotError | UpstreamAnswer,
  unread?: UpstreamAnswer,
): Promise<Answer> {
  const { parts, payment } = paid;
  if (unread) discard(unread);
  const kept = failure instanceof CoinslotError ? null : keptOf(paid, failure);
  const released = await release(paid, reason, kept);
  parts.rateLimits.failed(payment.payer, paid.demand.exchange.remote.address);
  const headers = receiptHeaders(undefined, released);
  if (failure instanceof CoinslotError)
    return problemAnswer(failure, headers, {
      payment: { id: payment.id, state: released.state, cost: '0' },
    });
  return {
    status: failure.status,
    headers: withGatewayHeaders(failure.headers, headers),
    body: failure.body,
  };
}

async function release(
  paid: PaidRequest,
  reason: string,
  answer: StoredAnswer | null,
): Promise<Payment> {
  const { parts, payment } = paid;
  let released: Payment = { ...payment, state: 'released', reason };
  await endOrRetry(parts, payment, async (now) => {
    released = (await releaseHold(parts, now, reason, answer)).payment ?? released;
  });
  return released;
}

/** What of an answer can be replayed: a stream is passed on, never kept. */
function keptOf({ parts }: PaidRequest, { status, headers, body }: UpstreamAnswer) {
  if (isStream(body)) return null;
  const kept = storable({ status, headers, body }, parts.limits.replayBytes);
  const isSmall = body.length < STORED_ANSWER_BYTES_MAX / 2;
  return isSmall || body.length + JSON.stringify(headers).length <= STORED_ANSWER_BYTES_MAX
    ? kept
    : null;
}

/** Stops an upstream stream that nobody will read. */
function discard(answer: UpstreamAnswer): void {
  if (isStream(answer.body)) void answer.body[Symbol.asyncIterator]().return?.();
}
