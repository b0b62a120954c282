/** `GET /_pay/usage`: what an API key's calls of the last days came to, by day and route. */

import { utcDay } from '../core/clock.ts';
import { KeyUnknown, RequestMalformed } from '../core/errors.ts';
import type { Answer, Exchange } from '../core/exchange.ts';
import { formatDecimal, USD } from '../core/money.ts';
import { parseTarget } from '../core/path.ts';
import type { RouteDay } from '../core/ports/usage-days.ts';
import { jsonAnswer } from './answers.ts';
import type { RequestParts } from './parts.ts';
import { payerUsage } from './payer-usage.ts';

const DAYS = 30;
const DAYS_MAX = 366;
const DAY_MS = 86_400_000;
/** The sums of a key are as old as this at most: adding them up anew costs more the more it was used. */
const FRESH_MS = 5_000;

/** Throws KeyUnknown and RequestMalformed. */
export async function answerUsage(parts: RequestParts, exchange: Exchange): Promise<Answer> {
  const key = await parts.keyOf(exchange);
  if (!key) throw new KeyUnknown('Send the API key whose usage you ask for.');
  const count = daysOf(exchange);
  const nowMs = parts.clock.now();
  const fromMs = (Math.floor(nowMs / DAY_MS) - count + 1) * DAY_MS;
  const asked = { payer: `key:${key.id}`, sinceMs: fromMs };
  const days = await payerUsage(parts.ledger, asked, nowMs, FRESH_MS);
  return jsonAnswer(200, {
    key: key.prefix,
    currency: USD.symbol,
    from: utcDay(fromMs),
    to: utcDay(nowMs),
    total: sum(days),
    days: grouped(days, ({ day }) => day).map(([day, ofDay]) => ({
      day,
      ...sum(ofDay),
      routes: byRoute(ofDay),
    })),
    routes: byRoute(days),
  });
}

function daysOf(exchange: Exchange): number {
  const text = new URLSearchParams(parseTarget(exchange.target).query).get('days');
  const days = text === null ? DAYS : Number(text);
  if (text !== null && !(/^\d{1,3}$/.test(text) && days >= 1 && days <= DAYS_MAX))
    throw new RequestMalformed(`days is not a number from 1 to ${DAYS_MAX}.`);
  return days;
}

interface Sum {
  readonly calls: number;
  readonly cost: string;
}

function sum(days: readonly RouteDay[]): Sum {
  const cost = days.reduce((all, one) => all + one.cost, 0n);
  return {
    calls: days.reduce((all, one) => all + one.calls, 0),
    cost: formatDecimal(cost, USD.decimals),
  };
}

function byRoute(days: readonly RouteDay[]): (Sum & { readonly route: string })[] {
  return grouped(days, ({ route }) => route).map(([route, ofRoute]) => ({
    route,
    ...sum(ofRoute),
  }));
}

function grouped(
  days: readonly RouteDay[],
  nameOf: (one: RouteDay) => string,
): [string, RouteDay[]][] {
  const groups = new Map<string, RouteDay[]>();
  for (const one of days) groups.set(nameOf(one), [...(groups.get(nameOf(one)) ?? []), one]);
  return [...groups].sort(([a], [b]) => (a < b ? -1 : 1));
}
