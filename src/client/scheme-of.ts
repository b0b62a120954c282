import { decodePaymentHeader, X402FormatError } from '../rails/x402/protocol.ts';
import type { SignedPayment } from './journal.ts';

/** By which x402 scheme a payment was signed, as its header says; null for one that cannot be read. */
export function schemeOf({ headerValue }: SignedPayment): string | null {
  try {
    const payment = decodePaymentHeader(headerValue);
    return payment.x402Version === 2 ? payment.accepted.scheme : payment.scheme;
  } catch (error) {
    if (error instanceof X402FormatError) return null;
    throw error;
  }
}
