/** A call of fetch, read once, so that the very same request can be sent again with a payment. */

import { sha256 } from '@noble/hashes/sha2.js';

export type Fetch = (input: string | URL | Request, init?: RequestInit) => Promise<Response>;

export interface ReplayableRequest {
  readonly method: string;
  readonly url: URL;
  readonly headers: Headers;
  readonly signal: AbortSignal | undefined;
  /** SHA-256 (hex) of method, URL and body. */
  key(): string;
  /** Sends it with these headers added; `neverFollow` returns a redirect instead of following it. */
  send(
    fetch: Fetch,
    changes: { readonly headers?: Readonly<Record<string, string>>; readonly neverFollow: boolean },
  ): Promise<Response>;
}

/** What of a Request is not in its URL, headers and body. */
const REQUEST_OPTIONS = [
  'cache',
  'credentials',
  'integrity',
  'keepalive',
  'mode',
  'redirect',
  'referrer',
  'referrerPolicy',
] as const;

/**
 * Reads the arguments of fetch. A body that could be read only once (a stream, a form, a blob) is
 * read into memory here, before anything is sent. Throws TypeError as fetch does.
 */
export async function readRequest(
  input: string | URL | Request,
  init: RequestInit = {},
): Promise<ReplayableRequest> {
  const request = isRequest(input) ? input : null;
  const url = new URL(request ? request.url : String(input), baseUrl());
  const method = init.method ?? request?.method ?? 'GET';
  const headers = new Headers(init.headers ?? request?.headers);
  const signal = init.signal ?? request?.signal ?? undefined;
  signal?.throwIfAborted();
  const body = await readBody(request, init, method, headers);
  const { method: _, headers: __, body: ___, signal: ____, duplex: _____, ...rest } = init;
  const options = { ...(request ? optionsOf(request) : {}), ...rest };

  return {
    method: method.toUpperCase(),
    url,
    headers,
    signal,
    key() {
      const target = `${method.toUpperCase()}\n${url.href.slice(0, url.href.length - url.hash.length)}\n`;
      const bytes = typeof body === 'string' ? new TextEncoder().encode(body) : body;
      const hash = sha256.create().update(new TextEncoder().encode(target));
      return hexOf(hash.update(bytes ?? new Uint8Array()).digest());
    },
    send(fetch, changes) {
      const sent = new Headers(headers);
      for (const [name, value] of Object.entries(changes.headers ?? {})) sent.set(name, value);
      return fetch(url.href, {
        ...options,
        method,
        headers: sent,
        body,
        ...(signal ? { signal } : {}),
        ...(changes.neverFollow && options.redirect !== 'error' ? { redirect: 'manual' } : {}),
      });
    },
  };
}

type ReplayableBody = string | Uint8Array<ArrayBuffer> | null;

async function readBody(
  request: Request | null,
  init: RequestInit,
  method: string,
  headers: Headers,
): Promise<ReplayableBody> {
  const { body } = init;
  if (typeof body === 'string') return body;
  if (body === undefined || body === null) {
    if (!request || /^(?:GET|HEAD)$/i.test(method)) return null;
    const bytes = new Uint8Array(await request.arrayBuffer());
    return bytes.length === 0 ? null : bytes;
  }
  // Let the platform turn forms, blobs, buffers and streams into bytes and name their content type.
  const holder = new Request('http://localhost/', { method: 'POST', body, duplex: 'half' });
  const type = holder.headers.get('content-type');
  if (type !== null && !headers.has('content-type')) headers.set('content-type', type);
  return new Uint8Array(await holder.arrayBuffer());
}

/** Also true for a Request of another realm or library, which `instanceof` would miss. */
function isRequest(input: string | URL | Request): input is Request {
  return typeof input === 'object' && 'url' in input && 'headers' in input;
}

function optionsOf(request: Request): RequestInit {
  const options: Record<string, unknown> = {};
  for (const name of REQUEST_OPTIONS) {
    const value = name in request ? request[name] : undefined;
    // A navigation's mode is not allowed in a new request.
    if (value !== undefined && value !== 'navigate') options[name] = value;
  }
  return options as RequestInit;
}

function baseUrl(): string | undefined {
  return (globalThis as { location?: { href?: string } }).location?.href;
}

function hexOf(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
}
