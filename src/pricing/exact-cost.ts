/**
 * What a price rule comes to, as an exact fraction of dollars: for what was measured, for the most that one
 * request can use, or for the most that any request can. One rule for all three, so that a cost within its
 * bounds is never above its hold: every step keeps the order of its inputs.
 */

import { RequestNotPriced } from '../core/errors.ts';
import { ATOMS_MAX, USD } from '../core/money.ts';
import type {
  Discount,
  MeteredPrice,
  Price,
  PriceBase,
  PriceList,
  UnitBase,
  Variant,
} from '../core/price.ts';
import { ceilAt, isLess, minus, ONE, type Ratio, times, ZERO } from '../core/ratio.ts';
import type { Work } from '../core/work.ts';
import { scheduleFactor, surgeFactor } from './factor-at.ts';
import { matchGlob } from './match-glob.ts';
import { usdOf } from './price-terms.ts';
import { type Basis, countOf, type Sum, sumOfUnits } from './sum-of-units.ts';
import type { LineName } from './units.ts';

/** Null where nothing bounds it. Throws RequestNotPriced and RateUnavailable. */
export function exactCost(price: Price, basis: Basis): Sum {
  const { work, measured } = basis;
  // What will run is not known yet: the dearest of all that may.
  if (measured === null && work?.mayRun !== undefined) {
    if (work.mayRun.length === 0) return exactCost(price, { ...basis, work: null });
    return dearest(
      work.mayRun.map((model) => exactCost(price, { ...basis, work: withModel(work, model) })),
    );
  }
  switch (price.kind) {
    case 'free':
      return ZERO;
    case 'flat': {
      const amount = dollarsOf(price.amount);
      basis.lines?.add('calls', 1n, amount);
      return amount;
    }
    case 'service': {
      const max = usdOf(price.max, basis.terms);
      basis.lines?.add('calls', 1n, max);
      return max;
    }
    case 'metered':
      return meteredCost(price, basis);
  }
}

function withModel(work: Work, model: string): Work {
  return { model, bounds: work.bounds, value: (place) => work.value(place) };
}

export function dollarsOf(atoms: bigint): Ratio {
  return { n: atoms, d: 1_000_000n };
}

/** Dollars as atoms: the only rounding there is. Up, and never beyond what can be stored. */
export function atomsOf(sum: Ratio): bigint {
  const atoms = ceilAt(sum, USD.decimals);
  return atoms > ATOMS_MAX ? ATOMS_MAX : atoms;
}

function meteredCost(price: MeteredPrice, basis: Basis): Sum {
  const { terms, payer } = basis;
  let sum = baseCost(price.base, basis);
  sum = scaled('schedule', sum, scheduleFactor(price, terms.atMs), basis);
  sum = scaled('surge', sum, surgeFactor(price, terms.load), basis);
  if (payer !== null) {
    sum = scaled('volume', sum, leftBy(price.volume, payer.monthSpent), basis);
    if (payer.balance !== null)
      sum = scaled('balance', sum, leftBy(price.balance, payer.balance), basis);
  }
  if (price.min !== null) {
    const min = usdOf(price.min, terms);
    if (sum !== null && isLess(sum, min)) sum = changed('min', sum, min, basis);
  }
  if (price.max !== null) {
    const max = usdOf(price.max, terms);
    if (sum === null) return max;
    if (isLess(max, sum)) sum = changed('max', sum, max, basis);
  }
  return sum;
}

function scaled(name: LineName, sum: Sum, factor: Ratio, basis: Basis): Sum {
  return sum === null || factor === ONE ? sum : changed(name, sum, times(sum, factor), basis);
}

function changed(name: LineName, before: Ratio, after: Ratio, { lines }: Basis): Ratio {
  lines?.adjust(name, before, after);
  return after;
}

/** The part that the highest step below an amount leaves. */
function leftBy(steps: readonly Discount[], amount: bigint): Ratio {
  const step = steps.findLast(({ above }) => amount > above);
  return step === undefined ? ONE : minus(ONE, step.off);
}

function baseCost(base: PriceBase, basis: Basis): Sum {
  const { work } = basis;
  switch (base.kind) {
    case 'by':
      return work === null
        ? dearest(base.variants.flatMap(({ price }) => (price ? [exactCost(price, basis)] : [])))
        : exactCost(variantFor(base.place, base.variants, work), basis);
    case 'costPlus':
      return work === null
        ? dearest(base.list.map((listed) => unitsCost(listed.base, basis)))
        : unitsCost(listedFor(base.list, work.model), basis);
    default:
      return unitsCost(base, basis);
  }
}

function unitsCost(base: UnitBase, basis: Basis): Sum {
  if (base.kind === 'per') return sumOfUnits(base.rates, base.freeUnits, basis);
  const count = countOf(base.unit, base.unitMax, basis);
  const tier =
    count === null
      ? base.tiers.at(-1)
      : base.tiers.find(({ upTo }) => upTo === null || count <= BigInt(upTo));
  return sumOfUnits(tier?.rates ?? [], base.freeUnits, basis);
}

/** The greatest, among which null stands for one without bounds. */
function dearest(sums: readonly Sum[]): Sum {
  let most: Ratio = ZERO;
  for (const sum of sums) {
    if (sum === null) return null;
    if (isLess(most, sum)) most = sum;
  }
  return most;
}

function variantFor(place: string, variants: readonly Variant[], work: Work): Price {
  const value = place === 'model' ? work.model : work.value(place);
  const found = variants.find(({ patterns }) =>
    patterns.some((pattern) => pattern === '*' || (value !== null && matchGlob(pattern, value))),
  );
  if (!found?.price) throw notPriced(place, value);
  return found.price;
}

/** Entries that were looked up before: a list may have more than a thousand patterns, and each call asks some times. */
const FOUND = new WeakMap<PriceList, Map<string, UnitBase>>();
/** Names are a payer's: some patterns match any number of them. */
const FOUND_MAX = 1_000;

function listedFor(list: PriceList, model: string | null): UnitBase {
  if (model === null) throw notPriced('model', model);
  const found = FOUND.get(list) ?? new Map<string, UnitBase>();
  FOUND.set(list, found);
  const base = found.get(model) ?? list.find(({ pattern }) => matchGlob(pattern, model))?.base;
  if (base === undefined) throw notPriced('model', model);
  if (found.size >= FOUND_MAX) found.clear();
  found.set(model, base);
  return base;
}

function notPriced(place: string, value: string | null): RequestNotPriced {
  if (value === null) return new RequestNotPriced(`The request names no ${place}.`);
  const shown = JSON.stringify(value.length > 60 ? `${value.slice(0, 59)}…` : value);
  return new RequestNotPriced(`There is no price for ${place} ${shown}.`);
}
