/** Answers that stream: their bytes pass through unbuffered, and the money ends with the last of them. */

import { ClientGone } from '../core/errors.ts';
import type { Answer, Body } from '../core/exchange.ts';
import type { UpstreamAnswer } from '../core/ports/upstream.ts';
import { withGatewayHeaders } from './answers.ts';
import type { Metered } from './meter-usage.ts';
import type { PaidRequest } from './paid-request.ts';

/** How a stream ended: read to the end, broken by the upstream, or left by the client. */
type StreamEnd = 'complete' | 'broken' | 'left';

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
    body: passThrough(body, end),
  };
}

/** The money moved before the first byte; a stream that then breaks is owed back. */
export function watchSettledStream(paid: PaidRequest, body: Body): Body {
  return passThrough(body, async (how, rest) => {
    await rest.return?.(undefined);
    if (how !== 'broken') return;
    await paid.parts.ledger.refundDue(paid.payment.id, 'upstream_broke_off');
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
  else await rest.return?.(undefined);
  const gone = ended === 'left' && onAbort === 'release';
  const broke = ended === 'broken' && onBreak === 'release';
  try {
    if (!gone && !broke) {
      await rail.capture({ payment, ...metered, answer: null });
      return;
    }
    const reason = gone ? 'client_gone' : 'upstream_broke_off';
    await parts.ledger.release({
      paymentId: payment.id,
      owner: parts.owner,
      state: 'released',
      reason,
      answer: null,
    });
    parts.rateLimits.failed(payment.payer, paid.demand.exchange.remote.address);
  } catch (error) {
    parts.orphans.add(payment.id);
    parts.log.error(
      { error, payment: payment.id },
      'a stream ended and its payment could not be written',
    );
  }
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

/** Yields every chunk and calls `end` exactly once, before the reader sees the end. */
async function* passThrough(
  body: Body,
  end: (how: StreamEnd, rest: AsyncIterator<Uint8Array>) => Promise<void>,
): Body {
  const chunks = body[Symbol.asyncIterator]();
  let how: StreamEnd = 'left';
  try {
    while (true) {
      const next = await chunks.next();
      if (next.done) break;
      yield next.value;
    }
    how = 'complete';
  } catch (error) {
    how = error instanceof ClientGone ? 'left' : 'broken';
    throw error;
  } finally {
    await end(how, chunks);
  }
}
