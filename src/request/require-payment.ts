/** The 402: every live rail's offer at once, for v1 and v2 wallets, key holders, people and simple agents. */

import { RailUnavailable } from '../core/errors.ts';
import type { Answer, Exchange, HeaderList } from '../core/exchange.ts';
import { formatDecimal, USD } from '../core/money.ts';
import type { Offers } from '../core/ports/rail.ts';
import type { Quote } from '../core/quote.ts';
import type { Route } from '../core/route.ts';
import { jsonAnswer } from './answers.ts';
import type { Unpaid } from './authorize.ts';
import type { RequestParts } from './parts.ts';
import type { PricedDemand } from './quote-price.ts';

/** Throws RateLimited, and RailUnavailable when not one rail can be offered. */
export async function requirePayment(
  parts: RequestParts,
  { route, quote: paid, exchange }: PricedDemand,
  reason: Pick<Unpaid, 'code' | 'message' | 'hint'>,
): Promise<Answer> {
  parts.rateLimits.unpaid(exchange.remote.address);
  // What is offered now is asked for at the price of now, also where an older quote would have counted.
  const quote = parts.quotes.issue(route, paid.work, parts.clock.now());
  const { body, headers } = await describeOffers(parts, { route, quote, exchange }, reason);
  return jsonAnswer(402, body, headers);
}

/** What a 402 says: every live rail's offers for one quote. Throws RailUnavailable when there is not one. */
export async function describeOffers(
  parts: RequestParts,
  { route, quote, exchange }: Pick<PricedDemand, 'route' | 'quote' | 'exchange'>,
  reason: Pick<Unpaid, 'code' | 'message' | 'hint'>,
): Promise<{ readonly body: Record<string, unknown>; readonly headers: HeaderList }> {
  const offers = await collectOffers(parts, route, quote, exchange, reason.message);
  const unlock = offers.flatMap((offer) => (offer.unlock === null ? [] : [offer.unlock]));
  const body: Record<string, unknown> = {
    error: reason.message,
    code: reason.code,
    ...(reason.hint === undefined ? {} : { hint: reason.hint }),
    retryable: false,
  };
  for (const offer of offers) Object.assign(body, offer.body);
  if (unlock.length > 0) body.unlock = sentence(unlock);
  body.quote = {
    id: quote.id,
    max: formatDecimal(quote.max, USD.decimals),
    currency: USD.symbol,
    expiresAt: new Date(quote.expiresAtMs).toISOString(),
  };
  const headers = ['X-Payment-Quote', quote.id, ...offers.flatMap((offer) => [...offer.headers])];
  return { body, headers };
}

/** A rail that is down leaves the others standing. */
async function collectOffers(
  parts: RequestParts,
  route: Route,
  quote: Quote,
  exchange: Exchange,
  reason: string,
): Promise<Offers[]> {
  const offers: Offers[] = [];
  let down: RailUnavailable | null = null;
  for (const rail of parts.rails) {
    if (rail.name === 'free' && !route.freeTier) continue;
    try {
      offers.push(await rail.offers(quote, route, exchange, reason));
    } catch (error) {
      if (!(error instanceof RailUnavailable)) throw error;
      down = error;
    }
  }
  if (!offers.some((offer) => offer.unlock !== null) && down) throw down;
  return offers;
}

/** `Add an x-api-key header or pay via x402 (USDC on Base)`. */
function sentence(phrases: readonly string[]): string {
  const text = phrases.join(' or ');
  return text.charAt(0).toUpperCase() + text.slice(1);
}
