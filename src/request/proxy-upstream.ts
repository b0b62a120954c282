/** Step 6: send the matched request on, without our money headers, and see what comes back. */

import { ClientGone, CoinslotError, UpstreamFailed } from '../core/errors.ts';
import { type Body, type Departure, type Exchange, isStream } from '../core/exchange.ts';
import { forwardableHeaders } from '../core/forwarding.ts';
import type { Payment } from '../core/payment.ts';
import type { Upstream, UpstreamAnswer } from '../core/ports/upstream.ts';
import type { Match } from './match-route.ts';
import type { RequestParts } from './parts.ts';
import { type Handshake, handshakeHeaders } from './read-handshake.ts';
import { readShort } from './read-request.ts';
import type { ReadWork } from './read-work.ts';

export interface Answered {
  readonly kind: 'answered';
  readonly answer: UpstreamAnswer;
  /** Monotonic: when the request was sent. */
  readonly sentAtMs: number;
}

export type UpstreamOutcome = Answered | { readonly kind: 'failed'; readonly error: CoinslotError };

const NEVER: Departure = new AbortController().signal;

/**
 * Set by us or meaningless upstream, so never copied from the client. Method-override and URL-rewrite headers
 * would make the upstream run another route.
 */
const REPLACED = [
  'host',
  'expect',
  'content-length',
  'forwarded',
  'x-forwarded-for',
  'x-forwarded-host',
  'x-forwarded-proto',
  'x-forwarded-port',
  'x-real-ip',
  'x-http-method',
  'x-http-method-override',
  'x-method-override',
  'x-forwarded-prefix',
  'x-forwarded-uri',
  'x-original-uri',
  'x-original-url',
  'x-rewrite-url',
  'true-client-ip',
  'cf-connecting-ip',
];

/** All headers of a client that never reach an upstream; `credentials` are those of the rails that are on. */
export function withheldHeaders(credentials: readonly string[]): ReadonlySet<string> {
  return new Set([...REPLACED, ...credentials]);
}

/** What of a request the upstream gets to see beside its head. */
export type UpstreamWork = Pick<ReadWork, 'body' | 'work' | 'meter'>;

/** Never throws for what the upstream or the network does: a failure is an outcome that costs nothing. */
export async function proxyUpstream(
  parts: RequestParts,
  match: Match,
  payment: Payment | null,
  exchange: Exchange,
  { body, work, meter }: UpstreamWork,
  handshake: Handshake | null = null,
): Promise<UpstreamOutcome> {
  const upstream = parts.upstreams.get(match.route.upstream);
  if (!upstream)
    return { kind: 'failed', error: new UpstreamFailed('The upstream is not configured.') };
  try {
    const whole = handshake === null ? await readShort(exchange, body) : body;
    const headers = upstreamHeaders(parts, payment, exchange, whole, meter !== null);
    const sentAtMs = performance.now();
    const answer = await sendOrConnect(
      upstream,
      handshake,
    )({
      method: exchange.method,
      path: match.query === '' ? match.path : `${match.path}?${match.query}`,
      headers: handshake === null ? headers : handshakeHeaders(headers, handshake),
      body: whole instanceof Uint8Array && whole.length === 0 ? null : whole,
      model: work.model,
      // With `drain` the work goes on although the client has gone.
      signal: match.route.onAbort === 'drain' && payment ? NEVER : exchange.signal,
      bufferBytes: parts.limits.bufferBytes,
      timeoutMs: match.route.timeoutMs,
    });
    if (answer.status !== 402) return { kind: 'answered', answer, sentAtMs };
    // Passed on, its offers would look like ours, and our payers would pay a stranger for nothing.
    if (isStream(answer.body)) await answer.body[Symbol.asyncIterator]().return?.(undefined);
    const message = 'The upstream asks the gateway for money (402).';
    return { kind: 'failed', error: new UpstreamFailed(message) };
  } catch (error) {
    if (error instanceof CoinslotError) return { kind: 'failed', error };
    if (exchange.signal.aborted)
      return { kind: 'failed', error: new ClientGone('The client went away.') };
    return {
      kind: 'failed',
      error: new UpstreamFailed('The upstream request failed.', { cause: error }),
    };
  }
}

function sendOrConnect(upstream: Upstream, handshake: Handshake | null): Upstream['send'] {
  return (request) =>
    handshake !== null && upstream.connect !== undefined
      ? upstream.connect(request)
      : upstream.send(request);
}

function upstreamHeaders(
  parts: RequestParts,
  payment: Payment | null,
  exchange: Exchange,
  body: Uint8Array | Body | null,
  isMetered: boolean,
): string[] {
  const headers = forwardableHeaders(
    exchange.headers,
    isMetered ? parts.withheldFromMeters : parts.withheldHeaders,
  );
  // A meter can't read what is compressed.
  if (isMetered) headers.push('accept-encoding', 'identity');
  const length = exchange.header('content-length');
  if (length !== undefined && body !== null && !(body instanceof Uint8Array))
    headers.push('content-length', length);
  const { address, scheme, host } = exchange.remote;
  headers.push('x-forwarded-for', address, 'x-forwarded-proto', scheme, 'x-forwarded-host', host);
  if (payment) headers.push('x-payment-id', payment.id, 'x-payment-payer', payment.payer);
  return headers;
}
