/** The rail's receipt in headers: PAYMENT-RESPONSE (v2) and X-PAYMENT-RESPONSE (v1). */

import { toChecksumAddress } from '../../chains/evm/sign.ts';
import type { Payment, PaymentState } from '../../core/payment.ts';
import { encodeHeader, type SettleResponse, v1NameOf } from './protocol.ts';

const PENDING: ReadonlySet<PaymentState> = new Set<PaymentState>([
  'captured',
  'settlement_unknown',
]);
const PAID: ReadonlySet<PaymentState> = new Set<PaymentState>([
  'settled',
  'refund_due',
  'refunded',
]);

/** Nothing for a payment whose money was never asked for. */
export function receiptHeaders(payment: Payment): readonly string[] {
  const response = responseOf(payment);
  if (response === null) return [];
  const v1 = { ...response, network: v1NameOf(response.network) ?? response.network };
  return ['PAYMENT-RESPONSE', encodeHeader(response), 'X-PAYMENT-RESPONSE', encodeHeader(v1)];
}

function responseOf(payment: Payment): SettleResponse | null {
  // Of upto nothing may be due, and then nothing is sent.
  const isFree = payment.state === 'settled' && payment.amount === 0n;
  const isPaid = PAID.has(payment.state) && (payment.transaction !== null || isFree);
  const isPending = PENDING.has(payment.state);
  if (!isPaid && !isPending && payment.state !== 'settlement_failed') return null;
  const address = payment.payer.slice(payment.payer.lastIndexOf(':') + 1);
  return {
    success: isPaid,
    transaction: payment.transaction ?? '',
    network: payment.network ?? '',
    payer: toChecksumAddress(address as `0x${string}`),
    ...(isPaid ? { amount: payment.amount.toString() } : {}),
    ...(isPending ? { errorReason: 'settlement_pending' } : {}),
    ...(!isPaid && !isPending ? { errorReason: payment.reason ?? 'settlement_failed' } : {}),
  };
}
