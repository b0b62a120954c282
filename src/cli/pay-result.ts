/** The result of `coinslot pay`: what was paid, by what, and which exit code says so. */

import {
  AllowanceMissing,
  BudgetExceeded,
  NoPayableOffer,
  PayError,
  type PaymentEvent,
  PaymentOutcomeUnknown,
  receiptOf,
} from '../client/index.ts';
import { formatDecimal, USD } from '../core/money.ts';
import type { PayerBalance } from './payer-balance.ts';
import { printable } from './request-arguments.ts';

/** Exit codes of `pay`; scripts rely on them. */
export const PAY_EXIT = {
  ok: 0,
  failed: 1,
  overBudget: 2,
  cannotPay: 3,
  outcomeUnknown: 4,
  upstreamError: 5,
} as const;

export const PAY_EXIT_HELP = `
Exit codes:
  0  answered, and paid if it had a price
  1  wrong usage, no connection, or another failure
  2  the price is over --max or --per-day; nothing was signed
  3  it can't be paid: no wallet, no offer that this wallet can pay, or the payment was refused
  4  paid, but the outcome is unknown; the same command with the same --journal asks again and never pays twice
  5  the server answered an error (status 400 or more) and nothing was charged`;

export interface PayResult {
  readonly exitCode: number;
  /** Null when no answer came. */
  readonly status: number | null;
  /** Decimal; null when unknown. */
  readonly cost: string | null;
  readonly currency: 'USD';
  readonly rail: 'x402' | 'prepaid' | 'free' | null;
  readonly network: string | null;
  readonly transaction: string | null;
  readonly paymentId: string | null;
  readonly freeCallsRemaining?: number;
  readonly error?: { readonly code: string; readonly message: string; readonly hint: string };
}

/** The result of an answer. `event` is what became of the payment, if one was signed. */
export function resultOfAnswer(
  response: Response,
  event: PaymentEvent | null,
  payer: { readonly hasWallet: boolean; readonly hasKey: boolean },
): PayResult {
  const receipt = receiptOf(response);
  const free = receipt?.freeCallsRemaining;
  const charged = event?.outcome === 'paid' || (receipt?.cost ? Number(receipt.cost) > 0 : false);
  const byKey = payer.hasKey && event === null && receipt?.paymentId != null;
  const paidAmount = event ? formatDecimal(event.payment.amount, USD.decimals) : null;
  return {
    ...judge(response, charged, payer),
    status: response.status,
    cost: charged ? (receipt?.cost ?? paidAmount) : '0',
    currency: 'USD',
    rail: event ? 'x402' : free !== undefined && response.ok ? 'free' : byKey ? 'prepaid' : null,
    network: event?.payment.network ?? null,
    transaction: receipt?.transaction ?? null,
    paymentId: receipt?.paymentId ?? null,
    ...(free === undefined ? {} : { freeCallsRemaining: free }),
  };
}

function judge(
  response: Response,
  charged: boolean,
  payer: { readonly hasWallet: boolean; readonly hasKey: boolean },
): Pick<PayResult, 'exitCode' | 'error'> {
  const { status } = response;
  const failed = (exitCode: number, code: string, message: string, hint: string) => ({
    exitCode,
    error: { code, message, hint },
  });
  if (charged || status < 300) return { exitCode: PAY_EXIT.ok };
  if (status < 400) {
    const location = printable(response.headers.get('location') ?? 'elsewhere');
    const hint = 'Call that address itself if you trust it.';
    const message = `The server redirects to ${location}; neither a key nor a payment follows a redirect.`;
    return failed(PAY_EXIT.failed, 'redirected', message, hint);
  }
  if (status !== 402) {
    const message = `The server answered ${status}. Nothing was charged.`;
    return failed(PAY_EXIT.upstreamError, 'upstream_error', message, 'See the answer.');
  }
  if (payer.hasWallet)
    return failed(
      PAY_EXIT.cannotPay,
      'payment_refused',
      'The server answered 402: it did not accept the payment, or asks for one that is not x402.',
      'See the answer, or coinslot inspect.',
    );
  const message = payer.hasKey
    ? 'The server wants a payment that the key does not cover.'
    : 'The server wants a payment, and there is neither a wallet nor a key.';
  const hint = 'Set WALLET_KEY to a private key, or COINSLOT_API_KEY to a key with a balance.';
  return failed(PAY_EXIT.cannotPay, 'no_wallet', message, hint);
}

/** The result of a payment that was not made, or not heard of; any other error is thrown again. */
export function resultOfError(error: unknown): PayResult {
  if (!(error instanceof PayError)) throw error;
  const nothing = {
    currency: 'USD' as const,
    transaction: null,
    error: { code: error.code, message: error.message, hint: hintOf(error) },
  };
  if (error instanceof PaymentOutcomeUnknown)
    return {
      ...nothing,
      exitCode: PAY_EXIT.outcomeUnknown,
      status: error.response?.status ?? null,
      cost: null,
      rail: 'x402',
      network: error.signed.network,
      paymentId: error.paymentId,
    };
  const over = error instanceof BudgetExceeded;
  const cannot = error instanceof NoPayableOffer || error instanceof AllowanceMissing;
  const status = over || cannot ? error.response.status : null;
  const unpaid = { ...nothing, cost: '0', rail: null, network: null, paymentId: null };
  if (over) return { ...unpaid, status, exitCode: PAY_EXIT.overBudget };
  if (cannot) return { ...unpaid, status, exitCode: PAY_EXIT.cannotPay };
  return { ...unpaid, status, exitCode: PAY_EXIT.failed };
}

/** The limits of a budget have other names on the command line. */
function hintOf(error: PayError): string {
  if (!(error instanceof BudgetExceeded)) return error.hint;
  return error.by === 'perDay'
    ? 'Wait until the UTC day ends, or raise --per-day.'
    : `Pass --max '${error.price}' if the answer is worth it.`;
}

/** The same result of an answer whose body ended early. */
export function withBrokenAnswer(result: PayResult, cause: string): PayResult {
  const hint =
    result.paymentId === null
      ? 'Repeat the command to ask again.'
      : `GET /_pay/payments/${printable(result.paymentId)} on the same host tells what became of the payment.`;
  const message = `The answer broke off: ${cause}`;
  return {
    ...result,
    exitCode: PAY_EXIT.failed,
    error: { code: 'answer_broke_off', message, hint },
  };
}

/** The lines for people, on stderr. */
export function payLines(result: PayResult, balance: PayerBalance | null): string[] {
  const lines: string[] = [];
  const { rail, network } = result;
  if (result.error === undefined || rail !== null) {
    const by = [rail, network].filter((word) => word !== null).join(', ');
    const cost = result.cost === null ? 'unknown' : `$${result.cost}`;
    lines.push(`cost         ${cost}${by === '' ? '' : ` (${by})`}`);
  }
  if (result.transaction !== null) lines.push(`transaction  ${printable(result.transaction)}`);
  if (result.paymentId !== null) lines.push(`payment      ${printable(result.paymentId)}`);
  if (balance !== null) lines.push(`balance      ${balance.balance} ${balance.currency}`);
  if (result.freeCallsRemaining !== undefined)
    lines.push(`free calls   ${result.freeCallsRemaining} left`);
  if (result.error)
    lines.push(`coinslot: ${printable(result.error.message, 2000)}`, `  ${result.error.hint}`);
  return lines;
}
