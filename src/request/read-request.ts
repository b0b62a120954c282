/** Reads a request body within its limit and digests the request that a credential pays for. */

import { createHash } from 'node:crypto';
import { BodyTooLarge, ClientGone, RequestMalformed } from '../core/errors.ts';
import type { Body, Exchange } from '../core/exchange.ts';
import { type Chosen, hasCredential } from './choose-payment.ts';
import type { Match } from './match-route.ts';
import type { RequestParts } from './parts.ts';
import { isMetered } from './read-work.ts';

const NO_BYTES = new Uint8Array(0);
/** A body of at most this length is sent on in one piece. */
const SHORT_BYTES = 65_536;

export interface ReadRequest {
  readonly body: Uint8Array | Body | null;
  /** Empty without a one-time credential: there is nothing to bind the request to. */
  readonly digest: string;
  /** Names the one-time credentials of the request; empty when there are none. */
  readonly credential: string;
}

/**
 * A request with a credential is read whole and digested before its claim, and so is one whose price depends on
 * what it asks for; any other body streams, bounded.
 */
export async function readRequest(
  { limits, running }: RequestParts,
  exchange: Exchange,
  match: Match,
  chosen: readonly Chosen[],
): Promise<ReadRequest> {
  if (!hasCredential(chosen) && !isMetered(match.route))
    return { body: boundBody(exchange, limits.bodyBytes), digest: '', credential: '' };
  // Nobody has paid yet: who sends slowly must not keep others out.
  const body = await running.aside(() => readBody(exchange, limits.bodyBytes));
  const oneTime = chosen.filter(({ presented }) => presented.oneTime);
  const credential = oneTime
    .map(({ presented }) => `${presented.rail}:${presented.credentialHash}`)
    .join(' ');
  // Only a one-time credential is bound to its request; a key pays whatever it is sent with.
  const digest = credential === '' ? '' : digestOf(exchange, match, body);
  return { body, digest, credential };
}

/** The whole body. Throws BodyTooLarge before reading when the length is declared, ClientGone when it breaks off. */
export async function readBody(exchange: Exchange, bytesMax: number): Promise<Uint8Array> {
  checkDeclaredLength(exchange, bytesMax);
  if (exchange.body === null) return NO_BYTES;
  let body: Uint8Array | null;
  try {
    body = await exchange.collect(bytesMax);
  } catch (error) {
    throw new ClientGone('The client stopped sending its body.', { cause: error });
  }
  if (body === null) throw new BodyTooLarge(`The body is larger than ${bytesMax} bytes.`);
  return body;
}

/**
 * A streamed body whole, if it is declared to be short: it takes one write, and a client that sends slowly
 * keeps no connection of the upstream waiting. Throws ClientGone when it breaks off.
 */
export async function readShort(
  exchange: Exchange,
  body: Uint8Array | Body | null,
): Promise<Uint8Array | Body | null> {
  if (body === null || body instanceof Uint8Array) return body;
  const declared = exchange.header('content-length');
  if (declared === undefined || Number(declared) > SHORT_BYTES) return body;
  return await readBody(exchange, SHORT_BYTES);
}

/** The body as a stream that fails with BodyTooLarge past the limit, and with ClientGone when it breaks off. */
export function boundBody(exchange: Exchange, bytesMax: number): Body | null {
  checkDeclaredLength(exchange, bytesMax);
  return exchange.body === null ? null : countBytes(exchange.body, bytesMax);
}

async function* countBytes(body: Body, bytesMax: number): Body {
  let bytes = 0;
  try {
    for await (const chunk of body) {
      bytes += chunk.length;
      if (bytes > bytesMax) throw new BodyTooLarge(`The body is larger than ${bytesMax} bytes.`);
      yield chunk;
    }
  } catch (error) {
    if (error instanceof BodyTooLarge) throw error;
    throw new ClientGone('The client stopped sending its body.', { cause: error });
  }
}

function checkDeclaredLength(exchange: Exchange, bytesMax: number): void {
  const declared = exchange.header('content-length');
  if (declared === undefined) return;
  if (!/^\d{1,15}$/.test(declared)) throw new RequestMalformed('Content-Length is not a number.');
  if (Number(declared) > bytesMax)
    throw new BodyTooLarge(`The body is larger than ${bytesMax} bytes.`);
}

/** SHA-256 over method, matched path, raw query, content type and body: what "the same request" means. */
function digestOf(exchange: Exchange, match: Match, body: Uint8Array): string {
  const head = [exchange.method, match.path, match.query, exchange.header('content-type') ?? ''];
  return createHash('sha256').update(JSON.stringify(head)).update(body).digest('hex');
}
