/** The requests that run: bounded in number, and waited for when the gateway stops. */

import { Overloaded } from '../core/errors.ts';
import { Notice } from './notice.ts';

export class Running {
  #max: number;
  #count = 0;
  #stopping = false;
  #waiting: (() => void)[] = [];

  constructor(max: number) {
    this.#max = max;
  }

  /** Aborts when the gateway stops: what has no end of its own ends then. */
  readonly stopping = new Notice();

  /** Another maximum from now on; what runs beyond it goes on. */
  limit(max: number): void {
    this.#max = max;
  }

  /** Counts one more. Throws Overloaded past the maximum, and once the gateway stops. */
  enter(): void {
    this.#check(this.#count);
    this.#count += 1;
  }

  #check(others: number): void {
    if (this.#stopping) throw new Overloaded('The gateway is stopping.', 1);
    if (others >= this.#max) throw new Overloaded('Too many requests are running.', 1);
  }

  /** One that was counted has come to its end, its money included. */
  leave(): void {
    this.#count -= 1;
    if (this.#count === 0) for (const resolve of this.#waiting.splice(0)) resolve();
  }

  /**
   * Gives the place up while a client is waited for: whoever sends slowly keeps nobody out. Afterwards throws
   * Overloaded as `enter` does, counted all the same: every `enter` has its `leave`.
   */
  async aside<T>(wait: () => Promise<T>): Promise<T> {
    this.leave();
    try {
      return await wait();
    } finally {
      this.#count += 1;
      this.#check(this.#count - 1);
    }
  }

  /** Part of the places that are taken, from 0 to 1. */
  load(): number {
    return Math.min(1, this.#count / this.#max);
  }

  /** Lets no more in, and waits until none is left, but no longer than `graceMs`. */
  async stop(graceMs: number): Promise<void> {
    this.#stopping = true;
    this.stopping.abort();
    if (this.#count === 0) return;
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, graceMs);
      this.#waiting.push(() => {
        clearTimeout(timer);
        resolve();
      });
    });
  }
}
