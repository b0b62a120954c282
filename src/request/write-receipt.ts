/** The last step: what the payer is told about the payment, in headers. */

import { formatDecimal, USD } from '../core/money.ts';
import type { Payment } from '../core/payment.ts';
import type { Rail } from '../core/ports/rail.ts';

/** Payment id, cost, state and the rail's own receipt, names and values in turn. */
export function receiptHeaders(rail: Rail | undefined, payment: Payment): string[] {
  const cost = formatDecimal(payment.cost, USD.decimals);
  const ours = ['X-Payment-Id', payment.id, 'X-Payment-Cost', cost];
  ours.push('X-Payment-State', payment.state);
  return rail === undefined ? ours : ours.concat(rail.receiptHeaders(payment));
}
