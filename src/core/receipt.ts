/** What a payer can see of a payment: the body of `GET /_pay/payments/{id}`. */

import { formatDecimal, USD } from './money.ts';
import type { Payment } from './payment.ts';
import type { UsageLine } from './usage.ts';

export interface Receipt {
  readonly id: string;
  readonly state: Payment['state'];
  readonly route: string;
  readonly rail: Payment['rail'];
  readonly network?: string;
  readonly payer: string;
  readonly quote: { readonly max: string };
  /** Decimal of `currency`. */
  readonly cost: string;
  readonly currency: 'USD';
  readonly usage: readonly UsageLine[];
  readonly transaction?: string;
  readonly reason?: string;
  readonly createdAt: string;
  readonly updatedAt: string;
}

export function receiptOf(payment: Payment): Receipt {
  return {
    id: payment.id,
    state: payment.state,
    route: payment.route,
    rail: payment.rail,
    ...(payment.network === null ? {} : { network: payment.network }),
    payer: payment.payer,
    quote: { max: formatDecimal(payment.quoteMax, USD.decimals) },
    cost: formatDecimal(payment.cost, USD.decimals),
    currency: 'USD',
    usage: payment.usage,
    ...(payment.transaction === null ? {} : { transaction: payment.transaction }),
    ...(payment.reason === null ? {} : { reason: payment.reason }),
    createdAt: new Date(payment.createdAtMs).toISOString(),
    updatedAt: new Date(payment.updatedAtMs).toISOString(),
  };
}
