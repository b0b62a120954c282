/** Step 4: authenticate, claim, verify and hold, rail by rail, until one grants the request. */

import type { Payment } from '../core/payment.ts';
import type { Demand, Presented, Rail } from '../core/ports/rail.ts';
import type { Chosen } from './choose-payment.ts';
import { hasCredential } from './choose-payment.ts';
import type { RequestParts } from './parts.ts';

export interface Granted {
  readonly outcome: 'granted';
  readonly rail: Rail;
  readonly payment: Payment;
  /** Receipt headers known already, such as the free calls that remain. */
  readonly headers: readonly string[];
}

export type Authorized =
  | Granted
  | {
      readonly outcome: 'exists';
      readonly rail: Rail;
      readonly payment: Payment;
      readonly presented: Presented;
    }
  | { readonly outcome: 'unpaid'; readonly code: string; readonly message: string };

const NOTHING_SENT = {
  outcome: 'unpaid',
  code: 'payment_required',
  message: 'Payment required',
} as const;

/**
 * A credential that lacks money gives way to the next credential, never to the free tier: a payer who
 * shows a key must learn that it is empty. Throws what the rails throw.
 */
export async function authorize(
  parts: RequestParts,
  chosen: readonly Chosen[],
  demand: Demand,
): Promise<Authorized> {
  const paying = hasCredential(chosen);
  let unpaid: Authorized = NOTHING_SENT;
  for (const { rail, presented } of chosen) {
    if (rail.name === 'free' && paying && unpaid !== NOTHING_SENT) continue;
    const authorization = await rail.authorize(presented, demand);
    if (authorization.outcome === 'declined') {
      unpaid = { outcome: 'unpaid', code: authorization.code, message: authorization.message };
    } else if (authorization.outcome === 'exists') {
      return { outcome: 'exists', rail, payment: authorization.payment, presented };
    } else {
      return await admit(parts, { ...authorization, rail }, demand);
    }
  }
  return unpaid;
}

/** The payer is known only now, so its own rate limits apply here; a refusal gives the hold back. */
async function admit(parts: RequestParts, granted: Granted, demand: Demand): Promise<Granted> {
  const { payment } = granted;
  try {
    if (payment.rail !== 'free') parts.rateLimits.paid(payment.payer);
    parts.rateLimits.failures(payment.payer);
    return granted;
  } catch (error) {
    await parts.ledger.release({
      paymentId: payment.id,
      owner: demand.owner,
      state: 'released',
      reason: 'rate_limited',
      answer: null,
    });
    throw error;
  }
}
