/** `POST /_pay/quote`: what a described request would cost, with offers that can be signed, where a 402 gets lost. */

import { type Answer, type Exchange, findHeader } from '../core/exchange.ts';
import { USD } from '../core/money.ts';
import { jsonAnswer } from './answers.ts';
import { NOTHING_SENT } from './authorize.ts';
import { readDescribedRequest } from './described-request.ts';
import type { RequestParts } from './parts.ts';
import { readBody } from './read-request.ts';
import { readWork } from './read-work.ts';
import { describeOffers } from './require-payment.ts';
import { sellRoute } from './sell-route.ts';

/** Claims nothing and stores nothing. Throws what the described request would be refused with, and RateLimited. */
export async function answerQuote(parts: RequestParts, exchange: Exchange): Promise<Answer> {
  // As dear to make as a 402, so counted as one.
  parts.rateLimits.unpaid(exchange.remote.address);
  const { bodyBytes } = parts.limits;
  const text = await parts.running.aside(() => readBody(exchange, bodyBytes));
  const { described, body } = readDescribedRequest(text, exchange, bodyBytes);
  const match = parts.matchRoute(described.method, described.target);
  const { price, shadow } = match.route;
  if (price.kind === 'free' || shadow) return jsonAnswer(200, FREE);
  const reading = readWork(parts, match, described, body);
  const { route } = await sellRoute(parts, match, described, reading, body, []);
  const quote = parts.quotes.issue(route, reading.work, parts.clock.now());
  const demand = { route, quote, exchange: described };
  const offers = await describeOffers(parts, demand, NOTHING_SENT);
  const paymentRequired = decoded(findHeader(offers.headers, 'payment-required'));
  return jsonAnswer(200, { ...offers.body, paymentRequired }, offers.headers);
}

const FREE = {
  free: true,
  message: 'This request costs nothing: send it without a payment.',
  quote: { max: '0', currency: USD.symbol },
};

/** The header's object as it is, for clients that can't read headers; undefined where no wallet can pay. */
function decoded(header: string | undefined): unknown {
  if (header === undefined) return undefined;
  return JSON.parse(Buffer.from(header, 'base64').toString('utf8'));
}
