/** The last step: what the payer is told about the payment, in headers, in trailers, or as the last event. */

import { formatDecimal, USD } from '../core/money.ts';
import type { Payment } from '../core/payment.ts';
import type { Rail } from '../core/ports/rail.ts';
import { receiptOf } from '../core/receipt.ts';

/** Payment id, cost, state and the rail's own receipt, names and values in turn. */
export function receiptHeaders(rail: Rail | undefined, payment: Payment): string[] {
  return ['X-Payment-Id', payment.id, ...receiptTrailers(rail, payment)];
}

/** What of the receipt is known only once a stream has ended, names and values in turn. */
export function receiptTrailers(rail: Rail | undefined, payment: Payment): string[] {
  const cost = formatDecimal(payment.cost, USD.decimals);
  const ours = ['X-Payment-Cost', cost, 'X-Payment-State', payment.state];
  return rail === undefined ? ours : ours.concat(rail.receiptHeaders(payment));
}

/** The names of what `receiptTrailers` will give. */
export function trailerNames({ network }: Payment): readonly string[] {
  return network === null ? OURS : WITH_RAIL;
}

const OURS = ['X-Payment-Cost', 'X-Payment-State'];
const WITH_RAIL = [...OURS, 'PAYMENT-RESPONSE', 'X-PAYMENT-RESPONSE'];

/**
 * The receipt as the last event of an event stream. The official clients of OpenAI and Anthropic pass over it:
 * behind `[DONE]`, and as an event of a type that they do not know.
 */
export function receiptEvent(payment: Payment): Uint8Array {
  const receipt = { type: 'payment-receipt', ...receiptOf(payment) };
  return Buffer.from(`event: payment-receipt\ndata: ${JSON.stringify(receipt)}\n\n`);
}
