/** Runs the operations of one batch in one transaction: one commit to disk for all of them. */

import { StorageFailed } from '../storage/errors.ts';
import type { Database, Transaction } from '../storage/transaction.ts';
import { type Failure, failureOf } from './errors.ts';
import { Memory } from './memory.ts';
import type { OperationContext, OperationName } from './operation.ts';
import { keepsMemory, modeOf, operations } from './operations.ts';

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

export type RunBatch = (calls: readonly Call[]) => Promise<Outcome[]>;

/**
 * Runs batches on a database, one at a time. Answers every call once its writes are durable. An operation
 * that fails is undone alone; when the engine fails, nothing of the batch was written and all of it fails.
 */
export function batchesOn(database: Database): RunBatch {
  let memory = new Memory();
  return async (calls) => {
    try {
      const outcomes = await runBare(database, memory, calls);
      if (outcomes !== null) return outcomes;
      memory = new Memory();
      return await runNested(database, calls);
    } catch (error) {
      memory = new Memory();
      // Whatever it was: the transaction did not commit.
      const failure: Failure = {
        code: 'store_unavailable',
        message: error instanceof Error ? error.message : String(error),
      };
      return calls.map(() => ({ failure }));
    }
  };
}

class OperationFailed extends Error {}

/**
 * The fast way: without savepoints, which would copy every page that an operation touches, and with the
 * books written once. Null when an operation failed; the whole transaction was rolled back then.
 */
async function runBare(
  database: Database,
  memory: Memory,
  calls: readonly Call[],
): Promise<Outcome[] | null> {
  const mode = modeOf(calls);
  try {
    return await database.transact(mode, async (tx) => {
      try {
        if (mode === 'write') memory.begin(await tx.version());
        const outcomes: Outcome[] = [];
        for (const call of calls) {
          const run = keepsMemory(call.name) ? runOperation : runForgetting;
          outcomes.push({ value: await run(tx, memory, call) });
        }
        await memory.books.flush(tx);
        return outcomes;
      } catch (error) {
        if (error instanceof StorageFailed) throw error;
        throw new OperationFailed('An operation of the batch failed', { cause: error });
      }
    });
  } catch (error) {
    if (error instanceof OperationFailed) return null;
    throw error;
  }
}

/** An operation that looks at balances or changes keys by itself finds them written, and leaves no old ones behind. */
async function runForgetting(tx: Transaction, memory: Memory, call: Call): Promise<unknown> {
  await memory.books.flush(tx);
  const value = await runOperation(tx, memory, call);
  if (modeOf([call]) === 'write') memory.forgetKeys();
  return value;
}

/**
 * The careful way: each operation in a savepoint of its own, with a memory of its own, so that one that
 * fails leaves its neighbours alone.
 */
async function runNested(database: Database, calls: readonly Call[]): Promise<Outcome[]> {
  return await database.transact(modeOf(calls), async (tx) => {
    const outcomes: Outcome[] = [];
    for (const call of calls) {
      try {
        outcomes.push({ value: await tx.nest(() => runAlone(tx, call)) });
      } catch (error) {
        if (error instanceof StorageFailed) throw error;
        outcomes.push({ failure: failureOf(error) });
      }
    }
    return outcomes;
  });
}

async function runAlone(tx: Transaction, call: Call): Promise<unknown> {
  const memory = new Memory();
  const value = await runOperation(tx, memory, call);
  await memory.books.flush(tx);
  return value;
}

function runOperation(
  tx: Transaction,
  memory: Memory,
  { name, args, nowMs }: Call,
): Promise<unknown> {
  return (operations[name] as AnyOperation)(tx, { nowMs, memory }, ...args);
}
