/**
 * Receives one answer from undici. Up to `bufferBytes` it is collected and handed over whole; a longer
 * one, or an event stream, is handed over as a stream once its first bytes are here. The time limit of
 * the route covers the whole answer, and the client's abort ends it.
 */

import type { Duplex } from 'node:stream';
import type { Dispatcher } from 'undici';
import { ClientGone, UpstreamFailed, UpstreamTimeout } from '../core/errors.ts';
import type { Body } from '../core/exchange.ts';
import { forwardableHeaders } from '../core/forwarding.ts';
import type { UpstreamAnswer, UpstreamRequest } from '../core/ports/upstream.ts';
import { ChunkQueue } from './chunk-queue.ts';
import { switchedBody } from './switched-body.ts';

export class AnswerCollector implements Dispatcher.DispatchHandler {
  readonly #request: UpstreamRequest;
  readonly #resolve: (answer: UpstreamAnswer) => void;
  readonly #reject: (error: Error) => void;
  readonly #toFailure: (error: Error) => Error;
  readonly #timer: NodeJS.Timeout;
  #controller: Dispatcher.DispatchController | null = null;
  #status = 0;
  #headers: string[] = [];
  #streams = false;
  #chunks: Uint8Array[] = [];
  #bytes = 0;
  #stream: ChunkQueue | null = null;
  #ended: Error | null = null;
  /** How long the reader kept the upstream waiting, and since when it does. */
  #waitedMs = 0;
  #waitsSinceMs: number | null = null;

  constructor(
    request: UpstreamRequest,
    resolve: (answer: UpstreamAnswer) => void,
    reject: (error: Error) => void,
    toFailure: (error: Error) => Error,
  ) {
    this.#request = request;
    this.#resolve = resolve;
    this.#reject = reject;
    this.#toFailure = toFailure;
    this.#timer = setTimeout(this.#onTimeout, request.timeoutMs);
    request.signal.addEventListener('abort', this.#onClientGone);
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#controller = controller;
    if (this.#ended) controller.abort(this.#ended);
  }

  onResponseStart(
    controller: Dispatcher.DispatchController,
    status: number,
    headers: Record<string, string | string[] | undefined>,
  ): void {
    if (status < 200) return;
    // RFC 9110 §15: nothing beyond 599 is a status, and not every server side can write one.
    if (status > 599) {
      controller.abort(new UpstreamFailed(`The upstream sent ${status}.`));
      return;
    }
    this.#status = status;
    this.#headers = forwardableHeaders(flatten(headers));
    this.#streams = String(headers['content-type'] ?? '').startsWith('text/event-stream');
  }

  /** Only where a WebSocket was asked for: undici breaks off any other switch. */
  onRequestUpgrade(
    _controller: Dispatcher.DispatchController,
    status: number,
    headers: Record<string, string | string[] | undefined>,
    socket: Duplex,
  ): void {
    this.#finish();
    const body = switchedBody(socket, this.#request.body);
    this.#resolve({ status, headers: forwardableHeaders(flatten(headers)), body });
  }

  onResponseData(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    if (chunk.length === 0) return;
    if (this.#stream) {
      if (!this.#stream.push(chunk)) this.#pause(controller);
      return;
    }
    this.#chunks.push(chunk);
    this.#bytes += chunk.length;
    if (this.#streams || this.#bytes > this.#request.bufferBytes) this.#startStream(controller);
  }

  onResponseEnd(): void {
    this.#finish();
    if (this.#stream) this.#stream.end();
    else this.#resolve({ status: this.#status, headers: this.#headers, body: this.#whole() });
  }

  onResponseError(_controller: Dispatcher.DispatchController, error: Error): void {
    this.#finish();
    const reason = this.#ended ?? error;
    if (this.#stream) this.#stream.end(this.#toFailure(reason));
    else this.#reject(reason);
  }

  #startStream(controller: Dispatcher.DispatchController): void {
    const stream = new ChunkQueue({
      onLow: () => this.#resume(controller),
      // The reader stopped early: the upstream need not go on.
      onLeft: () => {
        if (!this.#finished) this.#abort(new ClientGone('The client went away.'));
      },
    });
    this.#stream = stream;
    for (const chunk of this.#chunks) if (!stream.push(chunk)) this.#pause(controller);
    this.#chunks = [];
    this.#resolve({ status: this.#status, headers: this.#headers, body: this.#bodyOf(stream) });
  }

  #bodyOf(stream: ChunkQueue): Body {
    let begun = false;
    const reader: AsyncIterator<Uint8Array> = {
      next: () => {
        // Until now it waited for us, not for its reader.
        if (!begun && this.#waitsSinceMs !== null) this.#waitsSinceMs = performance.now();
        begun = true;
        return stream.next();
      },
      return: () => stream.return(),
    };
    return { [Symbol.asyncIterator]: () => reader };
  }

  #pause(controller: Dispatcher.DispatchController): void {
    this.#waitsSinceMs ??= performance.now();
    controller.pause();
  }

  #resume(controller: Dispatcher.DispatchController): void {
    this.#waitedMs += this.#waitingMs();
    this.#waitsSinceMs = null;
    controller.resume();
  }

  #waitingMs(): number {
    return this.#waitsSinceMs === null ? 0 : performance.now() - this.#waitsSinceMs;
  }

  #whole(): Uint8Array {
    return this.#chunks.length === 1
      ? (this.#chunks[0] as Uint8Array)
      : Buffer.concat(this.#chunks);
  }

  #finished = false;

  #finish(): void {
    this.#finished = true;
    clearTimeout(this.#timer);
    this.#request.signal.removeEventListener('abort', this.#onClientGone);
  }

  readonly #onClientGone = (): void => this.#abort(new ClientGone('The client went away.'));

  /** Whoever kept the other waiting for longer is to blame: reading slowly until the time is up must not be free. */
  readonly #onTimeout = (): void => {
    const waitedMs = this.#waitedMs + this.#waitingMs();
    this.#abort(
      waitedMs > this.#request.timeoutMs / 2
        ? new ClientGone('The client did not read the answer in time.')
        : new UpstreamTimeout('The upstream did not finish in time.'),
    );
  };

  #abort(reason: Error): void {
    this.#ended ??= reason;
    if (this.#controller) this.#controller.abort(reason);
    else {
      // Still waiting for a connection: it is aborted as soon as it gets one.
      this.#finish();
      this.#reject(reason);
    }
  }
}

function flatten(headers: Record<string, string | string[] | undefined>): string[] {
  const list: string[] = [];
  for (const name of Object.keys(headers)) {
    const value = headers[name];
    if (typeof value === 'string') list.push(name, value);
    else if (value) for (const one of value) list.push(name, one);
  }
  return list;
}
