/** Step 7: what did the answer use, and what does that cost? It is read while it passes, and never kept back. */

import { type Body, isStream } from '../core/exchange.ts';
import { formatDecimal, USD } from '../core/money.ts';
import type { Meter } from '../core/ports/dialect.ts';
import type { UpstreamAnswer } from '../core/ports/upstream.ts';
import type { UsageLine } from '../core/usage.ts';
import type { Measured, Work } from '../core/work.ts';
import { costOf } from '../pricing/cost-of.ts';
import { FLAT_MEASURED } from '../pricing/flat-work.ts';
import { uncappedCost } from '../pricing/uncapped-cost.ts';
import { endAtHold } from './end-at-hold.ts';
import { isPlainEvents } from './event-tail.ts';
import type { PaidRequest } from './paid-request.ts';
import type { Answered } from './proxy-upstream.ts';
import type { PricedQuote } from './quote-price.ts';

export interface Metered {
  /** USD atoms, at most the quote's max. */
  readonly cost: bigint;
  readonly usage: readonly UsageLine[];
}

export interface MeteredAnswer {
  /** The answer, its bytes as they pass the meter. */
  readonly answer: UpstreamAnswer;
  /** What it costs as far as it has passed. */
  readonly metered: () => Metered;
}

/** The quote bounds the cost, whatever the price rule or the upstream says. */
export function meterAnswer(paid: PaidRequest, { answer, sentAtMs }: Answered): MeteredAnswer {
  const { quote } = paid.demand;
  if (paid.reading.meter === null)
    return { answer, metered: () => priced(paid, quote.work, FLAT_MEASURED) };
  // Outside money that moves before the answer is of one amount, whatever the answer will use.
  if (paid.rail.capturesBeforeAnswer(paid.payment)) return { answer, metered: () => most(quote) };
  const { status, headers } = answer;
  const meter = paid.reading.meter({ status, headers, sentAtMs });
  const work = workOf(quote.work, answer);
  return {
    answer: { ...answer, body: bounded(quote, work, headers, passing(answer.body, meter), meter) },
    metered: () => namingModel(meteredCost(paid, work, meter.measured()), answer),
  };
}

/** The same for a connection, whose frames have passed its meter already; without one it is one call. */
export function meterConnection(
  paid: PaidRequest,
  answer: UpstreamAnswer,
  meter: Pick<Meter, 'measured'> | null,
): MeteredAnswer {
  const { quote } = paid.demand;
  if (meter === null) return { answer, metered: () => priced(paid, quote.work, FLAT_MEASURED) };
  if (paid.rail.capturesBeforeAnswer(paid.payment)) return { answer, metered: () => most(quote) };
  return { answer, metered: () => meteredCost(paid, quote.work, meter.measured()) };
}

function meteredCost(paid: PaidRequest, work: Work, measured: Measured): Metered {
  const { quote } = paid.demand;
  const isKnown = measured.by === 'upstream' || measured.by === 'count';
  const isEnough = measured.by === 'upstream' || paid.match.route.missingUsage === 'count';
  return isKnown && isEnough ? priced(paid, work, measured) : most(quote);
}

function priced(
  { demand: { quote }, payerFacts }: PaidRequest,
  work: Work,
  measured: Measured,
): Metered {
  const metered = costOf(quote.price, work, quote.terms, measured, payerFacts);
  return metered.cost > quote.max ? most(quote) : metered;
}

/** Where nothing but the hold bounds what a stream may use, such as its bytes, it ends when it reaches that. */
function bounded(
  { price, terms, max: hold, work: quoted }: PricedQuote,
  work: Work,
  headers: UpstreamAnswer['headers'],
  body: UpstreamAnswer['body'],
  meter: Meter,
): UpstreamAnswer['body'] {
  if (!isStream(body) || uncappedCost(price, quoted, terms, null) !== null) return body;
  const cost = (): bigint => uncappedCost(price, work, terms, meter.measured()) ?? 0n;
  const nowMs = (): number => performance.now();
  return endAtHold(body, { cost, hold, nowMs }, isPlainEvents(headers));
}

/** The whole quote, as one call. */
function most({ max }: PricedQuote): Metered {
  const price = formatDecimal(max, USD.decimals);
  return { cost: max, usage: [{ unit: 'calls', count: 1, price, cost: price }] };
}

/** What ran counts, not what was asked for: of several models that might have, this one did. */
export function workOf(work: Work, { ran }: UpstreamAnswer): Work {
  if (ran === undefined) return work;
  const model = `${ran.provider}/${ran.model}`;
  return { model, bounds: work.bounds, value: (place) => work.value(place) };
}

/** A receipt says which of several models it was. */
function namingModel(metered: Metered, { ran }: UpstreamAnswer): Metered {
  if (ran === undefined) return metered;
  const model = `${ran.provider}/${ran.model}`;
  return {
    ...metered,
    usage: metered.usage.map(({ unit, ...line }) => ({ unit, model, ...line })),
  };
}

export function passing(body: UpstreamAnswer['body'], meter: Meter): UpstreamAnswer['body'] {
  if (isStream(body)) return passingStream(body, meter);
  const [first, rest] = [meter.pass(body), meter.end()];
  if (first !== null && rest === null) return first;
  return Buffer.concat([first, rest].filter((part) => part !== null));
}

/** No generator: one that is given up before its first chunk would never give its upstream up. */
function passingStream(body: Body, meter: Meter): Body {
  const chunks = body[Symbol.asyncIterator]();
  let ended = false;
  const reader: AsyncIterator<Uint8Array> = {
    async next() {
      while (!ended) {
        const next = await chunks.next();
        ended = next.done === true;
        const value = next.done === true ? meter.end() : meter.pass(next.value);
        if (value !== null) return { done: false, value };
      }
      return { done: true, value: undefined };
    },
    async return() {
      ended = true;
      await chunks.return?.();
      return { done: true, value: undefined };
    },
  };
  return { [Symbol.asyncIterator]: () => reader };
}
