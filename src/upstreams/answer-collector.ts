/**
 * Receives one answer from undici. Up to `bufferBytes` it is collected and handed over whole; a longer
 * one, or an event stream, is handed over as a stream once its first bytes are here. The time limit of
 * the route covers the whole answer, and the client's abort ends it.
 */

import { Readable } from 'node:stream';
import type { Dispatcher } from 'undici';
import { ClientGone, UpstreamTimeout } from '../core/errors.ts';
import { forwardableHeaders } from '../core/forwarding.ts';
import type { UpstreamAnswer, UpstreamRequest } from '../core/ports/upstream.ts';

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
  #stream: Readable | null = null;
  #ended: Error | null = null;

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
    this.#timer = setTimeout(
      () => this.#abort(new UpstreamTimeout('The upstream did not finish in time.')),
      request.timeoutMs,
    );
    request.signal.addEventListener('abort', this.#onClientGone, { once: true });
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#controller = controller;
    if (this.#ended) controller.abort(this.#ended);
  }

  onResponseStart(
    _controller: Dispatcher.DispatchController,
    status: number,
    headers: Record<string, string | string[] | undefined>,
  ): void {
    if (status < 200) return;
    this.#status = status;
    this.#headers = forwardableHeaders(flatten(headers));
    this.#streams = String(headers['content-type'] ?? '').startsWith('text/event-stream');
  }

  onResponseData(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    if (chunk.length === 0) return;
    if (this.#stream) {
      if (!this.#stream.push(chunk)) controller.pause();
      return;
    }
    this.#chunks.push(chunk);
    this.#bytes += chunk.length;
    if (this.#streams || this.#bytes > this.#request.bufferBytes) this.#startStream(controller);
  }

  onResponseEnd(): void {
    this.#finish();
    if (this.#stream) this.#stream.push(null);
    else this.#resolve({ status: this.#status, headers: this.#headers, body: this.#whole() });
  }

  onResponseError(_controller: Dispatcher.DispatchController, error: Error): void {
    this.#finish();
    const reason = this.#ended ?? error;
    if (this.#stream) this.#stream.destroy(this.#toFailure(reason));
    else this.#reject(reason);
  }

  #startStream(controller: Dispatcher.DispatchController): void {
    const stream = new Readable({
      read: () => controller.resume(),
      destroy: (error, done) => {
        // The reader stopped early: the upstream need not go on.
        if (!this.#finished) this.#abort(error ?? new ClientGone('The client went away.'));
        done(error);
      },
    });
    // It may break before its reader comes; the reader is told then, and nobody else needs to know.
    stream.on('error', () => {});
    this.#stream = stream;
    for (const chunk of this.#chunks) if (!stream.push(chunk)) controller.pause();
    this.#chunks = [];
    this.#resolve({ status: this.#status, headers: this.#headers, body: stream });
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

  #abort(reason: Error): void {
    this.#ended ??= reason;
    this.#controller?.abort(reason);
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
