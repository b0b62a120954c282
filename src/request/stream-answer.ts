/** Answers that stream: their bytes pass through unbuffered, and the money ends with the last of them. */

import type { Answer, Body } from '../core/exchange.ts';
import type { UpstreamAnswer } from '../core/ports/upstream.ts';
import { withGatewayHeaders } from './answers.ts';
import { endOrRetry, isHeld, releaseHold } from './end-payment.ts';
import type { Metered } from './meter-usage.ts';
import type { PaidRequest } from './paid-request.ts';
import { type StreamEnd, watchBody } from './watch-body.ts';

/** The head leaves now with the payment's id; capture or release follows the last byte. */
export function captureAfterStream(
  paid: PaidRequest,
  answer: UpstreamAnswer,
  body: Body,
  metered: () => Metered,
): Answer {
  const receipt = ['X-Payment-Id', paid.payment.id, ...paid.headers];
  const end = (how: StreamEnd, rest: AsyncIterator<Uint8Array>): Promise<void> =>
    endHeldStream(paid, metered, how, rest);
  return {
    status: answer.status,
    headers: withGatewayHeaders(answer.headers, receipt),
    body: watchBody(body, end),
  };
}

/**
 * The money moved before the first byte, and the answer is nowhere else: its payment stays marked until it was
 * delivered. What the route would give back for a stream that ended otherwise is owed back.
 */
export function watchDelivery(paid: PaidRequest, body: Body): Body {
  const { parts, payment } = paid;
  return watchBody(body, async (how, rest) => {
    const failure = failureOf(paid, await lastEnd(paid, how, rest));
    await endOrRetry(parts, payment, ({ id }) =>
      failure === null
        ? parts.ledger.delivered(id, parts.owner)
        : parts.ledger.refundDue(id, failure),
    );
  });
}

async function endHeldStream(
  paid: PaidRequest,
  metered: () => Metered,
  how: StreamEnd,
  rest: AsyncIterator<Uint8Array>,
): Promise<void> {
  const { parts, payment, rail } = paid;
  const failure = failureOf(paid, await lastEnd(paid, how, rest));
  if (failure === null) {
    // What was delivered is paid for, also when the store could not write it at once.
    const order = { payment, ...metered(), answer: null };
    return await endOrRetry(
      parts,
      payment,
      async (now) => isHeld(now) && (await rail.capture(order)),
    );
  }
  parts.rateLimits.failed(payment.payer, paid.demand.exchange.remote.address);
  await endOrRetry(parts, payment, (now) => releaseHold(parts, now, failure, null));
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
  } catch {
    return 'broken';
  }
}
