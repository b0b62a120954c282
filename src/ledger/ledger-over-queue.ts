import type { Clock } from '../core/clock.ts';
import type { Ledger } from '../core/ports/ledger.ts';
import type { CommitQueue } from './commit-queue.ts';
import type { OperationName } from './operation.ts';
import { operations } from './operations.ts';

/** The ledger as its callers see it: each method is one operation in the queue, and tells it the time. */
export function ledgerOverQueue(
  queue: CommitQueue,
  clock: Clock,
  close: () => Promise<void>,
): Ledger {
  const methods = Object.keys(operations).map((name) => [
    name,
    (...args: unknown[]) => queue.submit(name as OperationName, args, clock.now()),
  ]);
  return { ...Object.fromEntries(methods), close } as Ledger;
}
