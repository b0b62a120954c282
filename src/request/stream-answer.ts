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
  metered: Metered,
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

/** The money moved before the first byte; a stream that then breaks is owed back, unless the route sells what came. */
export function watchSettledStream(paid: PaidRequest, body: Body): Body {
  const { parts, payment } = paid;
  return watchBody(body, async (how, rest) => {
    await rest.return?.();
    if (how !== 'broken' || paid.match.route.onBreak !== 'release') return;
    await endOrRetry(parts, payment, ({ id }) => parts.ledger.refundDue(id, 'upstream_broke_off'));
  });
}

async function endHeldStream(
  paid: PaidRequest,
  metered: Metered,
  how: StreamEnd,
  rest: AsyncIterator<Uint8Array>,
): Promise<void> {
  const { parts, payment, rail } = paid;
  const { onAbort, onBreak } = paid.match.route;
  let ended = how;
  if (how === 'left' && onAbort === 'drain') ended = await drain(rest);
  else await rest.return?.();
  const gone = ended === 'left' && onAbort === 'release';
  const broke = ended === 'broken' && onBreak === 'release';
  if (!gone && !broke) {
    // What was delivered is paid for, also when the store could not write it at once.
    const order = { payment, ...metered, answer: null };
    return await endOrRetry(
      parts,
      payment,
      async (now) => isHeld(now) && (await rail.capture(order)),
    );
  }
  parts.rateLimits.failed(payment.payer, paid.demand.exchange.remote.address);
  const reason = gone ? 'client_gone' : 'upstream_broke_off';
  await endOrRetry(parts, payment, (now) => releaseHold(parts, now, reason, null));
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
