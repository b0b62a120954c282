/** The parts of a price that count units: `per`, `tiers` and `freeUnits`. */

import { closestWord } from '../core/closest-word.ts';
import type { Money, Tier, UnitBase, UnitRate } from '../core/price.ts';
import { isLess } from '../core/ratio.ts';
import type { Units } from '../core/work.ts';
import { allOf, field, type Place, quoted } from './price-problems.ts';
import { countOfText, readCount, readPayable, readRate } from './read-amounts.ts';
import { PLURAL_UNITS, pluralOf, SINGULAR_UNITS, singularOf } from './units.ts';

const PER_HINT = 'Write rates by unit, such as { inputToken: $0.15/1M, outputToken: $0.60/1M }.';

/** Reads `per`. `customUnits` are the route's own units and what one call has of each at most. */
export function readPer(value: unknown, place: Place, customUnits: Units): UnitRate[] | null {
  const fields = place.section(value, null, PER_HINT);
  if (fields === null) return null;
  const entries = Object.entries(fields);
  if (entries.length === 0) return place.refuse('names no unit', PER_HINT);
  const rates = allOf(
    entries.map(([name, text]): UnitRate | null => {
      const own = Object.hasOwn(customUnits, name);
      const unit = pluralOf(name) ?? (own ? name : null);
      const rate = readRate(text, place.in(name));
      if (unit === null) return refuseUnit(name, place, SINGULAR_UNITS, customUnits);
      return rate && { unit, rate, max: own ? (customUnits[name] ?? null) : null };
    }),
  );
  if (rates === null) return null;
  if (rates.every(({ rate }) => rate.value.n === 0n))
    return place.refuse('costs nothing', 'Write price: free, or at least one rate above $0.');
  return rates.sort((a, b) => orderOf(a.unit) - orderOf(b.unit) || (a.unit < b.unit ? -1 : 1));
}

function orderOf(unit: string): number {
  const index = PLURAL_UNITS.indexOf(unit);
  return index < 0 ? PLURAL_UNITS.length : index;
}

function refuseUnit(name: string, place: Place, standard: readonly string[], own: Units): null {
  const known = [...standard, ...Object.keys(own)];
  const meant = closestWord(name, known);
  return place
    .in(name)
    .refuse(
      `${quoted(name)} is not a unit`,
      meant
        ? `Did you mean ${meant}?`
        : `Known: ${known.join(', ')}. Declare others under the route's units.`,
    );
}

/** Reads `freeUnits`: how much of each unit every call has free. */
export function readFreeUnits(value: unknown, place: Place, customUnits: Units): Units | null {
  if (value === undefined) return {};
  const fields = place.section(value, null, 'Write counts by unit, such as { inputTokens: 1000 }.');
  if (fields === null) return null;
  const counts = Object.entries(fields).map(([unit, count]): [string, number] | null => {
    const read = readCount(count, place.in(unit));
    if (unit === 'cachedInputTokens')
      return place
        .in(unit)
        .refuse(
          'are among the input tokens',
          'Write inputTokens: those that are cached count too.',
        );
    if (!PLURAL_UNITS.includes(unit) && !Object.hasOwn(customUnits, unit))
      return refuseUnit(unit, place, PLURAL_UNITS, customUnits);
    return read === null ? null : [unit, read];
  });
  const all = allOf(counts);
  return all && Object.fromEntries(all.sort(([a], [b]) => (a < b ? -1 : 1)));
}

const TIERS_HINT =
  'Write tiers: { inputTokens: { upTo 8k: { per: … }, above: { per: … } } }, the smallest first.';

type Tiers = Omit<Extract<UnitBase, { kind: 'tiers' }>, 'freeUnits'>;

/** Reads `tiers`: the whole call is priced by the tier that one of its units falls into. */
export function readTiers(value: unknown, place: Place, customUnits: Units): Tiers | null {
  const fields = place.section(value, null, TIERS_HINT);
  if (fields === null) return null;
  const [unit, ...others] = Object.keys(fields);
  if (unit === undefined || others.length > 0)
    return place.refuse('must name one unit that decides', TIERS_HINT);
  const inside = place.in(unit);
  const own = Object.hasOwn(customUnits, unit);
  if (!own && !PLURAL_UNITS.includes(unit))
    return refuseUnit(unit, place, PLURAL_UNITS, customUnits);
  const steps = inside.section(field(fields, unit), null, TIERS_HINT);
  if (steps === null) return null;
  const tiers = allOf(
    Object.entries(steps).map(([key, tier]) => readTier(key, tier, inside.in(key), customUnits)),
  );
  if (tiers === null || !isAscending(tiers, inside)) return null;
  return {
    ...{ kind: 'tiers', unit, tiers },
    unitMax: own ? (customUnits[unit] ?? null) : null,
  };
}

function readTier(key: string, value: unknown, place: Place, customUnits: Units): Tier | null {
  const upTo = key === 'above' ? null : countOfText(/^upTo (\w+)$/.exec(key)?.[1]);
  if (key !== 'above' && (upTo === null || upTo < 1))
    return place.refuse(`${quoted(key)} is not a tier`, 'Write upTo 8k, upTo 1M or above.');
  if (typeof value === 'string') {
    const rate = readPayable(value, place);
    return rate && { upTo, rates: [{ unit: 'calls', rate, max: null }] };
  }
  const fields = place.section(value, ['per'], TIERS_HINT);
  const rates = fields && readPer(field(fields, 'per'), place.in('per'), customUnits);
  return rates && { upTo, rates };
}

/** A larger call in a cheaper tier could cost less than a smaller one, and no maximum would hold. */
function isAscending(tiers: readonly Tier[], place: Place): boolean {
  const last = tiers.at(-1);
  if (last === undefined || last.upTo !== null || tiers.length < 2) {
    place.refuse('does not end with above', TIERS_HINT);
    return false;
  }
  const currencies = new Set(tiers.flatMap(({ rates }) => rates.map(({ rate }) => rate.currency)));
  if (currencies.size > 1) {
    place.refuse('mixes currencies', 'Write all rates of these tiers in one currency.');
    return false;
  }
  for (const [index, tier] of tiers.slice(1).entries()) {
    const before = tiers[index];
    if (before === undefined) continue;
    if (before.upTo === null || (tier.upTo !== null && tier.upTo <= before.upTo)) {
      place.refuse('does not go from small to large', TIERS_HINT);
      return false;
    }
    const cheaper = cheaperUnit(before, tier);
    if (cheaper !== null) {
      place.refuse(
        `${singularOf(cheaper)} is cheaper in a larger tier, so that a larger call could cost less`,
        'Write rates that do not fall; for discounts use volume.',
      );
      return false;
    }
  }
  return true;
}

function cheaperUnit(small: Tier, large: Tier): string | null {
  const units = new Set([...small.rates, ...large.rates].map(({ unit }) => unit));
  for (const unit of units) if (isLess(rateIn(large, unit), rateIn(small, unit))) return unit;
  return null;
}

/** Cached input tokens without a rate of their own cost what the others do. */
function rateIn({ rates }: Tier, unit: string): Money['value'] {
  const found = rates.find((rate) => rate.unit === unit)?.rate.value;
  if (found !== undefined) return found;
  return unit === 'cachedInputTokens'
    ? rateIn({ upTo: null, rates }, 'inputTokens')
    : { n: 0n, d: 1n };
}
