import { MoneyFormatError, parseUsd } from '../core/money.ts';
import type { MeteredPrice, Money, Price, PriceBase, UnitRate, Variant } from '../core/price.ts';
import { isLess, ONE, plus, type Ratio, ratioOf } from '../core/ratio.ts';
import type { Units } from '../core/work.ts';
import { allOf, field, Place, PriceFormatError, quoted } from './price-problems.ts';
import { readPayable, readPercent } from './read-amounts.ts';
import { readDiscounts, readSchedule, readSurge } from './read-changes.ts';
import { readFreeUnits, readPer, readTiers } from './read-units.ts';
import { unitWords } from './units.ts';

/** What a price may refer to. */
export interface PriceSurroundings {
  /** The route's own units, and what one call has of each at most. */
  readonly customUnits?: Units;
  /** True where something else already bounds what a call may cost. */
  readonly isCapped?: boolean;
}

interface Context {
  readonly customUnits: Units;
  readonly isCapped: boolean;
  /** 0 for the price itself, more for a variant inside. */
  readonly depth: number;
}

const DEPTH_MAX = 4;
const BASES = ['per', 'tiers', 'by', 'costPlus', 'service'] as const;
const CHANGES = ['min', 'max', 'schedule', 'surge', 'volume', 'balance'] as const;
const KEYS: readonly string[] = [...BASES, 'freeUnits', ...CHANGES];
const PRICE_HINT =
  'Write $0.006, free, or rates such as { per: { inputToken: $0.15/1M }, max: $0.05 }.';

/**
 * Reads `free`, money per call such as `$0.006`, or a metered price such as
 * `{ per: { inputToken: $0.15/1M }, max: $0.05 }`. Throws PriceFormatError.
 */
export function parsePrice(rule: unknown, surroundings: PriceSurroundings = {}): Price {
  const place = new Place();
  const { customUnits = {}, isCapped = false } = surroundings;
  const price = readPrice(rule, place, { customUnits, isCapped, depth: 0 });
  if (price === null || place.problems.length > 0) throw new PriceFormatError(place.problems);
  return price;
}

function readPrice(rule: unknown, place: Place, context: Context): Price | null {
  if (typeof rule === 'string') return readText(rule, place);
  if (typeof rule === 'number')
    return place.refuse(
      `${rule} is a bare number, not dollars`,
      `Write it with a dollar sign, such as $${Number.isFinite(rule) ? rule : '0.006'}.`,
    );
  if (rule === undefined || rule === null) return place.refuse('a price is missing', PRICE_HINT);
  return readRule(rule, place, context);
}

function readText(text: string, place: Place): Price | null {
  if (text === 'free') return { kind: 'free' };
  if (/^\$?[\d.]+[^/]*\//.test(text))
    return place.refuse(
      `${quoted(text)} is a rate, not a price`,
      `Write per: { inputToken: ${text} }.`,
    );
  if (!text.startsWith('$') && /^\d/.test(text)) {
    const rate = readPayable(text, place);
    return rate && perCall(rate);
  }
  try {
    const amount = parseUsd(text);
    if (amount > 0n) return { kind: 'flat', amount };
  } catch (error) {
    if (!(error instanceof MoneyFormatError)) throw error;
    return place.refuse(
      error.message,
      'Write dollars with at most six decimals, such as $0.006, or free.',
    );
  }
  return place.refuse(
    `"${text}" costs nothing`,
    'Write free: such a route needs no payment and no store.',
  );
}

function readRule(rule: unknown, place: Place, context: Context): Price | null {
  const fields = place.section(rule, KEYS, PRICE_HINT);
  if (fields === null) return null;
  const [base, another] = BASES.filter((key) => field(fields, key) !== undefined);
  if (base === undefined) place.refuse('does not say what is priced', PRICE_HINT);
  if (another !== undefined)
    place.refuse(`has both ${base} and ${another}`, 'Keep one of the two.');
  const max = readLimit(field(fields, 'max'), place.in('max'));
  if (base === 'service') return readService(fields, max, place, context);
  const isCapped = context.isCapped || field(fields, 'max') !== undefined;
  const changes = {
    min: readLimit(field(fields, 'min'), place.in('min')),
    max,
    schedule: readSchedule(field(fields, 'schedule'), place.in('schedule')),
    surge: readSurge(field(fields, 'surge'), place.in('surge')),
    volume: readDiscounts(field(fields, 'volume'), place.in('volume')),
    balance: readDiscounts(field(fields, 'balance'), place.in('balance')),
  };
  const read = base ? readBase(base, fields, place, { ...context, isCapped }) : null;
  if (isAbove(changes.min, max))
    place.in('min').refuse('is more than max', 'Write a min that is not above max.');
  if (read === null) return null;
  const { schedule, surge, volume, balance } = changes;
  if (schedule === null || surge === null || volume === null || balance === null) return null;
  return simplest({ kind: 'metered', base: read, ...changes, schedule, surge, volume, balance });
}

function readLimit(value: unknown, place: Place): Money | null {
  return value === undefined ? null : readPayable(value, place);
}

/** Amounts in different currencies can only be compared once there are rates: then `max` wins. */
function isAbove(min: Money | null, max: Money | null): boolean {
  return min && max && min.currency === max.currency ? isLess(max.value, min.value) : false;
}

type BaseKey = Exclude<(typeof BASES)[number], 'service'>;
type Fields = Readonly<Record<string, unknown>>;

function readBase(key: BaseKey, fields: Fields, place: Place, context: Context): PriceBase | null {
  const { customUnits } = context;
  const value = field(fields, key);
  const free = field(fields, 'freeUnits');
  if (free !== undefined && key !== 'per' && key !== 'tiers')
    place.in('freeUnits').refuse('belongs beside per or tiers', `Move it into ${key}.`);
  switch (key) {
    case 'by':
      return readBy(value, place.in('by'), context);
    case 'costPlus':
      return readCostPlus(value, place, context);
    case 'per': {
      const rates = readPer(value, place.in('per'), customUnits);
      const freeUnits = readFreeUnits(free, place.in('freeUnits'), customUnits);
      if (rates !== null) checkBounded(rates, place, context);
      return rates && freeUnits && { kind: 'per', rates, freeUnits };
    }
    case 'tiers': {
      const tiers = readTiers(value, place.in('tiers'), customUnits);
      const freeUnits = readFreeUnits(free, place.in('freeUnits'), customUnits);
      if (tiers !== null)
        checkBounded(
          tiers.tiers.flatMap(({ rates }) => rates),
          place,
          context,
        );
      return tiers && freeUnits && { ...tiers, freeUnits };
    }
  }
}

/** Without a maximum nobody could say what a call costs at most before it runs. */
function checkBounded(rates: readonly UnitRate[], place: Place, { isCapped }: Context): void {
  const open = rates.find(
    ({ unit, max, rate }) => unit !== 'calls' && max === null && rate.value.n > 0n,
  );
  if (open !== undefined && !isCapped)
    place
      .in('max')
      .refuse(
        `is missing: nothing else bounds the ${unitWords(open.unit, 'many')} of a call`,
        'Add the most that one call may cost, such as max: $0.05.',
      );
}

function readCostPlus(value: unknown, place: Place, { isCapped }: Context): PriceBase | null {
  const inside = place.in('costPlus');
  const fields = inside.section(value, ['markup'], 'Write costPlus: { markup: 20% }.');
  const markup = fields && readPercent(field(fields, 'markup'), inside.in('markup'), MARKUP_MAX);
  if (!isCapped)
    place.in('max').refuse('is missing: list prices are per token', 'Add it, such as max: $0.50.');
  if (markup === null) return null;
  const { n, d } = plus(ONE, markup);
  return { kind: 'costPlus', factor: ratioOf(n, d), list: [] };
}

const MARKUP_MAX: Ratio = ratioOf(100n);
const BY_HINT = 'Write by: { model: { "gpt-4o*": $0.01, "*": refuse } }.';
const PLACE = /^(model|body(\.[A-Za-z0-9_-]{1,64}){1,8}|header\.[a-z0-9-]{1,64})$/;

function readBy(value: unknown, place: Place, context: Context): PriceBase | null {
  const fields = place.section(value, null, BY_HINT);
  if (fields === null) return null;
  const [by, ...others] = Object.keys(fields);
  if (by === undefined || others.length > 0)
    return place.refuse('must name one value that decides', BY_HINT);
  const inside = place.in(by);
  if (!PLACE.test(by))
    return inside.refuse(
      `${quoted(by)} is not a value of a request`,
      'Write model, body.size or header.x-tier (in lower case).',
    );
  if (context.depth >= DEPTH_MAX)
    return inside.refuse('is nested too deeply', 'Remove the inner levels.');
  const cases = inside.section(field(fields, by), null, BY_HINT);
  if (cases === null) return null;
  const deeper = { ...context, depth: context.depth + 1 };
  const keys = Object.keys(cases);
  const variants = allOf(
    keys.map((key): Variant | null => readVariant(key, cases[key], inside.in(key), deeper)),
  );
  if (keys.at(-1) !== '*')
    return inside.refuse(
      'does not end with "*"',
      'Add "*" with a price, or "*": refuse, as the last one: what matches nothing else.',
    );
  return variants && { kind: 'by', place: by, variants };
}

function readVariant(key: string, rule: unknown, place: Place, context: Context): Variant | null {
  const patterns = key.split('|').map((pattern) => pattern.trim());
  if (patterns.some((pattern) => pattern === '' || pattern.length > 200))
    return place.refuse('is not a pattern', 'Write a value such as gpt-4o, gpt-4o* or a* | b*.');
  if (key !== '*' && patterns.includes('*'))
    return place.refuse('matches everything', 'Write "*" alone.');
  if (rule === 'refuse') return { patterns, price: null };
  const price = readPrice(rule, place, context);
  return price && { patterns, price };
}

function readService(
  fields: Fields,
  max: Money | null,
  place: Place,
  { depth }: Context,
): Price | null {
  const inside = place.in('service');
  for (const key of Object.keys(fields))
    if (key !== 'service' && key !== 'max' && KEYS.includes(key))
      place.in(key).refuse('has no effect beside service', 'Remove it: the service decides.');
  if (depth > 0) return inside.refuse('cannot stand inside by', 'Move it to the route.');
  const hint = 'Write service: { url: https://prices.example.com/quote, timeout: 500ms }.';
  const own = inside.section(field(fields, 'service'), ['url', 'timeout'], hint);
  if (own === null) return null;
  const url = field(own, 'url');
  const timeoutMs = timeoutOf(field(own, 'timeout') ?? '1s');
  if (typeof url !== 'string' || !/^https?:\/\/[^\s@#]+$/.test(url))
    inside.in('url').refuse(`${quoted(url)} is not an http or https URL`, hint);
  if (timeoutMs === null)
    inside.in('timeout').refuse('is not between 1ms and 30s', 'Write for example 500ms.');
  if (field(fields, 'max') === undefined)
    place.in('max').refuse('is missing', 'Add the most that the service may ask, such as $0.05.');
  if (typeof url !== 'string' || timeoutMs === null || max === null) return null;
  return { kind: 'service', url, timeoutMs, max };
}

/** `500ms` or `2s`, up to 30 seconds; null for anything else. */
function timeoutOf(value: unknown): number | null {
  const match = typeof value === 'string' ? /^(\d{1,5})(ms|s)$/.exec(value) : null;
  const timeMs = Number(match?.[1] ?? 0) * (match?.[2] === 's' ? 1000 : 1);
  return timeMs >= 1 && timeMs <= 30_000 ? timeMs : null;
}

function perCall(rate: Money): MeteredPrice {
  return {
    ...{ kind: 'metered', min: null, max: null, schedule: [], surge: [], volume: [], balance: [] },
    base: { kind: 'per', rates: [{ unit: 'calls', rate, max: null }], freeUnits: {} },
  };
}

/** A rule that is nothing but dollars per call is a flat price: equal rules are equal data. */
function simplest(price: MeteredPrice): Price {
  const { base, min, max, schedule, surge, volume, balance } = price;
  if (base.kind !== 'per' || base.rates.length !== 1 || Object.keys(base.freeUnits).length > 0)
    return price;
  const [only] = base.rates;
  const changes = schedule.length + surge.length + volume.length + balance.length;
  if (min !== null || max !== null || changes > 0) return price;
  if (only?.unit !== 'calls' || only.rate.currency !== 'USD') return price;
  const { n, d } = only.rate.value;
  return 1_000_000n % d === 0n ? { kind: 'flat', amount: (n * 1_000_000n) / d } : price;
}
