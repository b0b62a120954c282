/** Any HTTP API as an upstream: one undici pool, small answers whole, long ones streamed with back-pressure. */

import type { Readable } from 'node:stream';
import { type Dispatcher, errors, Pool } from 'undici';
import { ClientGone, UpstreamFailed, UpstreamTimeout } from '../core/errors.ts';
import type { Upstream, UpstreamAnswer, UpstreamRequest } from '../core/ports/upstream.ts';
import { AnswerCollector } from './answer-collector.ts';

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

  return {
    async send(request) {
      return await new Promise<UpstreamAnswer>((resolve, reject) => {
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
            // undici takes any async iterable; its types name only Readable.
            body: request.body as Readable | Uint8Array | null,
          },
          collector,
        );
      });
    },
    close: () => pool.destroy(),
  };
}

function withInjected(
  headers: UpstreamRequest['headers'],
  names: ReadonlySet<string>,
  injected: readonly (readonly [string, string])[],
): string[] {
  const merged: string[] = [];
  for (let i = 0; i + 1 < headers.length; i += 2) {
    const name = headers[i] as string;
    if (!names.has(name.toLowerCase())) merged.push(name, headers[i + 1] as string);
  }
  for (const [name, value] of injected) merged.push(name, value);
  return merged;
}

/** One of our own errors says what happened; undici's are sorted into time-out and failure. */
function toFailure(error: Error): Error {
  if (
    error instanceof UpstreamFailed ||
    error instanceof UpstreamTimeout ||
    error instanceof ClientGone
  )
    return error;
  if (
    error instanceof errors.HeadersTimeoutError ||
    error instanceof errors.BodyTimeoutError ||
    error instanceof errors.ConnectTimeoutError
  )
    return new UpstreamTimeout('The upstream did not answer in time.', { cause: error });
  // An error of the request body (too large, broken off) is the client's and passes through.
  if ('status' in error) return error;
  return new UpstreamFailed('The upstream could not be reached or broke off.', { cause: error });
}
