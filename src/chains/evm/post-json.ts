/** Sends JSON to nodes over connections that stay open, and collects the answers. */

import { createRequire } from 'node:module';
import type { Dispatcher, Agent as UndiciAgent } from 'undici';

/** Sends one HTTP POST; rejects when the node cannot be reached or `signal` aborts. */
export type Post = (
  url: string,
  body: string,
  signal: AbortSignal,
) => Promise<{ readonly status: number; readonly text: string }>;

const Agent = loadAgent();

/** The longest honest answer is a page of logs; a node must not fill our memory. */
const ANSWER_BYTES_MAX = 8 * 1024 * 1024;

/** At most `connections` to each node at a time. */
export function openPost(connections: number): { readonly post: Post; close(): Promise<void> } {
  const agent = new Agent({ connections });
  const targets = new Map<string, { readonly origin: string; readonly path: string }>();
  const targetOf = (url: string): { readonly origin: string; readonly path: string } => {
    const known = targets.get(url);
    if (known !== undefined) return known;
    const { origin, pathname, search } = new URL(url);
    const target = { origin, path: pathname + search };
    targets.set(url, target);
    return target;
  };
  return {
    post: (url, body, signal) =>
      new Promise((resolve, reject) => {
        const headers = ['content-type', 'application/json'];
        const collector = new TextCollector(signal, resolve, reject);
        agent.dispatch({ ...targetOf(url), method: 'POST', headers, body }, collector);
      }),
    close: () => agent.destroy(),
  };
}

class TextCollector implements Dispatcher.DispatchHandler {
  readonly #signal: AbortSignal;
  readonly #resolve: (answer: { readonly status: number; readonly text: string }) => void;
  readonly #reject: (error: Error) => void;
  readonly #chunks: Uint8Array[] = [];
  #controller: Dispatcher.DispatchController | null = null;
  #bytes = 0;
  #status = 0;

  constructor(
    signal: AbortSignal,
    resolve: (answer: { readonly status: number; readonly text: string }) => void,
    reject: (error: Error) => void,
  ) {
    this.#signal = signal;
    this.#resolve = resolve;
    this.#reject = reject;
    signal.addEventListener('abort', this.#onAbort);
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#controller = controller;
    if (this.#signal.aborted) this.#onAbort();
  }

  onResponseStart(_controller: Dispatcher.DispatchController, status: number): void {
    this.#status = status;
  }

  onResponseData(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    this.#bytes += chunk.length;
    if (this.#bytes > ANSWER_BYTES_MAX)
      controller.abort(new Error(`an answer of more than ${ANSWER_BYTES_MAX} bytes`));
    else this.#chunks.push(chunk);
  }

  onResponseEnd(): void {
    this.#signal.removeEventListener('abort', this.#onAbort);
    this.#resolve({ status: this.#status, text: new TextDecoder().decode(this.#whole()) });
  }

  onResponseError(_controller: Dispatcher.DispatchController, error: Error): void {
    this.#signal.removeEventListener('abort', this.#onAbort);
    this.#reject(error);
  }

  #whole(): Uint8Array {
    const [first] = this.#chunks;
    return first !== undefined && this.#chunks.length === 1 ? first : Buffer.concat(this.#chunks);
  }

  readonly #onAbort = (): void => {
    const reason: Error = this.#signal.reason;
    if (this.#controller) this.#controller.abort(reason);
    // Still waiting for a connection: it is aborted as soon as it gets one.
    this.#reject(reason);
  };
}

/** The package's main file also loads a second fetch, web sockets and caches: 10 MB of memory for nothing. */
function loadAgent(): typeof UndiciAgent {
  const require = createRequire(import.meta.url);
  try {
    return require('undici/lib/dispatcher/agent.js');
  } catch {
    return require('undici').Agent;
  }
}
