/** A shadow route: its calls are metered as if they were paid, and nobody is asked to pay. */

import { RateUnavailable, RequestMalformed, RequestNotPriced } from '../core/errors.ts';
import { type Answer, type Exchange, isStream } from '../core/exchange.ts';
import type { Meter } from '../core/ports/dialect.ts';
import type { Measured } from '../core/work.ts';
import { costOf } from '../pricing/cost-of.ts';
import { FLAT_MEASURED, FLAT_WORK } from '../pricing/flat-work.ts';
import { withGatewayHeaders } from './answers.ts';
import { judgeAnswer } from './judge-answer.ts';
import type { Match } from './match-route.ts';
import { passing, workOf } from './meter-usage.ts';
import type { RequestParts } from './parts.ts';
import { type Answered, proxyUpstream } from './proxy-upstream.ts';
import type { PricedQuote } from './quote-price.ts';
import { boundBody, readBody } from './read-request.ts';
import { isMetered, type ReadWork, readWork } from './read-work.ts';
import { sellRoute } from './sell-route.ts';
import { PriceUnavailable } from './service-prices.ts';
import { watchBody } from './watch-body.ts';

/** Throws what the upstream's failure was, BodyTooLarge and ClientGone: never for want of a price. */
export async function passShadow(
  parts: RequestParts,
  match: Match,
  exchange: Exchange,
): Promise<Answer> {
  const { bodyBytes } = parts.limits;
  const body = isMetered(match.route)
    ? await parts.running.aside(() => readBody(exchange, bodyBytes))
    : boundBody(exchange, bodyBytes);
  const [reading, quote] = await priceOf(parts, match, exchange, body);
  const outcome = await proxyUpstream(parts, match, null, exchange, reading);
  if (outcome.kind === 'failed') throw outcome.error;
  const { status, headers } = outcome.answer;
  return {
    status,
    headers: withGatewayHeaders(headers, []),
    body: counting(parts, match, exchange, reading, quote, outcome),
  };
}

/** A request that could not be sold is still served: it is counted as one without a price. */
async function priceOf(
  parts: RequestParts,
  match: Match,
  exchange: Exchange,
  body: ReadWork['body'],
): Promise<readonly [ReadWork, PricedQuote | null]> {
  try {
    const reading = readWork(parts, match, exchange, body);
    if (reading.isProbe) return [{ ...reading, body, meter: null }, null];
    const { route } = await sellRoute(parts, match, exchange, reading, body, []);
    return [reading, parts.quotes.issue(route, reading.work, parts.clock.now())];
  } catch (error) {
    const isUnpriced =
      error instanceof RequestMalformed ||
      error instanceof RequestNotPriced ||
      error instanceof PriceUnavailable ||
      error instanceof RateUnavailable;
    if (!isUnpriced) throw error;
    return [{ work: FLAT_WORK, isProbe: false, body, meter: null }, null];
  }
}

/** The same body; the call is counted when it has passed. */
function counting(
  parts: RequestParts,
  match: Match,
  { method }: Exchange,
  reading: ReadWork,
  quote: PricedQuote | null,
  { answer, sentAtMs }: Answered,
): Answer['body'] {
  const { status, headers } = answer;
  const meter = reading.meter?.({ status, headers, sentAtMs }) ?? null;
  const body = meter === null ? answer.body : passing(answer.body, meter);
  if (!judgeAnswer(match.route, method, answer).charge) return body;
  const count = (): void => countCall(parts, match, quote, answer, meter);
  if (isStream(body))
    return watchBody(body, async (how, rest) => {
      await rest.return?.();
      const { onAbort, onBreak } = match.route;
      if (how === 'broken' ? onBreak !== 'release' : how === 'complete' || onAbort !== 'release')
        count();
      return null;
    });
  count();
  return body;
}

function countCall(
  parts: RequestParts,
  { route }: Match,
  quote: PricedQuote | null,
  answer: Answered['answer'],
  meter: Meter | null,
): void {
  const measured: Measured = meter?.measured() ?? FLAT_MEASURED;
  if (quote === null) {
    parts.shadow.add({ route: route.id, cost: null, listCost: null, units: { calls: 1 } });
    return;
  }
  const work = workOf(quote.work, answer);
  const isKnown =
    meter === null ||
    measured.by === 'upstream' ||
    (measured.by === 'count' && route.missingUsage === 'count');
  const { cost } = isKnown ? costOf(quote.price, work, quote.terms, measured) : { cost: quote.max };
  parts.shadow.add({
    route: route.id,
    cost: cost > quote.max ? quote.max : cost,
    listCost: isKnown ? parts.listCost(route.upstream, work, measured) : null,
    units: { calls: 1, ...measured.units },
  });
}
