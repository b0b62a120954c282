/** Step 5: authenticate, claim, verify and hold, rail by rail, until one grants the request. */

import { PaymentRefused } from '../core/errors.ts';
import type { Payment } from '../core/payment.ts';
import type { Demand, Presented, Rail } from '../core/ports/rail.ts';
import { type Chosen, hasCredential } from './choose-payment.ts';
import type { RequestParts } from './parts.ts';

export interface Granted {
  readonly outcome: 'granted';
  readonly rail: Rail;
  readonly payment: Payment;
  /** Receipt headers known already, such as the free calls that remain. */
  readonly headers: readonly string[];
}

/** The credential was used before. */
export interface Used {
  readonly outcome: 'exists';
  readonly rail: Rail;
  readonly payment: Payment;
  readonly presented: Presented;
}

/** Why there is nothing to run: nothing was sent, or what was sent does not pay. */
export interface Unpaid {
  readonly outcome: 'unpaid';
  readonly code: string;
  readonly message: string;
  readonly hint?: string;
}

export type Authorized = Granted | Used | Unpaid;

export const NOTHING_SENT = {
  outcome: 'unpaid',
  code: 'payment_required',
  message: 'Payment required',
} as const;

/** What is wrong with a payment becomes the reason of a 402; every other error passes through. */
export async function authorize(
  parts: RequestParts,
  chosen: readonly Chosen[],
  demand: Demand,
): Promise<Authorized> {
  try {
    return await tryRails(parts, chosen, demand);
  } catch (error) {
    if (!(error instanceof PaymentRefused)) throw error;
    return { outcome: 'unpaid', code: error.code, message: error.message, hint: error.hint };
  }
}

/**
 * A credential that lacks money gives way to the next credential, never to the free tier: a payer who
 * shows a key must learn that it is empty.
 */
async function tryRails(
  parts: RequestParts,
  chosen: readonly Chosen[],
  demand: Demand,
): Promise<Authorized> {
  const paying = hasCredential(chosen);
  let unpaid: Unpaid = NOTHING_SENT;
  for (const { rail, presented } of chosen) {
    if (rail.name === 'free' && paying && unpaid !== NOTHING_SENT) continue;
    if (presented.payer !== null) parts.rateLimits.admit(presented.payer);
    const authorization = await rail.authorize(presented, demand);
    if (authorization.outcome === 'granted') {
      parts.rateLimits.paid(authorization.payment.payer);
      return { ...authorization, rail };
    }
    if (authorization.outcome === 'exists') return { ...authorization, rail, presented };
    unpaid = { ...authorization, outcome: 'unpaid' };
  }
  return unpaid;
}
