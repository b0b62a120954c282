/** The last step: what the payer is told about the payment, in headers. */

import { formatDecimal, USD } from '../core/money.ts';
import type { Payment } from '../core/payment.ts';
import type { Rail } from '../core/ports/rail.ts';

/** Payment id, cost, state and the rail's own receipt, names and values in turn. */
export function receiptHeaders(rail: Rail | undefined, payment: Payment): string[] {
  return [
    ...['X-Payment-Id', payment.id],
    ...['X-Payment-Cost', formatDecimal(payment.cost, USD.decimals)],
    ...['X-Payment-State', payment.state],
    ...(rail?.receiptHeaders(payment) ?? []),
  ];
}
