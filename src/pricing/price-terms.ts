import { RateUnavailable } from '../core/errors.ts';
import type { Money } from '../core/price.ts';
import { ONE, type Ratio, times } from '../core/ratio.ts';

/** What a price depends on besides the request: fixed when the quote is issued, so that it can be honoured later. */
export interface PriceTerms {
  readonly atMs: number;
  /** From 0 to 1: how much of the gateway's own concurrency is in use, in steps. */
  readonly load: number;
  readonly rates: Rates;
}

/** What one whole unit of a currency is worth, by its symbol: `BTC`, `EURC`. Sat follow `BTC`. */
export type Rates = Readonly<Record<string, Rate>>;

export interface Rate {
  readonly usd: Ratio;
  /** From then on it is not believed; null: it is fixed. */
  readonly staleAtMs: number | null;
}

/** What a payer is known for; discounts need it. */
export interface PayerFacts {
  /** USD atoms of this month's captured costs, before this one. */
  readonly monthSpent: bigint;
  /** USD atoms; null for a payer without a prepaid balance. */
  readonly balance: bigint | null;
  /** Units that this payer still has free, on top of what the price gives to every call. */
  readonly freeUnitsLeft?: Readonly<Record<string, number>>;
}

const SAT_IN_BTC: Ratio = { n: 1n, d: 100_000_000n };

/** The symbol whose rate a currency needs; null for dollars. */
export function rateSymbol(currency: string): string | null {
  if (currency === 'USD') return null;
  return currency === 'sat' ? 'BTC' : currency;
}

/** An amount in dollars, exactly; throws RateUnavailable for a currency without a fresh rate. */
export function usdOf({ currency, value }: Money, terms: PriceTerms): Ratio {
  if (currency === 'USD') return value;
  return times(value, usdPerUnit(currency, terms));
}

function usdPerUnit(currency: string, terms: PriceTerms): Ratio {
  const symbol = rateSymbol(currency);
  if (symbol === null) return ONE;
  const rate = Object.hasOwn(terms.rates, symbol) ? terms.rates[symbol] : undefined;
  if (rate === undefined)
    throw new RateUnavailable(`What ${symbol} is worth in dollars is not known now.`);
  // Not "atMs < staleAtMs": a time that is no number must fail closed as well.
  if (rate.staleAtMs !== null && !(terms.atMs < rate.staleAtMs))
    throw new RateUnavailable(`What ${symbol} was last worth in dollars is too old to be used.`);
  return currency === 'sat' ? times(rate.usd, SAT_IN_BTC) : rate.usd;
}
