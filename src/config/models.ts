import type { Price, Variant } from '../core/price.ts';
import { ONE, plus, ratioOf } from '../core/ratio.ts';
import { parsePrice } from '../pricing/parse-price.ts';
import { type ReadingOptions, readingOptions } from './reading-schema.ts';
import type { ParsedConfig } from './schema.ts';

/** The model gateway: one base URL for any OpenAI or Anthropic client. */
export interface ModelsConfig {
  readonly providers: Readonly<Record<string, ModelSource>>;
  /** What an alias stands for, in the order in which it is tried. */
  readonly aliases: Readonly<Record<string, readonly ModelName[]>>;
  /**
   * The price of every call, by the model's full name `provider/model`. A `costPlus` in it has no list yet:
   * see `withPriceList`.
   */
  readonly price: Price;
  /** USD atoms; the price never goes above it. */
  readonly max: bigint;
  readonly outputTokensMax: number;
  readonly timeoutMs: number;
  readonly freeTier: boolean;
  readonly chargeMax: boolean;
  readonly missingUsage: 'count' | 'hold';
  readonly reading: ReadingOptions;
}

/** Where models run. */
export interface ModelSource {
  readonly kind: 'openai' | 'anthropic';
  /** Without a trailing slash. */
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly concurrency: number;
  /** Patterns of the models it has: `gpt-*`. */
  readonly models: readonly string[];
  /** Whose list prices are its own; left out: known by its URL, then by its name. */
  readonly list?: string | undefined;
}

export interface ModelName {
  readonly provider: string;
  readonly model: string;
}

/** `provider/model`. */
export function fullName({ provider, model }: ModelName): string {
  return `${provider}/${model}`;
}

/** The checked model gateway as the request line needs it. */
export function compileModels(parsed: NonNullable<ParsedConfig['models']>): ModelsConfig {
  const aliases = Object.entries(parsed.aliases).map(([alias, targets]) => [
    alias,
    targets.map((target): ModelName => {
      const slash = target.indexOf('/');
      return { provider: target.slice(0, slash), model: target.slice(slash + 1) };
    }),
  ]);
  return {
    providers: parsed.providers,
    aliases: Object.fromEntries(aliases),
    price: priceOf(parsed),
    max: parsed.max,
    outputTokensMax: parsed.maxOutputTokens,
    timeoutMs: parsed.timeout,
    freeTier: parsed.free,
    chargeMax: parsed.chargeMax,
    missingUsage: parsed.missingUsage,
    reading: readingOptions(parsed),
  };
}

/** Prices by model first, then the list price and the markup; a model with neither is refused. */
function priceOf({ prices, markup, max }: NonNullable<ParsedConfig['models']>): Price {
  const unchanged = { min: null, max: null, schedule: [], surge: [], volume: [], balance: [] };
  const variants = Object.entries(prices).map(
    ([pattern, rule]): Variant => ({
      patterns: [pattern],
      price: parsePrice(rule, { isCapped: true }),
    }),
  );
  const sum = markup && plus(ONE, markup);
  const listed: Price | null = sum
    ? {
        ...{ kind: 'metered', ...unchanged },
        base: { kind: 'costPlus', factor: ratioOf(sum.n, sum.d), list: [] },
      }
    : null;
  if (!Object.hasOwn(prices, '*')) variants.push({ patterns: ['*'], price: listed });
  return {
    ...{ kind: 'metered', ...unchanged },
    base: { kind: 'by', place: 'model', variants },
    max: { currency: 'USD', value: ratioOf(max, 1_000_000n) },
  };
}
