/** What an answer says about its payment, read from its headers. */

import {
  canonicalNetwork,
  decodeSettleResponse,
  type SettleResponse,
  X402FormatError,
} from '../rails/x402/protocol.ts';

export interface PaymentReceipt {
  /** The gateway's id of the payment; `GET /_pay/payments/{id}` tells more. */
  readonly paymentId: string | null;
  /** Decimal USD, such as `0.006`. */
  readonly cost: string | null;
  /** State of the payment at the gateway, such as `settled`. */
  readonly state: string | null;
  /** Hash on `network`. */
  readonly transaction: string | null;
  /** CAIP-2. */
  readonly network: string | null;
  readonly payer: string | null;
  /** Whether the money has moved; null when no rail says so. */
  readonly success: boolean | null;
  /** Why it has not. */
  readonly errorReason: string | null;
  readonly freeCallsRemaining?: number;
  /** Atoms of the asset that were taken. */
  readonly amount?: string;
}

const ATOMS = /^\d{1,78}$/;
const COST = /^\d{1,30}(?:\.\d{1,30})?$/;

/** The receipt in an answer's headers, or null when there is none; garbled parts count as absent. */
export function receiptOf(response: Response): PaymentReceipt | null {
  const { headers } = response;
  const settled = settleResponseOf(response);
  const amount = settled?.amount;
  const cost = headers.get('x-payment-cost');
  const free = headers.get('x-free-calls-remaining');
  const receipt: PaymentReceipt = {
    paymentId: headers.get('x-payment-id'),
    cost: cost !== null && COST.test(cost) ? cost : null,
    state: headers.get('x-payment-state'),
    transaction: settled?.transaction || null,
    network: settled?.network ? canonicalNetwork(settled.network) : null,
    payer: settled?.payer ?? null,
    success: settled?.success ?? null,
    errorReason: settled?.errorReason ?? null,
    ...(amount !== undefined && ATOMS.test(amount) ? { amount } : {}),
    ...(free !== null && /^\d{1,15}$/.test(free) ? { freeCallsRemaining: Number(free) } : {}),
  };
  const isEmpty = Object.values(receipt).every((value) => value === null);
  return isEmpty ? null : receipt;
}

function settleResponseOf(response: Response): SettleResponse | null {
  for (const name of ['payment-response', 'x-payment-response']) {
    const header = response.headers.get(name);
    if (header === null) continue;
    try {
      return decodeSettleResponse(header);
    } catch (error) {
      if (!(error instanceof X402FormatError)) throw error;
    }
  }
  return null;
}
