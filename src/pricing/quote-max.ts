import { ATOMS_MAX } from '../core/money.ts';
import type { Price } from '../core/price.ts';
import type { Work } from '../core/work.ts';
import { atomsOf, exactCost } from './exact-cost.ts';
import type { PriceTerms } from './price-terms.ts';

/**
 * The most that this very request may cost, in USD atoms, never above the price's own `max`. Throws
 * RequestNotPriced for what the price refuses, and RateUnavailable.
 */
export function quoteMax(price: Price, work: Work, terms: PriceTerms): bigint {
  if (price.kind === 'flat') return price.amount;
  const most = exactCost(price, { work, terms, measured: null, payer: null, lines: null });
  // Without any bound nobody can pay: the config refuses such a price.
  return most === null ? ATOMS_MAX : atomsOf(most);
}
