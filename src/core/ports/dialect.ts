/** A dialect: a kind of API whose requests and answers the gateway can read, such as OpenAI's. Pure: it sends nothing. */

import type { HeaderList } from '../exchange.ts';
import type { Measured, Work } from '../work.ts';

export interface DialectRequest {
  readonly method: string;
  /** Normalised, without query. */
  readonly path: string;
  readonly query: string;
  readonly headers: HeaderList;
  /** Whole; empty for a probe that only asks for the price. */
  readonly body: Uint8Array;
  /** Output tokens that are asked for where the request names no limit, and the most that it may name. */
  readonly outputTokensMax: number;
}

export interface Reading {
  readonly work: Work;
  /** True for an empty body where one is needed: it may be quoted, never run. */
  readonly isProbe: boolean;
  /** What goes upstream, bounded and asking for usage; the very same bytes where nothing is to change. */
  readonly body: Uint8Array;
  /** A meter for one answer to this request. */
  meter(head: {
    readonly status: number;
    readonly headers: HeaderList;
    /** Monotonic: when the request was sent to the upstream; without it no compute time is measured. */
    readonly sentAtMs?: number;
  }): Meter;
  /** A meter for the messages of one WebSocket connection; left out where they state nothing. */
  readonly messages?: () => MessageMeter;
}

/** Reads the text messages of the upstream while they pass by; keeps a bounded part and never throws. */
export interface MessageMeter {
  /** A part of a message; `isEnd` with the last one, which may be empty. */
  text(bytes: Uint8Array, isEnd: boolean): void;
  /** What the messages stated so far. */
  measured(): Measured;
}

/** Reads one answer while it passes by; keeps a bounded tail and never throws. */
export interface Meter {
  /** Takes what came, gives what leaves: usually the very same bytes; null when nothing leaves now. */
  pass(chunk: Uint8Array): Uint8Array | null;
  /** What it still kept back when the answer ended. */
  end(): Uint8Array | null;
  measured(): Measured;
}

export interface Dialect {
  /** Throws RequestMalformed for a body that the upstream would refuse, naming the field. */
  read(request: DialectRequest): Reading;
}
