/** How the rail says that a payment is not what was offered. */

import { PaymentRefused } from '../../core/errors.ts';

/** A field that differs from the offer; both values are named, the stranger's in a harmless form. */
export function mismatch(
  code: string,
  field: string,
  expected: string,
  got: string,
): PaymentRefused {
  return new PaymentRefused(
    code,
    `${field} is ${printable(got)}, expected ${expected}.`,
    `Sign an offer of this 402: ${field} must be ${expected}.`,
  );
}

export function sameHex(one: string, other: string): boolean {
  return one.toLowerCase() === other.toLowerCase();
}

/** A stranger's text in a message of ours: short, and without control characters. */
function printable(text: string): string {
  const plain = text.replace(/[^\x20-\x7e]/g, '?');
  return plain.length > 100 ? `${plain.slice(0, 100)}…` : plain;
}
