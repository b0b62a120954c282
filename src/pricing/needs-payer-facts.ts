import type { Price } from '../core/price.ts';

/** Whether a price takes something off for what its payer has spent or keeps. */
export function needsPayerFacts(price: Price): boolean {
  if (price.kind !== 'metered') return false;
  if (price.volume.length > 0 || price.balance.length > 0) return true;
  const { base } = price;
  return base.kind === 'by' && base.variants.some((one) => one.price && needsPayerFacts(one.price));
}
