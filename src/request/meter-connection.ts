/** What a WebSocket connection uses: its messages, their bytes, its time, and what the messages themselves state. */

import type { MessageMeter } from '../core/ports/dialect.ts';
import type { Measured } from '../core/work.ts';
import { type FrameHead, type FrameSink, isControl, OPCODE } from './read-frames.ts';

export interface ConnectionMeterOptions {
  /** Reads what the upstream's messages state; null where they state nothing. */
  readonly messages: MessageMeter | null;
  /** Whether that much still costs no more than is held. */
  readonly fits: (measured: Measured) => boolean;
  /** False for a route with units of its own, which nothing states here. */
  readonly isComplete: boolean;
  /** Monotonic. */
  readonly nowMs: () => number;
}

/** The sink of what the upstream sends: what passes to the client is what counts. */
export class ConnectionMeter implements FrameSink {
  readonly #options: ConnectionMeterOptions;
  #messages = 0;
  #bytes = 0;
  #isText = false;
  #startedAtMs: number | null = null;
  #endedAtMs: number | null = null;

  constructor(options: ConnectionMeterOptions) {
    this.#options = options;
  }

  /** Time counts from here. */
  start(): void {
    this.#startedAtMs ??= this.#options.nowMs();
  }

  end(): void {
    this.#endedAtMs ??= this.#options.nowMs();
  }

  /** A frame passes only if all of it is within the hold, and nothing passes once that is used up. */
  begin(frame: FrameHead): boolean {
    if (isControl(frame)) return true;
    const { opcode, length } = frame;
    const isFirst = opcode !== OPCODE.continuation;
    const messages = this.#messages + (isFirst ? 1 : 0);
    if (!this.#options.fits(this.#measured(messages, this.#bytes + length, 0))) return false;
    this.#messages = messages;
    if (isFirst) this.#isText = opcode === OPCODE.text;
    return true;
  }

  payload(frame: FrameHead, bytes: Uint8Array, isEnd: boolean): void {
    if (isControl(frame)) return;
    this.#bytes += bytes.length;
    if (this.#isText) this.#options.messages?.text(bytes, isEnd && frame.isLast);
  }

  /** Whether the connection may stay open for that much longer. */
  fitsFor(ms: number): boolean {
    return this.#options.fits(this.#measured(this.#messages, this.#bytes, ms));
  }

  measured(): Measured {
    return this.#measured(this.#messages, this.#bytes, 0);
  }

  #measured(messages: number, bytesOut: number, moreMs: number): Measured {
    const stated = this.#options.messages?.measured();
    const computeMs = Math.ceil(this.#elapsedMs() + moreMs);
    const computeSeconds = Math.ceil(computeMs / 1000);
    const counted = { messages, bytesOut, computeMs, computeSeconds };
    const units = { ...counted, connectedSeconds: computeSeconds, ...stated?.units };
    return { units, by: this.#options.isComplete ? (stated?.by ?? 'upstream') : 'none' };
  }

  #elapsedMs(): number {
    if (this.#startedAtMs === null) return 0;
    return Math.max(0, (this.#endedAtMs ?? this.#options.nowMs()) - this.#startedAtMs);
  }
}
