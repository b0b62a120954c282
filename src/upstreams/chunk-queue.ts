/**
 * The bytes of an answer between the parser that finds them and their reader. Many small chunks that came at once
 * leave as one, large ones as they are: node's own streams copy either, and take twice the time.
 */

/** More than this in the queue, and its writer should pause. */
const FULL_BYTES = 65_536;
/** Less than this in the queue, and its writer may go on. */
const LOW_BYTES = 16_384;
/** A chunk of this size is not worth a copy. */
const LARGE_BYTES = 8_192;

interface Waiting {
  readonly resolve: (next: IteratorResult<Uint8Array>) => void;
  readonly reject: (error: Error) => void;
}

export interface ChunkQueueEvents {
  /** The queue was full and is not any more. */
  readonly onLow: () => void;
  /** Its reader gave it up before the end. */
  readonly onLeft: () => void;
}

/** One writer, one reader. An error comes after the chunks that were there before it. */
export class ChunkQueue implements AsyncIterator<Uint8Array> {
  readonly #events: ChunkQueueEvents;
  #chunks: Uint8Array[] = [];
  #bytes = 0;
  #isFull = false;
  #hasEnded = false;
  #error: Error | null = null;
  #waiting: Waiting | null = null;
  #wakes = false;

  constructor(events: ChunkQueueEvents) {
    this.#events = events;
  }

  /** False when the writer should pause until `onLow`. */
  push(chunk: Uint8Array): boolean {
    if (this.#hasEnded) return true;
    this.#chunks.push(chunk);
    this.#bytes += chunk.length;
    this.#wake();
    if (this.#bytes >= FULL_BYTES) this.#isFull = true;
    return !this.#isFull;
  }

  end(error: Error | null = null): void {
    if (this.#hasEnded) return;
    this.#hasEnded = true;
    this.#error = error;
    this.#wake();
  }

  next(): Promise<IteratorResult<Uint8Array>> {
    return new Promise((resolve, reject) => {
      this.#waiting = { resolve, reject };
      if (this.#chunks.length > 0 || this.#hasEnded) this.#serve();
    });
  }

  async return(): Promise<IteratorResult<Uint8Array>> {
    const isEarly = !this.#hasEnded;
    this.#hasEnded = true;
    this.#chunks = [];
    this.#bytes = 0;
    this.#error = null;
    if (isEarly) this.#events.onLeft();
    this.#serve();
    return { done: true, value: undefined };
  }

  /** Only once the parser has no more for now, so that what came at once leaves at once. */
  #wake(): void {
    if (this.#waiting === null || this.#wakes) return;
    this.#wakes = true;
    queueMicrotask(() => {
      this.#wakes = false;
      this.#serve();
    });
  }

  #serve(): void {
    const waiting = this.#waiting;
    if (waiting === null) return;
    this.#waiting = null;
    if (this.#chunks.length > 0) waiting.resolve({ done: false, value: this.#take() });
    else if (this.#error === null) waiting.resolve({ done: true, value: undefined });
    else waiting.reject(this.#takeError(this.#error));
  }

  #takeError(error: Error): Error {
    this.#error = null;
    return error;
  }

  #take(): Uint8Array {
    const first = this.#chunks[0] as Uint8Array;
    let count = 1;
    if (first.length < LARGE_BYTES)
      while (count < this.#chunks.length && (this.#chunks[count]?.length ?? 0) < LARGE_BYTES)
        count++;
    const taken = this.#chunks.splice(0, count);
    const chunk = count === 1 ? first : Buffer.concat(taken);
    this.#bytes -= chunk.length;
    if (this.#isFull && this.#bytes < LOW_BYTES) {
      this.#isFull = false;
      this.#events.onLow();
    }
    return chunk;
  }
}
