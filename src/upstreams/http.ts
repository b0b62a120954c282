/** Any HTTP API as an upstream: one undici pool, small answers whole, long ones streamed with back-pressure. */

import { createRequire } from 'node:module';
import type { Readable } from 'node:stream';
import type { Dispatcher, Pool as UndiciPool } from 'undici';
import { ClientGone, UpstreamFailed, UpstreamTimeout } from '../core/errors.ts';
import type { Upstream, UpstreamAnswer, UpstreamRequest } from '../core/ports/upstream.ts';
import { AnswerCollector } from './answer-collector.ts';

const Pool = loadPool();

export interface HttpUpstreamOptions {
  /** Base URL; its path is put before the matched path. */
  readonly url: string;
  /** Credentials and other headers that are set on every request, replacing the client's. */
  readonly headers: Readonly<Record<string, string>>;
  readonly connections: number;
  readonly connectMs: number;
  readonly headMs: number;
  readonly idleMs: number;
}

export function httpUpstream(options: HttpUpstreamOptions): Upstream {
  const base = new URL(options.url);
  const prefix = base.pathname.replace(/\/$/, '');
  const injected = Object.entries(options.headers).map(
    ([name, value]) => [name.toLowerCase(), value] as const,
  );
  const injectedNames = new Set(injected.map(([name]) => name));
  const pool = new Pool(base.origin, {
    connections: options.connections,
    connect: { timeout: options.connectMs },
    headersTimeout: options.headMs,
    bodyTimeout: options.idleMs,
  });

  const dispatch = (
    request: UpstreamRequest,
    more: Pick<Dispatcher.DispatchOptions, 'body' | 'upgrade'>,
  ): Promise<UpstreamAnswer> =>
    new Promise((resolve, reject) => {
      if (request.signal.aborted) return reject(new ClientGone('The client went away.'));
      const collector = new AnswerCollector(
        request,
        resolve,
        (error) => reject(toFailure(error)),
        toFailure,
      );
      pool.dispatch(
        {
          path: prefix + request.path,
          method: request.method as Dispatcher.HttpMethod,
          headers: withInjected(request.headers, injectedNames, injected),
          ...more,
        },
        collector,
      );
    });

  return {
    // undici takes any async iterable; its types name only Readable.
    send: (request) => dispatch(request, { body: request.body as Readable | Uint8Array | null }),
    connect: (request) => dispatch(request, { body: null, upgrade: 'websocket' }),
    idleMs: options.idleMs,
    close: () => pool.destroy(),
  };
}

function withInjected(
  headers: UpstreamRequest['headers'],
  names: ReadonlySet<string>,
  injected: readonly (readonly [string, string])[],
): string[] {
  if (injected.length === 0) return headers as string[];
  const merged: string[] = [];
  for (let i = 0; i + 1 < headers.length; i += 2) {
    const name = headers[i] as string;
    if (!names.has(name.toLowerCase())) merged.push(name, headers[i + 1] as string);
  }
  for (const [name, value] of injected) merged.push(name, value);
  return merged;
}

/** The codes of undici's time-outs. */
const TIMEOUTS: ReadonlySet<unknown> = new Set([
  'UND_ERR_HEADERS_TIMEOUT',
  'UND_ERR_BODY_TIMEOUT',
  'UND_ERR_CONNECT_TIMEOUT',
]);

/** The package's main file also loads a second fetch, web sockets and caches: 10 MB of memory for nothing. */
function loadPool(): typeof UndiciPool {
  const require = createRequire(import.meta.url);
  try {
    return require('undici/lib/dispatcher/pool.js');
  } catch {
    return require('undici').Pool;
  }
}

/** One of our own errors says what happened; undici's are sorted into time-out and failure. */
function toFailure(error: Error): Error {
  if (
    error instanceof UpstreamFailed ||
    error instanceof UpstreamTimeout ||
    error instanceof ClientGone
  )
    return error;
  if ('code' in error && TIMEOUTS.has(error.code))
    return new UpstreamTimeout('The upstream did not answer in time.', { cause: error });
  // An error of the request body (too large, broken off) is the client's and passes through.
  if ('status' in error) return error;
  return new UpstreamFailed('The upstream could not be reached or broke off.', { cause: error });
}
