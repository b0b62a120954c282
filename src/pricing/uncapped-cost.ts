import type { Price } from '../core/price.ts';
import type { Measured, Work } from '../core/work.ts';
import { atomsOf, exactCost } from './exact-cost.ts';
import type { PriceTerms } from './price-terms.ts';

const uncapped = new WeakMap<Price, Price>();

/**
 * USD atoms that a request would come to if no `max` capped its price: for what was measured, or the most (null);
 * null where nothing but `max` bounds it.
 */
export function uncappedCost(
  price: Price,
  work: Work,
  terms: PriceTerms,
  measured: Measured | null,
): bigint | null {
  const open = uncapped.get(price) ?? withoutMax(price);
  uncapped.set(price, open);
  const exact = exactCost(open, { work, terms, measured, payer: null, lines: null });
  return exact === null ? null : atomsOf(exact);
}

function withoutMax(price: Price): Price {
  if (price.kind !== 'metered') return price;
  const { base } = price;
  if (base.kind !== 'by') return { ...price, max: null };
  const variants = base.variants.map((variant) => ({
    ...variant,
    price: variant.price && withoutMax(variant.price),
  }));
  return { ...price, max: null, base: { ...base, variants } };
}
