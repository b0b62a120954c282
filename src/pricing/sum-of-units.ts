/** Σ units × rate: what a request used, or uses at most, in dollars. */

import type { UnitRate } from '../core/price.ts';
import { isLess, plus, type Ratio, ZERO } from '../core/ratio.ts';
import type { Measured, Units, Work } from '../core/work.ts';
import { type PayerFacts, type PriceTerms, usdOf } from './price-terms.ts';
import type { UsageLines } from './usage-lines.ts';

/** What a price is worked out for. */
export interface Basis {
  /** Null: for every request that there can be. */
  readonly work: Work | null;
  readonly terms: PriceTerms;
  /** Null: the most. */
  readonly measured: Measured | null;
  readonly payer: PayerFacts | null;
  readonly lines: UsageLines | null;
}

/** Dollars, or null where nothing bounds what may be used. */
export type Sum = Ratio | null;

const INPUT = 'inputTokens';
const CACHED = 'cachedInputTokens';

/** Adds up what the rates charge; a rate of nothing charges nothing, however much is used. */
export function sumOfUnits(rates: readonly UnitRate[], freeUnits: Units, basis: Basis): Sum {
  const cached = rates.find(({ unit }) => unit === CACHED);
  if (cached === undefined) return sumOf(rates, freeUnits, basis, 0n);
  const input = countOf(INPUT, maxOf(rates, INPUT), basis);
  // Cached tokens are among the input tokens, so there are never more of them.
  const count = smaller(countOf(CACHED, cached.max, basis), input);
  if (basis.measured !== null) return sumOf(rates, freeUnits, basis, count ?? 0n);
  // The dearest split is one of the two ends: all that can be cached, or nothing.
  const none = sumOf(rates, freeUnits, basis, 0n);
  const all = count === null ? null : sumOf(rates, freeUnits, basis, count);
  return none === null || all === null ? null : isLess(none, all) ? all : none;
}

function sumOf(
  rates: readonly UnitRate[],
  freeUnits: Units,
  basis: Basis,
  cachedCount: bigint,
): Sum {
  let sum: Sum = ZERO;
  for (const { unit, rate, max } of rates) {
    const price = usdOf(rate, basis.terms);
    const all = unit === CACHED ? cachedCount : countOf(unit, max, basis);
    if (all === null) {
      if (price.n !== 0n) sum = null;
      continue;
    }
    const count = unit === INPUT ? all - cachedCount : all;
    const allowance =
      unit === CACHED
        ? freeCached(rates, freeUnits, basis, cachedCount)
        : freeOf(unit, freeUnits, basis);
    const free = least(allowance, count);
    basis.lines?.add(unit, count, price);
    basis.lines?.addFree(unit, free, price);
    if (sum !== null) sum = plus(sum, { n: price.n * (count - free), d: price.d });
  }
  return sum;
}

/** What is left for cached tokens of the allowance of input tokens, which the others use up first. */
function freeCached(
  rates: readonly UnitRate[],
  freeUnits: Units,
  basis: Basis,
  cachedCount: bigint,
): bigint {
  const input = countOf(INPUT, maxOf(rates, INPUT), basis);
  if (input === null) return 0n;
  const left = freeOf(INPUT, freeUnits, basis) - (input - cachedCount);
  return left < 0n ? 0n : left;
}

/** How much of a unit there is: measured, or at most; null where nothing bounds it. */
export function countOf(unit: string, max: number | null, basis: Basis): bigint | null {
  if (basis.measured !== null) {
    const count = wholeOf(own(basis.measured.units, unit) ?? (unit === 'calls' ? 1 : 0));
    return max === null ? count : least(count, BigInt(max));
  }
  const bound = own(basis.work?.bounds ?? {}, unit);
  // A bound that is no count bounds nothing: then the price's own maximum has to.
  const known = bound !== undefined && Number.isSafeInteger(bound) && bound >= 0;
  if (known) return BigInt(max === null ? bound : Math.min(bound, max));
  if (max !== null) return BigInt(max);
  return unit === 'calls' ? 1n : null;
}

/** What a meter read is outside input: anything that is not a count becomes the nearest one. */
function wholeOf(count: number): bigint {
  if (!(count > 0)) return 0n;
  return BigInt(Math.min(Math.ceil(count), Number.MAX_SAFE_INTEGER));
}

function freeOf(unit: string, freeUnits: Units, { payer }: Basis): bigint {
  return wholeOf(own(freeUnits, unit) ?? 0) + wholeOf(own(payer?.freeUnitsLeft ?? {}, unit) ?? 0);
}

function own(units: Units, unit: string): number | undefined {
  return Object.hasOwn(units, unit) ? units[unit] : undefined;
}

function maxOf(rates: readonly UnitRate[], unit: string): number | null {
  return rates.find((rate) => rate.unit === unit)?.max ?? null;
}

function least(a: bigint, b: bigint): bigint {
  return a < b ? a : b;
}

function smaller(a: bigint | null, b: bigint | null): bigint | null {
  if (a === null || b === null) return a ?? b;
  return least(a, b);
}
