import type { Price } from '../core/price.ts';
import { matchGlob } from './match-glob.ts';

/** What one model costs under a price for many, and where in the price list that stands. */
export interface ModelPrice {
  readonly price: Price;
  /** Null for a price that is no list price. */
  readonly listedAs: string | null;
}

/** The part of a price that counts for a model by its full name; null where there is none. */
export function priceOfModel(price: Price, model: string): ModelPrice | null {
  if (price.kind !== 'metered') return { price, listedAs: null };
  const { base } = price;
  if (base.kind === 'costPlus') {
    const listed = base.list.find(({ pattern }) => matchGlob(pattern, model));
    return listed ? { price: { ...price, base: listed.base }, listedAs: listed.pattern } : null;
  }
  if (base.kind !== 'by' || base.place !== 'model') return { price, listedAs: null };
  const variant = base.variants.find(({ patterns }) =>
    patterns.some((pattern) => matchGlob(pattern, model)),
  );
  return variant?.price ? priceOfModel(variant.price, model) : null;
}
