/** What `GET /v1/models` says, for OpenAI's clients and Anthropic's at once. */

import { formatDecimal } from '../core/money.ts';
import type { Price, UnitRate } from '../core/price.ts';
import { ceilAt, decimalOf, isLess, type Ratio } from '../core/ratio.ts';
import { describePrice } from '../pricing/describe-price.ts';
import type { KnownModel, ModelCatalogue } from './model-catalogue.ts';
import { fullName } from './models.ts';

/** USD per unit, as decimals: `{ inputTokens: '0.00000018' }`. */
type Pricing = Readonly<Record<string, string>>;

/** One entry; `pricing` is that of the dearest candidate, unit by unit. */
export interface ModelEntry {
  readonly id: string;
  readonly object: 'model';
  readonly type: 'model';
  /** Unix seconds. */
  readonly created: number;
  readonly created_at: string;
  readonly display_name: string;
  readonly owned_by: string;
  readonly pricing: Pricing;
  /** For calls of more input tokens than `above`; only where a price has such steps. */
  readonly pricing_tiers?: readonly { readonly above: number; readonly pricing: Pricing }[];
  /** The same in words, with what else bounds it. */
  readonly price: string;
  readonly paths: readonly string[];
  /** Only of an alias: what it stands for, in the order in which it is tried. */
  readonly models?: readonly string[];
  readonly context_length?: number;
}

const PLACES = 18;

/** Every alias and every model whose name and price are known. */
export function modelEntries(catalogue: ModelCatalogue, nowMs: number): ModelEntry[] {
  return catalogue.known().map((known) => entryOf(catalogue, known, nowMs));
}

function entryOf(
  catalogue: ModelCatalogue,
  { id, candidates, paths }: KnownModel,
  nowMs: number,
): ModelEntry {
  const isAlias = !candidates.some((one) => fullName(one) === id);
  const prices = candidates.flatMap((one) => catalogue.priceOf(one) ?? []);
  const contexts = candidates.map((one) => catalogue.contextTokensOf(one));
  const [context] = contexts;
  const tiers = isAlias ? [] : tiersOf(prices[0]);
  return {
    ...{ id, object: 'model', type: 'model', created: Math.floor(nowMs / 1000) },
    ...{ created_at: new Date(nowMs).toISOString(), display_name: id },
    owned_by: isAlias ? 'coinslot' : (candidates[0]?.provider ?? ''),
    pricing: dearest(prices.map(ratesOf)),
    ...(tiers.length > 0 ? { pricing_tiers: tiers } : {}),
    price: [...new Set(prices.map(describePrice))].join('; or '),
    paths,
    ...(isAlias ? { models: candidates.map(fullName) } : {}),
    ...(contexts.length === 1 && typeof context === 'number' ? { context_length: context } : {}),
  };
}

/** In dollars; rates in other currencies are left to the words. */
function ratesOf(price: Price): ReadonlyMap<string, Ratio> {
  if (price.kind === 'flat') return new Map([['calls', { n: price.amount, d: 1_000_000n }]]);
  if (price.kind !== 'metered') return new Map();
  const { base } = price;
  if (base.kind === 'per') return inDollars(base.rates);
  return base.kind === 'tiers' ? inDollars(base.tiers[0]?.rates ?? []) : new Map();
}

function tiersOf(price: Price | undefined): { above: number; pricing: Pricing }[] {
  if (price?.kind !== 'metered' || price.base.kind !== 'tiers') return [];
  const { tiers } = price.base;
  return tiers.slice(1).map(({ rates }, before) => ({
    above: tiers[before]?.upTo ?? 0,
    pricing: dearest([inDollars(rates)]),
  }));
}

function inDollars(rates: readonly UnitRate[]): ReadonlyMap<string, Ratio> {
  const dollars = rates.filter(({ rate }) => rate.currency === 'USD');
  return new Map(dollars.map(({ unit, rate }) => [unit, rate.value]));
}

function dearest(all: readonly ReadonlyMap<string, Ratio>[]): Pricing {
  const most = new Map<string, Ratio>();
  for (const rates of all)
    for (const [unit, rate] of rates) {
      const known = most.get(unit);
      if (known === undefined || isLess(known, rate)) most.set(unit, rate);
    }
  return Object.fromEntries([...most].map(([unit, rate]) => [unit, decimal(rate)]));
}

/** Exact where it can be written; else rounded up. */
function decimal(rate: Ratio): string {
  return decimalOf(rate, PLACES) ?? formatDecimal(ceilAt(rate, PLACES), PLACES);
}
