/** What a reading of an outside rate is worth: pure, so that whoever reads it only has to fetch. */

import { MoneyFormatError } from '../core/money.ts';
import { isLess, minus, parseRatio, type Ratio, times } from '../core/ratio.ts';
import type { Rate, Rates } from './price-terms.ts';

/** Where the value of a currency comes from. */
export type RateSource =
  | { readonly kind: 'fixed'; readonly usd: Ratio }
  | {
      readonly kind: 'read';
      readonly url: string;
      /** Keys from the root of its JSON body. */
      readonly json: readonly string[];
      readonly everyMs: number;
      readonly staleAfterMs: number;
      /** The part by which a reading may differ from the one before. */
      readonly tolerance: Ratio;
    };

/** The rates that need no reading. */
export function fixedRates(sources: Readonly<Record<string, RateSource>>): Rates {
  return Object.fromEntries(
    Object.entries(sources).flatMap(([symbol, source]) =>
      source.kind === 'fixed' ? [[symbol, { usd: source.usd, staleAtMs: null }]] : [],
    ),
  );
}

/**
 * The rate that a JSON body states; null for one that is not believed: no positive decimal there, or too far
 * from a previous one that still counts. One that is stale counts for nothing, so a real jump is believed
 * in the end, after prices that need it were refused for a while.
 */
export function nextRate(
  source: Extract<RateSource, { kind: 'read' }>,
  body: unknown,
  previous: Rate | null,
  atMs: number,
): Rate | null {
  const usd = positiveAt(body, source.json);
  if (usd === null) return null;
  const isFresh = previous?.staleAtMs != null && atMs < previous.staleAtMs;
  if (previous !== null && isFresh) {
    const change = minus(usd, previous.usd);
    const size = change.n < 0n ? { n: -change.n, d: change.d } : change;
    if (isLess(times(previous.usd, source.tolerance), size)) return null;
  }
  return { usd, staleAtMs: atMs + source.staleAfterMs };
}

function positiveAt(body: unknown, path: readonly string[]): Ratio | null {
  let node = body;
  for (const key of path)
    node =
      typeof node === 'object' && node !== null && Object.hasOwn(node, key)
        ? (node as Readonly<Record<string, unknown>>)[key]
        : undefined;
  if (typeof node !== 'string' && typeof node !== 'number') return null;
  try {
    const ratio = parseRatio(String(node));
    return ratio.n > 0n ? ratio : null;
  } catch (error) {
    if (error instanceof MoneyFormatError) return null;
    throw error;
  }
}
