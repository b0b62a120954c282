/** What can go wrong when a fetch pays: one class per failure, each with a code, a hint and whether to try again. */

import { formatUsd } from '../core/money.ts';
import type { SignedPayment } from './journal.ts';

export abstract class PayError extends Error {
  abstract readonly code: string;
  /** One line: what to do next. */
  abstract readonly hint: string;
  /** Whether the very same call may succeed later. */
  readonly retryable: boolean = false;
}

/** An option of payFetch that can't be used; thrown when payFetch is called, never during a request. */
export class PayOptionsInvalid extends PayError {
  override readonly name = 'PayOptionsInvalid';
  readonly code = 'pay_options_invalid';
  readonly hint = 'Correct the named option of payFetch.';
}

/** The private key is missing or not a key; the message never contains it. */
export class WalletKeyInvalid extends PayError {
  override readonly name = 'WalletKeyInvalid';
  readonly code = 'wallet_key_invalid';
  readonly hint = 'Pass 0x and 64 hexadecimal digits, for example from an environment variable.';
}

export type BudgetLimit = 'perCall' | 'perDay' | 'hosts';

/** The price is over a limit of the budget. Nothing was signed. */
export class BudgetExceeded extends PayError {
  override readonly name = 'BudgetExceeded';
  readonly code = 'budget_exceeded';
  readonly hint: string;
  override readonly retryable: boolean;
  /** Which limit. */
  readonly by: BudgetLimit;
  /** Such as `$0.06`. */
  readonly price: string;
  /** The limit, such as `$0.05`; for `hosts` the listed hosts. */
  readonly limit: string;
  /** The 402 as it came, body intact. */
  readonly response: Response;
  constructor(by: BudgetLimit, price: bigint, limit: string, detail: string, response: Response) {
    super(detail);
    this.by = by;
    this.price = formatUsd(price);
    this.limit = limit;
    this.response = response;
    this.retryable = by === 'perDay';
    this.hint =
      by === 'perDay'
        ? 'Wait until the UTC day ends, or raise budget.perDay.'
        : by === 'perCall'
          ? 'Raise budget.perCall if the answer is worth it.'
          : 'Add the host to budget.hosts if you trust it.';
  }
}

/** The 402 has offers and this payer can pay none of them. Nothing was signed. */
export class NoPayableOffer extends PayError {
  override readonly name = 'NoPayableOffer';
  readonly code = 'no_payable_offer';
  readonly hint = 'See reasons; another wallet, an API key or another network may do.';
  /** One line for each offer. */
  readonly reasons: readonly string[];
  /** The 402 as it came, body intact. */
  readonly response: Response;
  constructor(reasons: readonly string[], response: Response) {
    super(
      reasons.length === 0
        ? 'The 402 contains no x402 offer.'
        : `None of the offers can be paid: ${reasons.join('; ')}.`,
    );
    this.reasons = reasons;
    this.response = response;
  }
}

/** The price is measured afterwards, and the wallet has not yet let Permit2 spend its token. */
export class AllowanceMissing extends PayError {
  override readonly name = 'AllowanceMissing';
  readonly code = 'permit2_allowance_required';
  readonly hint: string;
  override readonly retryable = true;
  /** The transaction to send once from the wallet; then the same call can be paid. */
  readonly approval: PermitApproval;
  /** The 402 or 412 as it came, body intact. */
  readonly response: Response;
  constructor(approval: PermitApproval, response: Response) {
    const { from, to, network, spender, data } = approval;
    super(
      `Paying this call needs Permit2, and ${from} has not let it spend ${to} on ${network}. Nothing was paid.`,
    );
    this.approval = approval;
    this.response = response;
    this.hint = `Send one transaction from ${from} on ${network}: to ${to}, data ${data}, which is approve(${spender}, 2^256-1).`;
  }
}

/** The one transaction that a wallet sends before its first payment by Permit2. */
export interface PermitApproval {
  /** CAIP-2. */
  readonly network: string;
  readonly from: string;
  /** The token. */
  readonly to: string;
  /** Calldata of `approve(spender, 2^256-1)`. */
  readonly data: string;
  /** Permit2. */
  readonly spender: string;
}

/** A payment was signed and sent, and whether it was taken could not be learned. Nothing else was signed. */
export class PaymentOutcomeUnknown extends PayError {
  override readonly name = 'PaymentOutcomeUnknown';
  readonly code = 'payment_outcome_unknown';
  readonly hint: string;
  override readonly retryable = true;
  /** What was signed, the exact header included. */
  readonly signed: SignedPayment;
  /** The gateway's id of the payment, if an answer named one. */
  readonly paymentId: string | null;
  /** The last answer, body intact, or null when none came. */
  readonly response: Response | null;
  constructor(
    signed: SignedPayment,
    paymentId: string | null,
    response: Response | null,
    options?: ErrorOptions,
  ) {
    const last = response === null ? 'no answer came' : `the last answer was ${response.status}`;
    super(
      `A payment of up to ${formatUsd(signed.amount)} for ${signed.method} ${signed.url} was sent and its outcome is unknown (${last}).`,
      options,
    );
    this.signed = signed;
    this.paymentId = paymentId;
    this.response = response;
    this.hint = `Repeat the very same call: until ${new Date(signed.validBeforeMs).toISOString()} it sends the same signature again instead of a second payment. ${lookUp(signed, paymentId)}`;
  }
}

function lookUp(signed: SignedPayment, paymentId: string | null): string {
  const chain = `authorizationState(${signed.from}, ${signed.nonce}) of ${signed.asset} on ${signed.network}`;
  if (paymentId === null) return `To look it up, read ${chain}.`;
  const page = new URL(`/_pay/payments/${encodeURIComponent(paymentId)}`, signed.url);
  return `To look it up, GET ${page.href} or read ${chain}.`;
}

/** The journal could not be read or written, so nothing may be signed. */
export class JournalUnavailable extends PayError {
  override readonly name = 'JournalUnavailable';
  readonly code = 'journal_unavailable';
  readonly hint = 'Check that the journal file can be written and is not damaged.';
  override readonly retryable = true;
}
