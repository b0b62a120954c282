/** A connection that was handed over byte for byte: read with back-pressure as a body, written to with back-pressure. */

/** What is used of a node socket. */
export interface ByteSocket {
  readonly destroyed: boolean;
  readonly readableEnded: boolean;
  /** What has arrived; null when there is nothing now. */
  read(): Uint8Array | null;
  /** False when the next write should wait for `drain`. */
  write(chunk: Uint8Array): boolean;
  on(event: string, listener: () => void): unknown;
  off(event: string, listener: () => void): unknown;
}

const DONE = { done: true, value: undefined } as const;

/**
 * What a socket receives, chunk by chunk; one that breaks off just ends, since what passed before counts all the
 * same. No node iterator: that one cannot be given up while it waits.
 */
export class SocketBody implements AsyncIterable<Uint8Array>, AsyncIterator<Uint8Array> {
  readonly #socket: ByteSocket;
  readonly #onReturn: () => void;
  #isGivenUp = false;
  #wake: (() => void) | null = null;

  /** `onReturn`: the reader wants no more. */
  constructor(socket: ByteSocket, onReturn: () => void = () => {}) {
    this.#socket = socket;
    this.#onReturn = onReturn;
    for (const event of ['readable', 'end', 'close', 'error']) socket.on(event, this.#onChange);
  }

  [Symbol.asyncIterator](): AsyncIterator<Uint8Array> {
    return this;
  }

  async next(): Promise<IteratorResult<Uint8Array>> {
    while (!this.#isGivenUp) {
      const value = this.#socket.read();
      if (value !== null) return { done: false, value };
      if (this.#socket.readableEnded || this.#socket.destroyed) return DONE;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    return DONE;
  }

  async return(): Promise<IteratorResult<Uint8Array>> {
    if (this.#isGivenUp) return DONE;
    this.#isGivenUp = true;
    // What still comes is thrown away, so that the end behind it is seen.
    this.#socket.off('readable', this.#onChange);
    this.#onChange();
    this.#onReturn();
    return DONE;
  }

  readonly #onChange = (): void => this.#wake?.();
}

/** Resolves when more may be written, or never will be. */
export async function writeTo(socket: ByteSocket, chunk: Uint8Array): Promise<void> {
  if (socket.destroyed || socket.write(chunk)) return;
  await new Promise<void>((resolve) => {
    const done = (): void => {
      socket.off('drain', done);
      socket.off('close', done);
      resolve();
    };
    socket.on('drain', done);
    socket.on('close', done);
    if (socket.destroyed) done();
  });
}
