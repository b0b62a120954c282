/** Step 4 where a service names the price: the matched route at the price of this request. */

import type { Exchange } from '../core/exchange.ts';
import type { Presented } from '../core/ports/rail.ts';
import type { Match } from './match-route.ts';
import type { RequestParts } from './parts.ts';
import type { ReadWork } from './read-work.ts';

/** The very same match for every other price. Throws PriceUnavailable and RateUnavailable. */
export async function sellRoute(
  parts: RequestParts,
  match: Match,
  { method }: Pick<Exchange, 'method'>,
  { work, isProbe }: ReadWork,
  body: unknown,
  shown: readonly Presented[],
): Promise<Match> {
  const { route, path, query } = match;
  const { price } = route;
  // An empty probe is shown the most that the service may ask.
  if (price.kind !== 'service' || isProbe || !(body instanceof Uint8Array)) return match;
  const nowMs = parts.clock.now();
  const request = { route, method, path, query, body, work, shown, nowMs };
  return { ...match, route: await parts.servicePrices.sell(request, price) };
}
