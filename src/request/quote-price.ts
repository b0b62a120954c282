/** Step 2: what may this request cost at most? The quote's id is a stateless HMAC over route and price rule. */

import { createHmac, timingSafeEqual } from 'node:crypto';
import type { Random } from '../core/id.ts';
import type { Quote } from '../core/quote.ts';
import type { Route } from '../core/route.ts';
import { quoteMax } from '../pricing/quote-max.ts';

const HEAD_BYTES = 18;
const MAC_BYTES = 16;

export type QuoteCheck = 'ok' | 'expired' | 'unknown';

export interface Quotes {
  /** A fresh quote for one request of this route. */
  issue(route: Route, nowMs: number): Quote;
  /** Whether an id was issued by us, for this route and its present price rule, and is not too old. */
  verify(id: string, route: Route, nowMs: number): QuoteCheck;
}

/**
 * The id is 18 random-and-time bytes and a MAC over them with route and price-rule version. It never
 * goes on a chain, so a stranger who reads a settled signature there cannot present it here.
 */
export function createQuotes(secret: string, ttlMs: number, random: Random): Quotes {
  const macOf = (head: Uint8Array, route: Route): Buffer =>
    createHmac('sha256', secret)
      .update(head)
      .update(`${route.id}\n${route.priceVersion}`)
      .digest()
      .subarray(0, MAC_BYTES);
  const idOf = (route: Route, nowMs: number): string => {
    const head = Buffer.allocUnsafe(HEAD_BYTES);
    head.writeUIntBE(nowMs, 0, 6);
    head.set(random(HEAD_BYTES - 6), 6);
    return Buffer.concat([head, macOf(head, route)]).toString('base64url');
  };
  return {
    issue(route, nowMs) {
      let id: string | undefined;
      return {
        // Made when it is asked for: a request that is paid by key never shows it.
        get id() {
          id ??= idOf(route, nowMs);
          return id;
        },
        routeId: route.id,
        priceVersion: route.priceVersion,
        max: quoteMax(route.price),
        issuedAtMs: nowMs,
        expiresAtMs: nowMs + ttlMs,
      };
    },
    verify(id, route, nowMs) {
      const bytes = Buffer.from(id, 'base64url');
      if (bytes.length !== HEAD_BYTES + MAC_BYTES || bytes.toString('base64url') !== id)
        return 'unknown';
      const head = bytes.subarray(0, HEAD_BYTES);
      if (!timingSafeEqual(bytes.subarray(HEAD_BYTES), macOf(head, route))) return 'unknown';
      return nowMs > head.readUIntBE(0, 6) + ttlMs ? 'expired' : 'ok';
    },
  };
}
