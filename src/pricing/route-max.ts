import type { Price } from '../core/price.ts';
import { atomsOf, exactCost } from './exact-cost.ts';
import type { PriceTerms } from './price-terms.ts';

/** The most that any request may cost, in USD atoms; null where only a request bounds it. Throws RateUnavailable. */
export function routeMax(price: Price, terms: PriceTerms): bigint | null {
  if (price.kind === 'flat') return price.amount;
  const most = exactCost(price, { work: null, terms, measured: null, payer: null, lines: null });
  return most === null ? null : atomsOf(most);
}
