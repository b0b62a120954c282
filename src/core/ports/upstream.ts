/** The API behind the gateway: takes the matched request, gives one answer. */

import type { Body, Departure, HeaderList } from '../exchange.ts';

export interface UpstreamRequest {
  readonly method: string;
  /** Normalised path and raw query: exactly what was matched. */
  readonly path: string;
  /** Already without hop-by-hop and payment headers. */
  readonly headers: HeaderList;
  readonly body: Uint8Array | Body | null;
  /** The model that it names, where it was read; an upstream of many providers chooses by it. */
  readonly model?: string | null;
  /** Aborts when the client goes away or the route's time is over. */
  readonly signal: Departure;
  /** Answers of at most this many bytes arrive whole; longer ones and event streams arrive as a stream. */
  readonly bufferBytes: number;
  readonly timeoutMs: number;
}

export interface UpstreamAnswer {
  readonly status: number;
  /** Already without hop-by-hop and payment headers. */
  readonly headers: HeaderList;
  /**
   * Whole, or a stream that throws UpstreamFailed or UpstreamTimeout when it breaks. A stream is
   * handed over with its first bytes waiting; an answer of no bytes is always whole.
   */
  readonly body: Uint8Array | Body;
  /** Who ran it, where there was a choice: the price is that of what ran. */
  readonly ran?: { readonly provider: string; readonly model: string };
}

/** Throws UpstreamFailed, UpstreamTimeout or ClientGone. */
export interface Upstream {
  send(request: UpstreamRequest): Promise<UpstreamAnswer>;
  /**
   * Passes a WebSocket handshake on. Where the upstream switches, the answer is 101 and its body what comes from
   * then on, without an error at its end; what the request's body gives goes there once the answer is read.
   * Left out: there is none.
   */
  connect?(request: UpstreamRequest): Promise<UpstreamAnswer>;
  /** When nothing has passed on a connection for this long, it is over. */
  readonly idleMs?: number;
  close(): Promise<void>;
}
