/** Step 5: send the matched request on, without our money headers, and see what comes back. */

import { ClientGone, CoinslotError, UpstreamFailed } from '../core/errors.ts';
import { type Body, type Exchange, filterHeaders, isStream } from '../core/exchange.ts';
import { forwardableHeaders } from '../core/forwarding.ts';
import type { Payment } from '../core/payment.ts';
import type { UpstreamAnswer } from '../core/ports/upstream.ts';
import type { Match } from './match-route.ts';
import type { RequestParts } from './parts.ts';

export type UpstreamOutcome =
  | { readonly kind: 'answered'; readonly answer: UpstreamAnswer }
  | { readonly kind: 'failed'; readonly error: CoinslotError };

const NEVER: AbortSignal = new AbortController().signal;

/** Set by us or meaningless upstream, so never copied from the client. */
const REPLACED: ReadonlySet<string> = new Set([
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
]);

/** Never throws for what the upstream or the network does: a failure is an outcome that costs nothing. */
export async function proxyUpstream(
  parts: RequestParts,
  match: Match,
  payment: Payment | null,
  exchange: Exchange,
  body: Uint8Array | Body | null,
): Promise<UpstreamOutcome> {
  const upstream = parts.upstreams.get(match.route.upstream);
  if (!upstream)
    return { kind: 'failed', error: new UpstreamFailed('The upstream is not configured.') };
  try {
    const answer = await upstream.send({
      method: exchange.method,
      path: match.query === '' ? match.path : `${match.path}?${match.query}`,
      headers: upstreamHeaders(parts, payment, exchange, body),
      body: body instanceof Uint8Array && body.length === 0 ? null : body,
      // With `drain` the work goes on although the client has gone.
      signal: match.route.onAbort === 'drain' && payment ? NEVER : exchange.signal,
      bufferBytes: parts.limits.bufferBytes,
      timeoutMs: match.route.timeoutMs,
    });
    if (answer.status !== 402) return { kind: 'answered', answer };
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

/** Method-override and URL-rewrite headers are dropped too: they would make the upstream run another route. */
function upstreamHeaders(
  parts: RequestParts,
  payment: Payment | null,
  exchange: Exchange,
  body: Uint8Array | Body | null,
): string[] {
  const headers = filterHeaders(
    forwardableHeaders(exchange.headers),
    (name) => !REPLACED.has(name) && !parts.credentialHeaders.has(name),
  );
  const length = exchange.header('content-length');
  if (length !== undefined && body !== null && !(body instanceof Uint8Array))
    headers.push('content-length', length);
  headers.push('x-forwarded-for', exchange.remote.address);
  headers.push('x-forwarded-proto', exchange.remote.scheme);
  headers.push('x-forwarded-host', exchange.remote.host);
  if (payment) headers.push('x-payment-id', payment.id, 'x-payment-payer', payment.payer);
  return headers;
}
