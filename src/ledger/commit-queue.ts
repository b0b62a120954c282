/**
 * Group commit: operations that arrive while a batch is being committed wait and go together as the
 * next one, so that one write to disk serves many requests. Each is answered after its own commit.
 */

import { StoreUnavailable } from '../core/errors.ts';
import { errorOf } from './errors.ts';
import type { OperationName } from './operation.ts';
import { isReport } from './operations.ts';
import type { Call, Outcome } from './run-batch.ts';

export interface CommitQueueOptions {
  /** Runs one batch; its rejection means that nobody knows what was written. */
  readonly send: (calls: readonly Call[]) => Promise<readonly Outcome[]>;
  /** More operations than this waiting are refused. */
  readonly waitingMax: number;
  /** A batch holds at most this many, which bounds how long one commit takes. */
  readonly batchMax: number;
}

interface Waiting {
  readonly call: Call;
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: Error) => void;
}

export class CommitQueue {
  readonly #options: CommitQueueOptions;
  #waiting: Waiting[] = [];
  #isSending = false;
  #isScheduled = false;
  #closed: StoreUnavailable | null = null;
  #idle: (() => void)[] = [];

  constructor(options: CommitQueueOptions) {
    this.#options = options;
  }

  /** Resolves with the operation's answer once it is durable. Rejects with StoreUnavailable when the queue is full or closed. */
  submit(name: OperationName, args: readonly unknown[], nowMs: number): Promise<unknown> {
    if (this.#closed !== null) return Promise.reject(this.#closed);
    if (this.#waiting.length >= this.#options.waitingMax)
      return Promise.reject(new StoreUnavailable('The ledger has too much to write', 1));
    return new Promise((resolve, reject) => {
      this.#waiting.push({ call: { name, args, nowMs }, resolve, reject });
      this.#schedule();
    });
  }

  /** Waits until everything submitted so far is answered; later operations are refused. */
  async close(): Promise<void> {
    this.#closed ??= new StoreUnavailable('The ledger is closed');
    if (!this.#isSending && this.#waiting.length === 0) return;
    await new Promise<void>((resolve) => this.#idle.push(resolve));
  }

  /** Refuses everything that waits and everything to come. */
  fail(error: StoreUnavailable): void {
    this.#closed = error;
    for (const { reject } of this.#waiting.splice(0)) reject(error);
  }

  /** Sends at the end of this turn of the event loop, so that what arrives together goes together. */
  #schedule(): void {
    if (this.#isSending || this.#isScheduled) return;
    this.#isScheduled = true;
    setImmediate(() => {
      this.#isScheduled = false;
      if (!this.#isSending) void this.#sendAll();
    });
  }

  async #sendAll(): Promise<void> {
    this.#isSending = true;
    while (this.#waiting.length > 0) await this.#sendBatch(this.#takeBatch());
    this.#isSending = false;
    for (const resolve of this.#idle.splice(0)) resolve();
  }

  async #sendBatch(batch: readonly Waiting[]): Promise<void> {
    try {
      const outcomes = await this.#options.send(batch.map((one) => one.call));
      for (const [index, { resolve, reject }] of batch.entries()) {
        const outcome = outcomes[index];
        if (outcome === undefined) reject(new StoreUnavailable('The ledger gave no answer'));
        else if ('failure' in outcome) reject(errorOf(outcome.failure));
        else resolve(outcome.value);
      }
    } catch (error) {
      const unavailable =
        error instanceof StoreUnavailable
          ? error
          : new StoreUnavailable('The ledger gave no answer', 5, { cause: error });
      for (const { reject } of batch) reject(unavailable);
    }
  }

  #takeBatch(): Waiting[] {
    const waiting = this.#waiting;
    let count = 0;
    while (count < waiting.length && count < this.#options.batchMax) {
      const isLong = isReport((waiting[count] as Waiting).call.name);
      if (isLong && count > 0) break;
      count++;
      if (isLong) break;
    }
    if (count === waiting.length) {
      this.#waiting = [];
      return waiting;
    }
    return waiting.splice(0, count);
  }
}
