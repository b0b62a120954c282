/** Runs the operations of one batch in one transaction: one commit to disk for all of them. */

import { StorageFailed } from '../storage/errors.ts';
import type { Database, Transaction } from '../storage/transaction.ts';
import { type Failure, failureOf } from './errors.ts';
import type { OperationContext, OperationName } from './operation.ts';
import { modeOf, operations } from './operations.ts';

export interface Call {
  readonly name: OperationName;
  readonly args: readonly unknown[];
  readonly nowMs: number;
}

export type Outcome = { readonly value: unknown } | { readonly failure: Failure };

type AnyOperation = (
  tx: Transaction,
  context: OperationContext,
  ...args: readonly unknown[]
) => Promise<unknown>;

/**
 * Answers every call once its writes are durable. An operation that fails is undone alone; when the
 * engine fails, nothing of the batch was written and all of it fails.
 */
export async function runBatch(database: Database, calls: readonly Call[]): Promise<Outcome[]> {
  try {
    return (await runBare(database, calls)) ?? (await runNested(database, calls));
  } catch (error) {
    // Whatever it was: the transaction did not commit.
    const failure: Failure = {
      code: 'store_unavailable',
      message: error instanceof Error ? error.message : String(error),
    };
    return calls.map(() => ({ failure }));
  }
}

class OperationFailed extends Error {}

/**
 * The fast way: without savepoints, which would copy every page that an operation touches. Null when
 * an operation failed; the whole transaction was rolled back then.
 */
async function runBare(database: Database, calls: readonly Call[]): Promise<Outcome[] | null> {
  try {
    return await database.transact(modeOf(calls.map((call) => call.name)), async (tx) => {
      const outcomes: Outcome[] = [];
      for (const call of calls) {
        try {
          outcomes.push({ value: await runOperation(tx, call) });
        } catch (error) {
          if (error instanceof StorageFailed) throw error;
          throw new OperationFailed('An operation of the batch failed', { cause: error });
        }
      }
      return outcomes;
    });
  } catch (error) {
    if (error instanceof OperationFailed) return null;
    throw error;
  }
}

/** The careful way: each operation in a savepoint of its own, so that one that fails leaves its neighbours alone. */
async function runNested(database: Database, calls: readonly Call[]): Promise<Outcome[]> {
  return await database.transact(modeOf(calls.map((call) => call.name)), async (tx) => {
    const outcomes: Outcome[] = [];
    for (const call of calls) {
      try {
        outcomes.push({ value: await tx.nest(() => runOperation(tx, call)) });
      } catch (error) {
        if (error instanceof StorageFailed) throw error;
        outcomes.push({ failure: failureOf(error) });
      }
    }
    return outcomes;
  });
}

function runOperation(tx: Transaction, { name, args, nowMs }: Call): Promise<unknown> {
  return (operations[name] as AnyOperation)(tx, { nowMs }, ...args);
}
