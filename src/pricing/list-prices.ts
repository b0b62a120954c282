/** List prices as they are published, by model: exact fractions for the rates of a price. */

import type { PriceList, UnitBase, UnitRate } from '../core/price.ts';
import { isLess, minus, parseRatio, type Ratio, ratioOf, ZERO } from '../core/ratio.ts';

/** Which names of models a published price is for. */
export type MatchRule =
  | { readonly or: readonly MatchRule[] }
  | { readonly and: readonly MatchRule[] }
  | { readonly equals: string }
  | { readonly starts_with: string }
  | { readonly ends_with: string }
  | { readonly contains: string }
  | { readonly regex: string };

/** One amount, or one that is dearer for calls of more input tokens than `start`. */
type PublishedAmount =
  | number
  | {
      readonly base: number;
      readonly tiers: readonly { readonly start: number; readonly price: number }[];
    };

type PublishedRates = Readonly<Record<string, PublishedAmount | undefined>>;

interface ConditionalRates {
  readonly constraint?:
    | { readonly type: 'start_date'; readonly start_date: string }
    | { readonly type: 'time_of_date' };
  readonly prices: PublishedRates;
}

/** One model as the package of prices describes it; amounts in dollars per million, thousand or hour. */
export interface PublishedModel {
  readonly id: string;
  readonly match: MatchRule;
  readonly prices: PublishedRates | readonly ConditionalRates[];
  readonly context_window?: number;
  readonly deprecated?: boolean;
}

export interface ListedModel {
  readonly id: string;
  /** Patterns of its names in the price list. */
  readonly patterns: readonly string[];
  readonly base: UnitBase;
  readonly contextTokens: number | null;
  readonly isDeprecated: boolean;
}

const MILLION = 1_000_000n;
const THOUSAND = 1_000n;
const HOUR = 3_600n;

/** Keys by the unit that they price, in the order of the units; `over`: what the unit is charged on top of. */
const UNITS: readonly {
  readonly unit: string;
  readonly keys: readonly string[];
  readonly per: bigint;
  readonly over?: string;
}[] = [
  { unit: 'calls', keys: ['requests_kcount'], per: THOUSAND },
  { unit: 'inputTokens', keys: ['input_mtok'], per: MILLION },
  { unit: 'cachedInputTokens', keys: ['cache_read_mtok'], per: MILLION },
  { unit: 'outputTokens', keys: ['output_mtok'], per: MILLION },
  { unit: 'audioSeconds', keys: ['input_audio_hours', 'audio_hours'], per: HOUR },
  { unit: 'webSearches', keys: ['web_searches_kcount'], per: THOUSAND },
  {
    ...{ unit: 'cacheWriteInputTokens', keys: ['cache_write_mtok'], per: MILLION },
    over: 'input_mtok',
  },
  { unit: 'inputAudioTokens', keys: ['input_audio_mtok'], per: MILLION, over: 'input_mtok' },
  { unit: 'outputAudioTokens', keys: ['output_audio_mtok'], per: MILLION, over: 'output_mtok' },
  { unit: 'reasoningTokens', keys: ['output_reasoning_mtok'], per: MILLION, over: 'output_mtok' },
];
const PRICED = new Set(UNITS.flatMap(({ keys }) => keys));
/** Never dearer than what is charged instead, or for what the dialects refuse. */
const IGNORED = new Set([
  ...['cache_audio_read_mtok', 'cache_image_read_mtok', 'cache_video_read_mtok'],
  ...['cache_write_1h_mtok', 'storage_searches_kcount'],
]);

/** The list prices of one place where models run, `source` being its name before the slash of full names. */
export class PublishedPrices {
  readonly list: PriceList;
  readonly models: readonly ListedModel[];
  readonly #rules: readonly (readonly [MatchRule, ListedModel | null])[];

  /** Prices that change by date are those of `nowMs`; by the time of day, the dearest. */
  constructor(source: string, published: readonly PublishedModel[], nowMs: number) {
    const entries: { pattern: string; base: UnitBase; isWide: boolean }[] = [];
    const models: ListedModel[] = [];
    this.#rules = published.map((model) => {
      const base = baseOf(ratesAt(model, nowMs));
      if (base === null) return [model.match, null];
      const globs = globsOf(model.match).map((one) => ({
        ...one,
        pattern: `${source}/${one.glob}`,
      }));
      const { id, context_window: contextTokens = null, deprecated: isDeprecated = false } = model;
      const patterns = globs.map(({ pattern }) => pattern);
      const listed = { id, patterns, base, contextTokens, isDeprecated };
      for (const { pattern, isWide } of globs) entries.push({ pattern, base, isWide });
      models.push(listed);
      return [model.match, listed];
    });
    // Patterns that match more than their rule come last, the longest first: `m-1-*` is none of `m-*`.
    const [exact, wide] = [
      entries.filter((one) => !one.isWide),
      entries.filter((one) => one.isWide),
    ];
    wide.sort((a, b) => b.pattern.length - a.pattern.length);
    this.list = [...exact, ...wide].map(({ pattern, base }) => ({ pattern, base }));
    this.models = models;
  }

  /** The first model whose rule matches the whole name; null for one that is unknown or that cannot be priced. */
  find(name: string): ListedModel | null {
    return this.#rules.find(([rule]) => matches(rule, name.toLowerCase()))?.[1] ?? null;
  }
}

function matches(rule: MatchRule, name: string): boolean {
  if ('or' in rule) return rule.or.some((one) => matches(one, name));
  if ('and' in rule) return rule.and.every((one) => matches(one, name));
  if ('equals' in rule) return name === rule.equals.toLowerCase();
  if ('starts_with' in rule) return name.startsWith(rule.starts_with.toLowerCase());
  if ('ends_with' in rule) return name.endsWith(rule.ends_with.toLowerCase());
  if ('contains' in rule) return name.includes(rule.contains.toLowerCase());
  return new RegExp(rule.regex, 'i').test(name);
}

interface Glob {
  readonly glob: string;
  /** It matches more than the rule does. */
  readonly isWide: boolean;
}

/** Patterns that match at least what the rule matches; who asks by name compares with `find` as well. */
function globsOf(rule: MatchRule): Glob[] {
  const exactly = (glob: string): Glob[] => [{ glob, isWide: false }];
  if ('or' in rule) return rule.or.flatMap(globsOf);
  if ('and' in rule)
    return rule.and
      .slice(0, 1)
      .flatMap(globsOf)
      .map(({ glob }) => ({ glob, isWide: true }));
  if ('equals' in rule) return exactly(rule.equals);
  if ('starts_with' in rule) return exactly(`${rule.starts_with}*`);
  if ('ends_with' in rule) return exactly(`*${rule.ends_with}`);
  if ('contains' in rule) return exactly(`*${rule.contains}*`);
  // Dated names, such as `^gpt-6-sol-\d{4}-\d{2}-\d{2}$`; any other expression has no pattern.
  const literal = /^\^((?:[\w/-]|\\[./-])+?)(?:\\d(?:\{\d+\})?-?)+\$?$/.exec(rule.regex)?.[1];
  return literal === undefined ? [] : [{ glob: `${literal.replaceAll('\\', '')}*`, isWide: true }];
}

/** The rates that can hold today: later ones replace earlier ones, those of an hour stand beside the others. */
function ratesAt({ prices }: PublishedModel, nowMs: number): readonly PublishedRates[] {
  if (!isList(prices)) return [prices];
  const rates: PublishedRates[] = [];
  for (const one of prices.toReversed()) {
    const { constraint } = one;
    if (constraint?.type === 'start_date' && !(Date.parse(constraint.start_date) <= nowMs))
      continue;
    rates.push(one.prices);
    if (constraint?.type !== 'time_of_date') break;
  }
  return rates;
}

function isList(prices: PublishedModel['prices']): prices is readonly ConditionalRates[] {
  return Array.isArray(prices);
}

/** Null for a model that has no price, or one for something that no meter reads: such a model is not sold by the list. */
function baseOf(rates: readonly PublishedRates[]): UnitBase | null {
  const keys = new Set(rates.flatMap((one) => Object.keys(one)));
  for (const key of keys)
    if (!PRICED.has(key) && !IGNORED.has(key) && isDear(key, rates)) return null;
  const starts = new Set<number>();
  for (const one of rates)
    for (const amount of Object.values(one))
      if (typeof amount === 'object') for (const { start } of amount.tiers) starts.add(start);
  const ascending = [...starts].sort((a, b) => a - b);
  if (!ascending.every((start) => Number.isSafeInteger(start) && start > 0)) return null;
  const tiers: { upTo: number | null; rates: UnitRate[] }[] = [];
  for (const [index, start] of [-1, ...ascending].entries()) {
    const found = unitRates(rates, start, tiers.at(-1)?.rates ?? []);
    if (found === null || found.length === 0) return null;
    tiers.push({ upTo: ascending[index] ?? null, rates: found });
  }
  const [only] = tiers;
  return tiers.length === 1 && only
    ? { kind: 'per', rates: only.rates, freeUnits: {} }
    : { kind: 'tiers', unit: 'inputTokens', unitMax: null, tiers, freeUnits: {} };
}

/** Images and the like are tokens too; where they cost no more than the others, those prices cover them. */
function isDear(key: string, rates: readonly PublishedRates[]): boolean {
  const side = /^(input|output)_\w+_mtok$/.exec(key)?.[1];
  if (side === undefined) return true;
  return rates.some((one) => {
    const usual = amountIn(one[`${side}_mtok`], Number.MAX_SAFE_INTEGER);
    const own = amountIn(one[key], Number.MAX_SAFE_INTEGER);
    return own !== null && (usual === null || isLess(usual, own));
  });
}

/** Rates for calls of more input tokens than `start`, none below the ones of smaller calls; null for what is no amount. */
function unitRates(
  rates: readonly PublishedRates[],
  start: number,
  smaller: readonly UnitRate[],
): UnitRate[] | null {
  const found: UnitRate[] = [];
  for (const { unit, keys, per, over } of UNITS) {
    const amount = dearest(rates, keys, start);
    if (amount === null) continue;
    const under = over === undefined ? ZERO : (dearest(rates, [over], start) ?? ZERO);
    if (amount === 'none' || under === 'none') return null;
    const extra = isLess(under, amount) ? minus(amount, under) : ZERO;
    const before = smaller.find((one) => one.unit === unit)?.rate.value ?? ZERO;
    const exact = ratioOf(extra.n, extra.d * per);
    const value = isLess(exact, before) ? before : exact;
    if (over !== undefined && value.n === 0n) continue;
    found.push({ unit, rate: { currency: 'USD', value }, max: null });
  }
  return found;
}

function dearest(
  rates: readonly PublishedRates[],
  keys: readonly string[],
  start: number,
): Ratio | 'none' | null {
  let most: Ratio | null = null;
  for (const one of rates)
    for (const key of keys) {
      if (one[key] === undefined) continue;
      const amount = amountIn(one[key], start);
      if (amount === null) return 'none';
      if (most === null || isLess(most, amount)) most = amount;
    }
  return most;
}

/** The amount for calls of more input tokens than `start`; null where there is none. */
function amountIn(amount: PublishedAmount | undefined, start: number): Ratio | null {
  if (amount === undefined) return null;
  if (typeof amount === 'number') return exactly(amount);
  const tier = amount.tiers.findLast((one) => one.start <= start);
  return exactly(tier?.price ?? amount.base);
}

/** A number as the decimal that it was written as; null for what is no amount of money. */
function exactly(amount: number): Ratio | null {
  const written = /^(\d+)(?:\.(\d+))?(?:e-(\d+))?$/.exec(String(amount));
  if (!written) return null;
  const value = parseRatio(`${written[1]}.${written[2] ?? 0}`);
  return ratioOf(value.n, value.d * 10n ** BigInt(written[3] ?? 0));
}
