/** Streams whose end matters: money and places in the queue hang on how, and that, they end. */

import { CoinslotError } from '../core/errors.ts';
import type { Body } from '../core/exchange.ts';
import { HoldReached } from './end-at-hold.ts';
import type { EventTail } from './event-tail.ts';

/** How a stream ended: read to the end, broken by the upstream, left by its reader, or cut by us at its hold. */
export type StreamEnd = 'complete' | 'broken' | 'left' | 'cut';

/** Bytes that it gives leave as the last chunk of a complete stream. */
type End = (how: StreamEnd, rest: AsyncIterator<Uint8Array>) => Promise<unknown>;

const DONE = { done: true, value: undefined } as const;

/**
 * The same bytes; `end` is called exactly once, before the reader sees the end. No generator: one that is
 * given up before its first chunk never runs its `finally`, and a client who left early would keep its hold open.
 * `tail` sees the chunks as they leave.
 */
export function watchBody(body: Body, end: End, tail: EventTail | null = null): Body {
  const watched = new WatchedBody(body[Symbol.asyncIterator](), end, tail);
  return { [Symbol.asyncIterator]: () => watched };
}

class WatchedBody implements AsyncIterator<Uint8Array> {
  readonly #chunks: AsyncIterator<Uint8Array>;
  readonly #end: End;
  readonly #tail: EventTail | null;
  #ended: Promise<unknown> | undefined;

  constructor(chunks: AsyncIterator<Uint8Array>, end: End, tail: EventTail | null) {
    this.#chunks = chunks;
    this.#end = end;
    this.#tail = tail;
  }

  async next(): Promise<IteratorResult<Uint8Array>> {
    try {
      const next = await this.#chunks.next();
      if (!next.done) {
        this.#tail?.pass(next.value);
        return next;
      }
    } catch (error) {
      await this.#endOnce(endOf(error));
      throw error;
    }
    if (this.#ended !== undefined) {
      await this.#ended;
      return DONE;
    }
    const last = await this.#endOnce('complete');
    return last instanceof Uint8Array ? { done: false, value: last } : DONE;
  }

  async return(): Promise<IteratorResult<Uint8Array>> {
    await this.#endOnce('left');
    return DONE;
  }

  #endOnce(how: StreamEnd): Promise<unknown> {
    this.#ended ??= this.#end(how, this.#chunks);
    return this.#ended;
  }
}

/**
 * How a stream ended that threw this. The client's own doing, such as going away or sending too large a body, is no
 * failure of the upstream.
 */
export function endOf(error: unknown): StreamEnd {
  if (error instanceof HoldReached) return 'cut';
  return error instanceof CoinslotError && error.status < 500 ? 'left' : 'broken';
}
