/** An operation: one method of the ledger as a function over a transaction, the same on every engine. */

import type { Ledger } from '../core/ports/ledger.ts';
import type { Transaction } from '../storage/transaction.ts';
import type { Memory } from './memory.ts';

export type OperationName = Exclude<keyof Ledger, 'close'>;

export interface OperationContext {
  /** When the caller asked, milliseconds since the Unix epoch. */
  readonly nowMs: number;
  readonly memory: Memory;
}

/** Throws MoneyLawBroken before or after it wrote; what it wrote is undone then. */
export type Operation<Name extends OperationName> = (
  tx: Transaction,
  context: OperationContext,
  ...args: Parameters<Ledger[Name]>
) => ReturnType<Ledger[Name]>;
