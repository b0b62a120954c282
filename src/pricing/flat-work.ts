import type { Measured, Work } from '../core/work.ts';
import type { PriceTerms } from './price-terms.ts';

/** A request of which nothing is known: one call. It is all that a flat price depends on. */
export const FLAT_WORK: Work = { model: null, bounds: { calls: 1 }, value: () => null };

/** One call was answered, and nothing else was measured. */
export const FLAT_MEASURED: Measured = { units: { calls: 1 }, by: 'none' };

/** Terms for prices in dollars that depend on no load. */
export function flatTerms(atMs: number): PriceTerms {
  return { atMs, load: 0, rates: {} };
}
