/**
 * The request line under one config after another. A reload swaps it whole; a request keeps the line it came in by,
 * and the upstreams of a line that was replaced are closed when its last request has ended.
 */

import type { Upstream } from '../core/ports/upstream.ts';
import { type AnswerExchange, createAnswerExchange } from './answer-exchange.ts';
import type { RequestParts } from './parts.ts';

export class Generations {
  #current: Generation;
  readonly #retired = new Set<Generation>();
  readonly #closing = new Set<Promise<unknown>>();

  constructor(parts: RequestParts) {
    this.#current = new Generation(parts);
  }

  /** Answers by the line of this moment; never throws. */
  readonly answer: AnswerExchange = (exchange) => this.#current.answer(exchange);

  get parts(): RequestParts {
    return this.#current.parts;
  }

  /** From now on requests come in by another line. */
  swap(parts: RequestParts): void {
    const old = this.#current;
    this.#current = new Generation(parts);
    this.#retired.add(old);
    old.retire(() => {
      this.#retired.delete(old);
      const closed = closeAll(old.parts.upstreams);
      this.#closing.add(closed);
      void closed.finally(() => this.#closing.delete(closed));
    });
  }

  /** Closes every upstream that is still open; what runs on it fails. */
  async close(): Promise<void> {
    for (const { parts } of [this.#current, ...this.#retired]) await closeAll(parts.upstreams);
    await Promise.all(this.#closing);
  }
}

class Generation {
  readonly parts: RequestParts;
  readonly answer: AnswerExchange;
  #count = 0;
  #onEnd: (() => void) | null = null;

  constructor(parts: RequestParts) {
    this.parts = parts;
    const { running } = parts;
    this.answer = createAnswerExchange(parts, {
      enter: () => {
        running.enter();
        this.#count += 1;
      },
      leave: () => {
        running.leave();
        this.#count -= 1;
        if (this.#count === 0) this.#onEnd?.();
      },
    });
  }

  /** `onEnd` is called once, when nothing runs in it any more. */
  retire(onEnd: () => void): void {
    this.#onEnd = onEnd;
    if (this.#count === 0) onEnd();
  }
}

/** One that can't be closed does not keep the others open. */
async function closeAll(upstreams: ReadonlyMap<string, Upstream>): Promise<void> {
  await Promise.allSettled([...upstreams.values()].map((upstream) => upstream.close()));
}
