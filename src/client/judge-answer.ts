/** What an answer to a signed request says about the money. */

import type { PaymentOutcome } from './journal.ts';
import { receiptOf } from './receipt.ts';

/** States in which the gateway says that it took nothing and will take nothing. */
const GIVEN_BACK: ReadonlySet<string> = new Set(['released', 'expired', 'rejected']);

/**
 * `paid`: taken, or to be counted as taken. `refused`: not taken, and the answer is final. `unknown`:
 * send the same signature again.
 *
 * @param isResend whether the same signature was sent before. A server that has already taken it may
 *   call it used or invalid now, so its refusal says nothing about the first time.
 */
export function judgeAnswer(response: Response, isResend: boolean): PaymentOutcome {
  const receipt = receiptOf(response);
  const { status } = response;
  if (receipt?.success === true) return 'paid';
  if (receipt?.state && GIVEN_BACK.has(receipt.state)) return 'refused';
  const isPending = receipt?.errorReason === 'settlement_pending';
  // An answer that we hold is an answer that we owe for, unless the server says the payment failed.
  if (response.ok) return receipt?.success === false && !isPending ? 'refused' : 'paid';
  if (isPending || status === 503) return 'unknown';
  if (status >= 500) return receipt?.success === false ? 'refused' : 'unknown';
  if (isResend && (status === 402 || status === 409 || status === 410 || status === 429))
    return 'unknown';
  return 'refused';
}
