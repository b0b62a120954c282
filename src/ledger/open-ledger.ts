/** Opens the ledger of a gateway or of a command. */

import type { Clock } from '../core/clock.ts';
import type { StoreUnavailable } from '../core/errors.ts';
import type { Ledger } from '../core/ports/ledger.ts';
import { CommitQueue } from './commit-queue.ts';
import { ledgerOverQueue } from './ledger-over-queue.ts';
import { startLedgerThread } from './ledger-thread.ts';

export interface OpenLedgerOptions {
  /** `sqlite:path` or `sqlite::memory:`. */
  readonly url: string;
  readonly clock: Clock;
  /** True for the gateway: refuses a file that another gateway holds. False for commands that work beside one. */
  readonly exclusive: boolean;
  /** The thread that owns the database died: nothing can be written any more and the process should exit. */
  readonly onFatal: (error: Error) => void;
  /** How long a write waits for another process's write; 5000 by default. */
  readonly busyTimeoutMs?: number;
  /** More operations than this waiting are refused with StoreUnavailable; 10000 by default. */
  readonly waitingMax?: number;
}

const BUSY_TIMEOUT_MS = 5_000;
const WAITING_MAX = 10_000;
const BATCH_MAX = 512;

/**
 * Opens, creates or migrates the database. Rejects with DatabaseInUse, DatabaseTooNew,
 * DatabaseUrlMalformed, DatabaseNotOpened or StoreUnavailable. `close` first answers what waits.
 */
export async function openLedger(options: OpenLedgerOptions): Promise<Ledger> {
  const settings = {
    url: options.url,
    exclusive: options.exclusive,
    busyTimeoutMs: options.busyTimeoutMs ?? BUSY_TIMEOUT_MS,
  };
  const thread = await startLedgerThread(settings, (error: StoreUnavailable) => {
    queue.fail(error);
    options.onFatal(error);
  });
  const queue = new CommitQueue({
    send: (calls) => thread.send(calls),
    waitingMax: options.waitingMax ?? WAITING_MAX,
    batchMax: BATCH_MAX,
  });
  let closing: Promise<void> | null = null;
  return ledgerOverQueue(queue, options.clock, () => {
    closing ??= queue.close().then(() => thread.close());
    return closing;
  });
}
