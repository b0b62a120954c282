/** Reads a request body within its limit and digests the request that a credential pays for. */

import { createHash } from 'node:crypto';
import { BodyTooLarge, ClientGone, RequestMalformed } from '../core/errors.ts';
import type { Body, Exchange } from '../core/exchange.ts';
import { type Chosen, hasCredential } from './choose-payment.ts';
import type { Match } from './match-route.ts';

const NO_BYTES = new Uint8Array(0);

export interface ReadRequest {
  readonly body: Uint8Array | Body | null;
  /** Empty without a one-time credential: there is nothing to bind the request to. */
  readonly digest: string;
  /** Names the one-time credentials of the request; empty when there are none. */
  readonly credential: string;
}

/** A request with a credential is read whole and digested before its claim; any other body streams, bounded. */
export async function readRequest(
  exchange: Exchange,
  match: Match,
  chosen: readonly Chosen[],
  bytesMax: number,
): Promise<ReadRequest> {
  if (!hasCredential(chosen))
    return { body: boundBody(exchange, bytesMax), digest: '', credential: '' };
  const body = await readBody(exchange, bytesMax);
  const oneTime = chosen.filter(({ presented }) => presented.oneTime);
  const credential = oneTime
    .map(({ presented }) => `${presented.rail}:${presented.credentialHash}`)
    .join(' ');
  // Only a one-time credential is bound to its request; a key pays whatever it is sent with.
  const digest = credential === '' ? '' : digestOf(exchange, match, body);
  return { body, digest, credential };
}

/** The whole body. Throws BodyTooLarge before reading when the length is declared, ClientGone when it breaks off. */
async function readBody(exchange: Exchange, bytesMax: number): Promise<Uint8Array> {
  checkDeclaredLength(exchange, bytesMax);
  if (exchange.body === null) return NO_BYTES;
  const body = await exchange.collect(bytesMax).catch((error: unknown) => {
    throw new ClientGone('The client stopped sending its body.', { cause: error });
  });
  if (body === null) throw new BodyTooLarge(`The body is larger than ${bytesMax} bytes.`);
  return body;
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
