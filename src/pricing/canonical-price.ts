import type { Price } from '../core/route.ts';

/** A price rule as JSON with sorted keys: the same text for equal rules, and only for those. */
export function canonicalPrice(price: Price): string {
  const rule: Record<string, string> =
    price.kind === 'free'
      ? { kind: price.kind }
      : { amount: price.amount.toString(), kind: price.kind };
  return JSON.stringify(rule);
}
