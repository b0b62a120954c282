/**
 * A stream that nothing bounds but its hold: once what has passed would cost more than that, it ends. The quote's
 * maximum is all that the payer allowed and all of it is held, so there is nothing that a hold could be extended by.
 */

import { CoinslotError } from '../core/errors.ts';
import type { Body } from '../core/exchange.ts';
import { EventTail } from './event-tail.ts';

/** What has passed of an answer costs all that is held for it. */
export class HoldReached extends CoinslotError {
  readonly code = 'hold_reached';
  readonly status = 402;
  readonly hint = 'Ask for less in one request; what was delivered is paid for.';
}

export interface HoldMeter {
  /** USD atoms that what has passed comes to, without a cap. */
  readonly cost: () => bigint;
  /** USD atoms. */
  readonly hold: bigint;
  /** Monotonic milliseconds. */
  readonly nowMs: () => number;
}

/** Bytes from one look at the meter to the next, at most. */
const STEP_BYTES = 16_384;
/** Time from one look to the next, at most, if anything passes at all. */
const STEP_MS = 100;
/** An event that is longer than this is cut where it is. */
const EVENT_BYTES_MAX = 262_144;

const MESSAGE =
  'The answer is longer than its quote allows and ends here; what was delivered is paid for.';

/** As the official clients of OpenAI and Anthropic show it: both read `error` of an event of this name. */
const EVENT = Buffer.from(
  `event: error\ndata: ${JSON.stringify({
    type: 'error',
    error: { type: 'payment_error', code: 'hold_reached', message: MESSAGE, param: null },
  })}\n\n`,
);

/** The same bytes; events end with one that says why, anything else breaks off with HoldReached. */
export function endAtHold(body: Body, meter: HoldMeter, isEvents: boolean): Body {
  const bounded = new BoundedBody(body[Symbol.asyncIterator](), meter, isEvents);
  return { [Symbol.asyncIterator]: () => bounded };
}

class BoundedBody implements AsyncIterator<Uint8Array> {
  readonly #chunks: AsyncIterator<Uint8Array>;
  readonly #meter: HoldMeter;
  readonly #tail: EventTail | null;
  #bytesLeft = 0;
  #lookAtMs = 0;
  /** Since the hold was reached within an event. */
  #bytesOver: number | null = null;
  #isOver = false;
  #endsWhole = false;

  constructor(chunks: AsyncIterator<Uint8Array>, meter: HoldMeter, isEvents: boolean) {
    this.#chunks = chunks;
    this.#meter = meter;
    this.#tail = isEvents ? new EventTail() : null;
  }

  async next(): Promise<IteratorResult<Uint8Array>> {
    if (this.#isOver) return await this.#afterLast();
    const next = await this.#chunks.next();
    if (next.done || (this.#bytesOver === null && !this.#passes(next.value))) {
      if (!next.done) this.#tail?.pass(next.value);
      return next;
    }
    const last = this.#tail === null ? null : this.#atEventEnd(next.value, this.#tail);
    // What has passed the meter is paid for, so it leaves as well.
    this.#isOver = last !== next.value;
    return { done: false, value: last ?? next.value };
  }

  async #afterLast(): Promise<IteratorResult<Uint8Array>> {
    await this.#chunks.return?.();
    if (!this.#endsWhole) throw new HoldReached(MESSAGE);
    return { done: true, value: undefined };
  }

  async return(): Promise<IteratorResult<Uint8Array>> {
    await this.#chunks.return?.();
    return { done: true, value: undefined };
  }

  /** Looks at the meter now and then: what passes in between costs the payer nothing. */
  #passes(chunk: Uint8Array): boolean {
    const { cost, hold, nowMs } = this.#meter;
    this.#bytesLeft -= chunk.length;
    const now = nowMs();
    if (this.#bytesLeft > 0 && now < this.#lookAtMs) return false;
    this.#bytesLeft = STEP_BYTES;
    this.#lookAtMs = now + STEP_MS;
    return cost() > hold;
  }

  /** The rest of the event that is under way, and the one that says why it was the last; null when it is too long. */
  #atEventEnd(chunk: Uint8Array, tail: EventTail): Uint8Array | null {
    const end = tail.lastEndIn(chunk);
    tail.pass(chunk);
    this.#bytesOver = (this.#bytesOver ?? 0) + chunk.length;
    if (end === -1) return this.#bytesOver <= EVENT_BYTES_MAX ? chunk : null;
    this.#endsWhole = true;
    return Buffer.concat([chunk.subarray(0, end), EVENT]);
  }
}
