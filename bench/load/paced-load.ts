/** Load at a fixed pace, whatever the server does: a slow answer does not slow the next request down. */

import { type Dispatcher, Pool } from 'undici';

export interface PacedRequest {
  readonly path: string;
  readonly body: string;
  readonly headers: Readonly<Record<string, string>>;
}

export interface PacedOptions {
  readonly url: string;
  readonly connections: number;
  readonly perSecond: number;
  readonly seconds: number;
  readonly expectedStatus: number;
  /** The next request. */
  readonly next: () => PacedRequest;
}

export interface PacedResult {
  readonly requests: number;
  /** From the moment a request is due, waiting for a connection included. */
  readonly p50Ms: number;
  readonly p99Ms: number;
  /** What came instead of the expected answer. */
  readonly unexpected: readonly string[];
}

const TICK_MS = 1;

/** POSTs `perSecond` requests in each second; resolves when all are answered. */
export async function runPacedLoad(options: PacedOptions): Promise<PacedResult> {
  const pool = new Pool(options.url, { connections: options.connections, pipelining: 1 });
  const total = Math.round(options.perSecond * options.seconds);
  const latenciesMs: number[] = [];
  const unexpected: string[] = [];
  let open = 0;
  await new Promise<void>((resolve) => {
    const startMs = performance.now();
    let sent = 0;
    const ended = (dueMs: number, problem: string | null): void => {
      open -= 1;
      if (problem === null) latenciesMs.push(performance.now() - dueMs);
      else unexpected.push(problem);
      if (open === 0 && sent === total) resolve();
    };
    const timer = setInterval(() => {
      const nowMs = performance.now();
      const due = Math.min(total, Math.floor(((nowMs - startMs) / 1000) * options.perSecond));
      for (; sent < due; sent++) {
        open += 1;
        send(pool, options, (problem) => ended(nowMs, problem));
      }
      if (sent === total) clearInterval(timer);
    }, TICK_MS);
  });
  await pool.close();
  latenciesMs.sort((a, b) => a - b);
  const at = (share: number): number =>
    latenciesMs[Math.min(latenciesMs.length - 1, Math.floor(latenciesMs.length * share))] ??
    Number.NaN;
  return { requests: total, p50Ms: at(0.5), p99Ms: at(0.99), unexpected };
}

function send(
  pool: Pool,
  { next, expectedStatus }: PacedOptions,
  ended: (problem: string | null) => void,
): void {
  const { path, body, headers } = next();
  const handler = new StatusOnly(expectedStatus, ended);
  const typed = { ...headers, 'content-type': 'application/json' };
  pool.dispatch({ method: 'POST', path, body, headers: typed }, handler);
}

/** Reads the answer's status; keeps a body only to tell what was wrong. */
class StatusOnly implements Dispatcher.DispatchHandler {
  readonly #expected: number;
  readonly #ended: (problem: string | null) => void;
  #status = 0;
  #body = '';

  constructor(expected: number, ended: (problem: string | null) => void) {
    this.#expected = expected;
    this.#ended = ended;
  }

  onRequestStart(): void {}

  onResponseStart(_controller: Dispatcher.DispatchController, status: number): void {
    this.#status = status;
  }

  onResponseData(_controller: Dispatcher.DispatchController, chunk: Buffer): void {
    if (this.#status !== this.#expected) this.#body += chunk.toString();
  }

  onResponseEnd(): void {
    const isGood = this.#status === this.#expected;
    this.#ended(isGood ? null : `${this.#status} ${this.#body.slice(0, 300)}`);
  }

  onResponseError(_controller: Dispatcher.DispatchController, error: Error): void {
    this.#ended(error.message);
  }
}
