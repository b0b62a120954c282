/** Tells a server that misses the approval of Permit2 from any other 412, which may be the caller's own precondition. */

import { decodePaymentRequired, X402FormatError } from '../rails/x402/protocol.ts';
import type { SignedPayment } from './journal.ts';
import { schemeOf } from './scheme-of.ts';

const CODE = 'permit2_allowance_required';
const BODY_CHARS_MAX = 64 * 1024;

/** The answer stays unread. */
export async function asksForApproval(answer: Response, payment: SignedPayment): Promise<boolean> {
  if (answer.status !== 412 || schemeOf(payment) !== 'upto') return false;
  const header = answer.headers.get('payment-required');
  if (header !== null && reasonIn(header) === CODE) return true;
  if (!/json/i.test(answer.headers.get('content-type') ?? '')) return false;
  if (Number(answer.headers.get('content-length') ?? 0) > BODY_CHARS_MAX) return false;
  try {
    const { code } = (await answer.clone().json()) as { readonly code?: unknown };
    return code === CODE;
  } catch {
    return false;
  }
}

function reasonIn(header: string): string | null {
  try {
    return decodePaymentRequired(header).error ?? null;
  } catch (error) {
    if (error instanceof X402FormatError) return null;
    throw error;
  }
}
