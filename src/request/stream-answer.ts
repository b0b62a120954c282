/** Answers that stream: their bytes pass through unbuffered, and the money ends with the last of them. */

import { type Answer, type Body, filterHeaders } from '../core/exchange.ts';
import type { Payment } from '../core/payment.ts';
import type { UpstreamAnswer } from '../core/ports/upstream.ts';
import { withGatewayHeaders } from './answers.ts';
import { endOrRetry, isHeld, releaseHold } from './end-payment.ts';
import { EventTail, isPlainEvents } from './event-tail.ts';
import type { Metered } from './meter-usage.ts';
import type { PaidRequest } from './paid-request.ts';
import { endOf, type StreamEnd, watchBody } from './watch-body.ts';
import { receiptEvent, receiptTrailers, trailerNames } from './write-receipt.ts';

/** The head leaves now with the payment's id; capture or release follows the last byte, then the receipt. */
export function captureAfterStream(
  paid: PaidRequest,
  answer: UpstreamAnswer,
  body: Body,
  metered: () => Metered,
): Answer {
  let captured: Payment | null = null;
  const events = eventsOf(answer);
  const head = ['X-Payment-Id', paid.payment.id, ...paid.headers];
  return {
    status: answer.status,
    headers: withGatewayHeaders(events.headers, head),
    body: watchBody(
      body,
      async (how, rest) => {
        captured = await endHeldStream(paid, metered, how, rest);
        return captured === null ? null : events.receipt(captured);
      },
      events.tail,
    ),
    trailers: {
      names: trailerNames(paid.payment),
      values: () => (captured === null ? [] : receiptTrailers(paid.rail, captured)),
    },
  };
}

/**
 * The money moved before the first byte, and the answer is nowhere else: its payment stays marked until it was
 * delivered. What the route would give back for a stream that ended otherwise is owed back.
 */
export function watchDelivery(
  paid: PaidRequest,
  payment: Payment,
  answer: Answer & { readonly body: Body },
): Answer {
  const { parts } = paid;
  const events = eventsOf(answer);
  const end = async (how: StreamEnd, rest: AsyncIterator<Uint8Array>) => {
    const failure = failureOf(paid, await lastEnd(paid, how, rest));
    await endOrRetry(parts, payment, ({ id }) =>
      failure === null
        ? parts.ledger.delivered(id, parts.owner)
        : parts.ledger.refundDue(id, failure),
    );
    return events.receipt(payment);
  };
  const body = watchBody(answer.body, end, events.tail);
  return { ...answer, headers: events.headers, body };
}

interface Events {
  readonly headers: UpstreamAnswer['headers'];
  readonly tail: EventTail | null;
  /** What leaves after the last event; null where nothing can follow it. */
  readonly receipt: (payment: Payment) => Uint8Array | null;
}

/** An event stream gets one more event, so its length is not what the upstream says. */
function eventsOf({ headers }: Pick<Answer, 'headers'>): Events {
  if (!isPlainEvents(headers)) return { headers, tail: null, receipt: () => null };
  const tail = new EventTail();
  return {
    headers: filterHeaders(headers, (name) => name !== 'content-length'),
    tail,
    receipt: (payment) => (tail.isComplete ? receiptEvent(payment) : null),
  };
}

/** The payment as it was captured; null when it was not, or not yet. */
async function endHeldStream(
  paid: PaidRequest,
  metered: () => Metered,
  how: StreamEnd,
  rest: AsyncIterator<Uint8Array>,
): Promise<Payment | null> {
  const { parts, payment, rail } = paid;
  const failure = failureOf(paid, await lastEnd(paid, how, rest));
  if (failure === null) {
    let captured: Payment | null = null;
    // What was delivered is paid for, also when the store could not write it at once.
    await endOrRetry(parts, payment, async (now) => {
      if (isHeld(now)) captured = await rail.capture({ payment, ...metered(), answer: null });
    });
    return captured;
  }
  parts.rateLimits.failed(payment.payer, paid.demand.exchange.remote.address);
  await endOrRetry(parts, payment, (now) => releaseHold(parts, now, failure, null));
  return null;
}

/** How the stream ended in the end: with `drain`, one that was left goes on without its reader. */
async function lastEnd(
  { match }: PaidRequest,
  how: StreamEnd,
  rest: AsyncIterator<Uint8Array>,
): Promise<StreamEnd> {
  if (how === 'left' && match.route.onAbort === 'drain') return await drain(rest);
  await rest.return?.();
  return how;
}

/** Why the payer need not pay for a stream that ended so; null when he does. */
function failureOf({ match }: PaidRequest, how: StreamEnd): string | null {
  const { onAbort, onBreak } = match.route;
  if (how === 'left' && onAbort === 'release') return 'client_gone';
  if (how === 'broken' && onBreak === 'release') return 'upstream_broke_off';
  return null;
}

/** Reads on for the operator's sake although nobody listens. */
async function drain(rest: AsyncIterator<Uint8Array>): Promise<StreamEnd> {
  try {
    while (!(await rest.next()).done);
    return 'complete';
  } catch (error) {
    return endOf(error);
  }
}
