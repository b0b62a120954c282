/** What the ledger refuses to do. */

import { CoinslotError, StoreUnavailable } from '../core/errors.ts';
import { ConstraintViolated, StorageFailed } from '../storage/errors.ts';

/** A caller asked for what the laws of money forbid, such as a capture above the hold. Nothing was changed. */
export class MoneyLawBroken extends CoinslotError {
  readonly code = 'money_law_broken';
  readonly status = 500;
  readonly hint = 'Nothing was changed. This is a fault of the gateway: please report it.';
}

/** Another payment's stored chain transaction has this sender and nonce already. Nothing was changed. */
export class NonceTaken extends CoinslotError {
  readonly code = 'nonce_taken';
  readonly status = 503;
  readonly hint = 'Sign the chain transaction again with the next nonce, then capture again.';
  override readonly retryable = true;
}

/** An operation failed in a way that nobody foresaw. Nothing was changed. */
export class LedgerFault extends CoinslotError {
  readonly code = 'ledger_fault';
  readonly status = 500;
  readonly hint = 'Nothing was changed. This is a fault of the gateway: please report it.';
}

/** An error in a form that crosses a thread. */
export interface Failure {
  readonly code: string;
  readonly message: string;
}

export function failureOf(error: unknown): Failure {
  const message = error instanceof Error ? error.message : String(error);
  if (error instanceof StorageFailed) return { code: 'store_unavailable', message };
  if (error instanceof ConstraintViolated) return { code: 'money_law_broken', message };
  if (error instanceof CoinslotError) return { code: error.code, message };
  return { code: 'ledger_fault', message };
}

export function errorOf(failure: Failure): CoinslotError {
  switch (failure.code) {
    case 'money_law_broken':
      return new MoneyLawBroken(failure.message);
    case 'nonce_taken':
      return new NonceTaken(failure.message);
    case 'store_unavailable':
      return new StoreUnavailable(`The ledger could not write: ${failure.message}`);
    default:
      return new LedgerFault(failure.message);
  }
}
