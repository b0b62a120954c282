/** One direction of a WebSocket connection: the same bytes, ended between two frames with a close frame of ours. */

import { FrameReader, type FrameSink } from './read-frames.ts';

/** How a direction ended by itself: with a close frame, without one, with bytes that are no frames, or at its limit. */
export type FlowEnd = 'closed' | 'gone' | 'malformed' | 'refused';

export interface FlowOptions {
  readonly source: AsyncIterator<Uint8Array>;
  readonly isMasked: boolean;
  readonly sink: FrameSink;
  /** For every chunk that passes. */
  readonly onPassed: () => void;
  /** Called once, unless it was closed from here; what it closes with leaves as the last frame. */
  readonly onEnd: (how: FlowEnd) => void;
}

const DONE = { done: true, value: undefined } as const;

export class FrameFlow implements AsyncIterable<Uint8Array>, AsyncIterator<Uint8Array> {
  readonly #options: FlowOptions;
  readonly #reader: FrameReader;
  #reading: Promise<IteratorResult<Uint8Array>> | null = null;
  #wake: (() => void) | null = null;
  #lastFrame: Uint8Array | null = null;
  #hasEnded = false;
  #hasClosed = false;
  #isOver = false;

  constructor(options: FlowOptions) {
    this.#options = options;
    this.#reader = new FrameReader(options.isMasked, options.sink);
  }

  [Symbol.asyncIterator](): AsyncIterator<Uint8Array> {
    return this;
  }

  /** Nothing more will pass. */
  get isOver(): boolean {
    return this.#isOver;
  }

  /** Nothing but a close frame will pass. */
  get isClosing(): boolean {
    return this.#hasEnded || this.#lastFrame !== null || this.#isOver;
  }

  /** Sends this as the last frame, once the frame that is under way has passed; behind another close frame nothing. */
  close(frame: Uint8Array): void {
    if (this.#hasClosed) return void this.stop();
    this.#lastFrame ??= frame;
    this.#wake?.();
  }

  /** Ends it where it is. */
  stop(): void {
    this.#isOver = true;
    this.#wake?.();
  }

  async next(): Promise<IteratorResult<Uint8Array>> {
    while (!this.#isOver) {
      if (this.#lastFrame !== null && this.#reader.isBetweenFrames) {
        this.#isOver = true;
        return { done: false, value: this.#lastFrame };
      }
      const next = await this.#nextChunk();
      if (next === null) continue;
      const passed = next.done ? this.#atEnd('gone') : this.#pass(next.value);
      if (passed.length > 0) return { done: false, value: passed };
    }
    return DONE;
  }

  async return(): Promise<IteratorResult<Uint8Array>> {
    this.stop();
    await this.#options.source.return?.();
    return DONE;
  }

  #pass(chunk: Uint8Array): Uint8Array {
    // Behind a close frame nothing has a meaning (§5.5.1).
    if (this.#hasEnded) return NONE;
    const { bytes, stop } = this.#reader.read(chunk);
    if (stop !== null) this.#atEnd(stop);
    else this.#options.onPassed();
    return bytes;
  }

  #atEnd(how: FlowEnd): Uint8Array {
    const isFirst = !this.#hasEnded && this.#lastFrame === null;
    // Within a frame there is no place for one of ours; and behind its close frame a side goes, as it should.
    if (how === 'gone' && !(isFirst && this.#reader.isBetweenFrames)) this.#isOver = true;
    this.#hasEnded = true;
    this.#hasClosed ||= how === 'closed';
    if (isFirst) this.#options.onEnd(how);
    return NONE;
  }

  /** Null when it was woken by something else; what is being read then comes with the next call. */
  async #nextChunk(): Promise<IteratorResult<Uint8Array> | null> {
    this.#reading ??= this.#options.source.next();
    const reading = this.#reading;
    const next = await new Promise<IteratorResult<Uint8Array> | null>((resolve) => {
      this.#wake = () => resolve(null);
      reading.then(resolve, () => resolve(DONE));
    });
    if (next !== null) this.#reading = null;
    return next;
  }
}

const NONE = new Uint8Array(0);
