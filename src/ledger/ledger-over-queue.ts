import type { Clock } from '../core/clock.ts';
import type { StoredAnswer } from '../core/payment.ts';
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
  const ledger = { ...Object.fromEntries(methods), close } as Ledger;
  return {
    ...ledger,
    release: (order) => ledger.release({ ...order, answer: trimmed(order.answer) }),
  };
}

/** A view of a larger buffer would carry all of that buffer into the ledger's thread. */
function trimmed(answer: StoredAnswer | null): StoredAnswer | null {
  if (answer === null || answer.body.byteLength === answer.body.buffer.byteLength) return answer;
  return { ...answer, body: new Uint8Array(answer.body) };
}
