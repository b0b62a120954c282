/** The near side of the worker thread that owns the database. */

import { Worker } from 'node:worker_threads';
import { type CoinslotError, StoreUnavailable } from '../core/errors.ts';
import {
  DatabaseInUse,
  DatabaseNotOpened,
  DatabaseTooNew,
  DatabaseUrlMalformed,
} from '../storage/errors.ts';
import { errorOf, type Failure } from './errors.ts';
import type { Call, Outcome } from './run-batch.ts';
import { AskingWire, type Frame } from './wire.ts';

export interface WorkerSettings {
  readonly url: string;
  readonly exclusive: boolean;
  readonly busyTimeoutMs: number;
}

/** A list is a batch. */
export type ToWorker = Frame | 'close';

/** A list is the outcomes of a batch. */
export type FromWorker = Frame | 'opened' | Failure;

export interface LedgerThread {
  /** Runs one batch; only one at a time. Rejects with StoreUnavailable when the thread died. */
  send(calls: readonly Call[]): Promise<readonly Outcome[]>;
  /** Closes the database and ends the thread. */
  close(): Promise<void>;
}

/** Source runs from .ts by type stripping, the published package from .js. */
const WORKER = new URL(
  import.meta.url.endsWith('.ts') ? './ledger-worker.ts' : './ledger-worker.js',
  import.meta.url,
);

/**
 * Starts the thread and opens the database in it. `onDeath` is called if the thread ends without
 * being asked. Rejects with the error of the opening, such as DatabaseInUse.
 */
export async function startLedgerThread(
  settings: WorkerSettings,
  onDeath: (error: StoreUnavailable) => void,
): Promise<LedgerThread> {
  const worker = new Worker(WORKER, { workerData: settings });
  const exited = Promise.withResolvers<void>();
  let pending = Promise.withResolvers<FromWorker>();
  let isOpen = false;
  let death: StoreUnavailable | null = null;

  const die = (cause: unknown): void => {
    if (death !== null) return;
    const reason = cause instanceof Error ? cause.message : String(cause);
    death = new StoreUnavailable(`The ledger's thread ended: ${reason}`, 5, { cause });
    pending.reject(death);
    if (isOpen) onDeath(death);
  };
  worker.on('message', (message: FromWorker) => pending.resolve(message));
  worker.on('messageerror', die);
  worker.on('error', die);
  worker.on('exit', (code) => {
    die(`exit code ${code}`);
    exited.resolve();
  });

  const first = await pending.promise;
  if (first !== 'opened') {
    await exited.promise;
    throw openingError(first as Failure);
  }
  isOpen = true;
  const wire = new AskingWire();
  return {
    async send(calls) {
      if (death !== null) throw death;
      pending = Promise.withResolvers();
      worker.postMessage(wire.encodeCalls(calls) satisfies ToWorker);
      return wire.decodeOutcomes(calls, (await pending.promise) as Frame);
    },
    async close() {
      // From here on the end of the thread is what was asked for.
      isOpen = false;
      if (death === null) worker.postMessage('close' satisfies ToWorker);
      await exited.promise;
    },
  };
}

function openingError(failure: Failure): CoinslotError {
  switch (failure.code) {
    case 'database_in_use':
      return new DatabaseInUse(failure.message);
    case 'database_too_new':
      return new DatabaseTooNew(failure.message);
    case 'database_url_malformed':
      return new DatabaseUrlMalformed(failure.message);
    case 'database_not_opened':
      return new DatabaseNotOpened(failure.message);
    default:
      return errorOf(failure);
  }
}
