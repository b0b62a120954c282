/** Writes the end of a payment; what the store cannot write now, the settlement worker writes later. */

import type { Payment, StoredAnswer } from '../core/payment.ts';
import type { Transition } from '../core/ports/ledger.ts';
import type { EndPayment, RequestParts } from './parts.ts';

/** Never throws: an end that cannot be written is tried again until it is. */
export async function endOrRetry(
  parts: RequestParts,
  payment: Payment,
  end: EndPayment,
): Promise<void> {
  try {
    await end(payment);
  } catch (error) {
    parts.orphans.set(payment.id, end);
    parts.log.error(
      { error, payment: payment.id },
      'the end of a payment could not be written; it will be tried again',
    );
  }
}

/** Gives the hold back, if it is still there. */
export function releaseHold(
  { ledger, owner }: RequestParts,
  payment: Payment,
  reason: string,
  answer: StoredAnswer | null,
): Promise<Transition> {
  return ledger.release({ paymentId: payment.id, owner, state: 'released', reason, answer });
}

export function isHeld({ state }: Payment): boolean {
  return state === 'held' || state === 'running';
}

/** The answer never left: a hold goes back, and money that moves for an answer that is not kept is owed back. */
export async function endUnanswered(parts: RequestParts, payment: Payment): Promise<void> {
  if (isHeld(payment)) await releaseHold(parts, payment, 'capture_failed', null);
  else if ((await parts.ledger.findAnswer(payment.id)) === null)
    await parts.ledger.refundDue(payment.id, 'answer_not_kept');
}
