import type { Price } from '../core/price.ts';

/** A price rule as JSON with sorted keys: the same text for equal rules, and only for those. */
export function canonicalPrice(price: Price): string {
  return JSON.stringify(canonical(price));
}

/**
 * Numbers are kept in lowest terms and lists in the order in which they count, so that equal rules are equal
 * data. What a rule leaves out is left out of its text: a rule that is older than a feature keeps its text.
 */
function canonical(value: unknown): unknown {
  if (typeof value === 'bigint') return value.toString();
  if (Array.isArray(value)) return value.map(canonical);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .filter(([, item]) => !isEmpty(item))
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([key, item]) => [key, canonical(item)]),
  );
}

function isEmpty(value: unknown): boolean {
  if (typeof value !== 'object') return value === undefined;
  return value === null || Object.keys(value).length === 0;
}
