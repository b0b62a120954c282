/** Streams whose end matters: money and places in the queue hang on how, and that, they end. */

import { CoinslotError } from '../core/errors.ts';
import type { Body } from '../core/exchange.ts';

/** How a stream ended: read to the end, broken by the upstream, or left by its reader. */
export type StreamEnd = 'complete' | 'broken' | 'left';

type End = (how: StreamEnd, rest: AsyncIterator<Uint8Array>) => Promise<void>;

/**
 * The same bytes; `end` is called exactly once, before the reader sees the end. No generator: one that is
 * given up before its first chunk never runs its `finally`, and a client who left early would keep its hold open.
 */
export function watchBody(body: Body, end: End): Body {
  const chunks = body[Symbol.asyncIterator]();
  let ended: Promise<void> | undefined;
  const endOnce = (how: StreamEnd): Promise<void> => {
    ended ??= end(how, chunks);
    return ended;
  };
  const watched: AsyncIterator<Uint8Array> = {
    async next() {
      try {
        const next = await chunks.next();
        if (next.done) await endOnce('complete');
        return next;
      } catch (error) {
        await endOnce(isClients(error) ? 'left' : 'broken');
        throw error;
      }
    },
    async return() {
      await endOnce('left');
      return { done: true, value: undefined };
    },
  };
  return { [Symbol.asyncIterator]: () => watched };
}

/** The client's own doing, such as going away or sending too large a body, is no failure of the upstream. */
function isClients(error: unknown): boolean {
  return error instanceof CoinslotError && error.status < 500;
}
