/** Answers that the gateway writes itself: problems, JSON, preflights; and the headers every answer carries. */

import { CoinslotError, type Problem } from '../core/errors.ts';
import { type Answer, type Exchange, filterHeaders, type HeaderList } from '../core/exchange.ts';
import type { StoredAnswer } from '../core/payment.ts';

const EXPOSED = [
  'PAYMENT-REQUIRED',
  'PAYMENT-RESPONSE',
  'X-PAYMENT-RESPONSE',
  'WWW-Authenticate',
  'Retry-After',
  'X-Payment-Id',
  'X-Payment-Cost',
  'X-Payment-State',
  'X-Payment-Quote',
  'X-Free-Calls-Remaining',
  'X-Free-Calls-Reset',
].join(', ');

const ALLOWED = [
  'Authorization',
  'Content-Type',
  'Accept',
  'Idempotency-Key',
  'PAYMENT-SIGNATURE',
  'X-PAYMENT',
  'X-API-Key',
  // The official x402 clients send this response header as a request header.
  'Access-Control-Expose-Headers',
].join(', ');

const CORS: HeaderList = [
  'Access-Control-Allow-Origin',
  '*',
  'Access-Control-Expose-Headers',
  EXPOSED,
];

export function jsonAnswer(status: number, value: unknown, headers: HeaderList = []): Answer {
  return {
    status,
    headers: ['Content-Type', 'application/json', 'Cache-Control', 'no-store', ...CORS, ...headers],
    body: Buffer.from(JSON.stringify(value)),
  };
}

/** What the official clients of OpenAI and Anthropic read of an error, and show: nothing but `error`. */
function forModelClients({ status, detail, code }: Problem): object {
  const type = ERROR_TYPES[status] ?? (status < 500 ? 'invalid_request_error' : 'api_error');
  return { message: detail, type, param: null, code };
}

const ERROR_TYPES: Readonly<Record<number, string>> = {
  401: 'authentication_error',
  403: 'permission_error',
  404: 'not_found_error',
  429: 'rate_limit_error',
};

/** RFC 9457 problem+json; an error that is not ours is a 500 without details. */
export function problemAnswer(
  error: unknown,
  headers: HeaderList = [],
  extra: object = {},
): Answer {
  const known = error instanceof CoinslotError ? error : null;
  const problem = known?.problem() ?? {
    type: 'about:blank',
    title: 'internal error',
    status: 500,
    detail: 'The gateway failed. Nothing was charged for this answer.',
    code: 'internal_error',
    hint: 'Try again later; the operator finds the cause in the log.',
    retryable: true,
  };
  return {
    status: problem.status,
    headers: [
      ...['Content-Type', 'application/problem+json', 'Cache-Control', 'no-store'],
      ...CORS,
      ...(known?.headers ?? []),
      ...headers,
    ],
    body: Buffer.from(JSON.stringify({ ...problem, error: forModelClients(problem), ...extra })),
  };
}

/** A browser's question before it sends a payment header; costs nothing and never reaches an upstream. */
export function preflightAnswer(requestedHeaders: string | undefined): Answer {
  const asked = requestedHeaders !== undefined && /^[\w\-, ]{1,1000}$/.test(requestedHeaders);
  return {
    status: 204,
    headers: [
      ...['Access-Control-Allow-Origin', '*'],
      ...['Access-Control-Allow-Methods', 'GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS'],
      ...['Access-Control-Allow-Headers', asked ? `${ALLOWED}, ${requestedHeaders}` : ALLOWED],
      ...['Access-Control-Max-Age', '600', 'Vary', 'Access-Control-Request-Headers'],
    ],
    body: null,
  };
}

/** The upstream's headers with ours: readable across origins, and kept out of shared caches when paid for. */
export function withGatewayHeaders(upstream: HeaderList, receipt: HeaderList): string[] {
  const kept: string[] = [];
  const isPaid = receipt.length > 0;
  let ownCors = false;
  let isPrivate = false;
  for (let i = 0; i + 1 < upstream.length; i += 2) {
    const [name, value] = [upstream[i] as string, upstream[i + 1] as string];
    const lower = name.toLowerCase();
    if (lower === 'access-control-expose-headers') continue;
    if (lower === 'cache-control') {
      isPrivate ||= /\b(?:no-store|private)\b/i.test(value);
      if (isPaid && !isPrivate) continue;
    }
    ownCors ||= lower === 'access-control-allow-origin';
    kept.push(name, value);
  }
  if (isPaid && !isPrivate) kept.push('Cache-Control', 'private');
  if (!ownCors) kept.push('Access-Control-Allow-Origin', '*');
  kept.push('Access-Control-Expose-Headers', EXPOSED, ...receipt);
  return kept;
}

/** Where only some origins may read our answers, names the asking one, or none. */
export function forOrigin(
  answer: Answer,
  origins: ReadonlySet<string> | null,
  exchange: Exchange,
): Answer {
  if (origins === null) return answer;
  const headers = filterHeaders(answer.headers, (name) => name !== 'access-control-allow-origin');
  const origin = exchange.header('origin');
  headers.push('Vary', 'Origin');
  if (origin !== undefined && origins.has(origin))
    headers.push('Access-Control-Allow-Origin', origin);
  return { ...answer, headers };
}

/** What of an answer is kept for its payer: everything but a body that is too large. */
export function storable(
  answer: { status: number; headers: HeaderList; body: Uint8Array },
  bytesMax: number,
): StoredAnswer | null {
  if (answer.body.length > bytesMax) return null;
  return { status: answer.status, headers: answer.headers, body: answer.body };
}
