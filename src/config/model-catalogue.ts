/** Which models there are, what they cost, and who may run a request for one. */

import { CoinslotError } from '../core/errors.ts';
import type { Price } from '../core/price.ts';
import { type ListedModel, PublishedPrices } from '../pricing/list-prices.ts';
import { matchGlob } from '../pricing/match-glob.ts';
import { priceOfModel } from '../pricing/price-of-model.ts';
import { withPriceList } from '../pricing/with-price-list.ts';
import type { PriceSource } from './load-list-prices.ts';
import { kindsServing, pathsOf } from './model-routes.ts';
import { fullName, type ModelName, type ModelsConfig } from './models.ts';
import { publishedModels } from './published-models.ts';

/** Nobody serves that model here, or not on that path, or not at a known price. Nothing was charged. */
export class ModelNotServed extends CoinslotError {
  readonly code = 'model_not_found';
  readonly status = 404;
  readonly hint = 'GET /v1/models lists the models, their prices and where they are served.';
}

/** A model that can be asked for by its name. */
export interface KnownModel {
  /** An alias, or `provider/model`. */
  readonly id: string;
  /** One of them runs it. */
  readonly candidates: readonly ModelName[];
  readonly paths: readonly string[];
}

/** Published models that none of these paths serves, and the beginnings of names. */
const ELSEWHERE = /(?:^|-)(?:realtime|tts|transcribe|whisper|image|live)(?:-|$)|[-.:]$/;

const RESOLVED_MAX = 1_000;

export class ModelCatalogue {
  /** The config's price with list prices in it. */
  readonly price: Price;
  readonly #config: ModelsConfig;
  readonly #lists = new Map<string, PublishedPrices>();
  readonly #resolved = new Map<string, readonly ModelName[]>();

  /** `source` null: there are no list prices. They are those of `nowMs`. */
  constructor(config: ModelsConfig, source: PriceSource | null, nowMs: number) {
    this.#config = config;
    for (const [name, provider] of Object.entries(config.providers)) {
      const models = source && publishedModels(source, name, provider);
      if (models !== null) this.#lists.set(name, new PublishedPrices(name, models, nowMs));
    }
    const list = [...this.#lists.values()].flatMap((one) => one.list);
    this.price = withPriceList(config.price, list);
  }

  /** Who may run it, in the order in which they are tried. Throws ModelNotServed. */
  resolve(asked: string, path: string): readonly ModelName[] {
    const candidates = this.candidatesOf(asked, path);
    if (candidates.length > 0) return candidates;
    const shown = JSON.stringify(asked.length > 80 ? `${asked.slice(0, 79)}…` : asked);
    const named = this.#named(asked);
    if (named.length === 0) throw new ModelNotServed(`The model ${shown} is not served here.`);
    const priced = named.filter((one) => this.priceOf(one) !== null);
    if (priced.length === 0) throw new ModelNotServed(`There is no price for the model ${shown}.`);
    const paths = new Set(priced.flatMap((one) => this.#pathsOf(one)));
    throw new ModelNotServed(
      `The model ${shown} is not served on ${path}, but on ${[...paths].join(' and ')}.`,
    );
  }

  /** As `resolve`; empty where nobody may. */
  candidatesOf(asked: string, path: string): readonly ModelName[] {
    const key = `${path} ${asked}`;
    const known = this.#resolved.get(key);
    if (known !== undefined) return known;
    const candidates = this.#find(asked, path);
    // Names are a payer's: some patterns match any number of them, and any length.
    if (candidates.length > 0 && asked.length < 200) {
      if (this.#resolved.size >= RESOLVED_MAX) this.#resolved.clear();
      this.#resolved.set(key, candidates);
    }
    return candidates;
  }

  #find(asked: string, path: string): readonly ModelName[] {
    const kinds = kindsServing(path);
    const fit = this.#named(asked).filter(
      (one) =>
        kinds.some((kind) => kind === this.#config.providers[one.provider]?.kind) &&
        this.priceOf(one) !== null,
    );
    // A bare name means the first provider that has it.
    return this.#isAlias(asked) ? fit : fit.slice(0, 1);
  }

  /** What one call of it costs; null where neither the config nor the list knows. */
  priceOf(name: ModelName): Price | null {
    const found = priceOfModel(this.price, fullName(name));
    if (found === null) return null;
    // The patterns of the list are wider than its rules.
    if (found.listedAs !== null && !this.#listed(name)?.patterns.includes(found.listedAs))
      return null;
    return found.price;
  }

  /** Input tokens that it takes at most; null where that is unknown. */
  contextTokensOf(name: ModelName): number | null {
    return this.#listed(name)?.contextTokens ?? null;
  }

  /** The aliases, and the models whose names are known, all with a price. */
  known(): KnownModel[] {
    const { aliases, providers } = this.#config;
    const named = Object.values(aliases).flat();
    for (const [provider, { models }] of Object.entries(providers)) {
      for (const model of models) if (!model.includes('*')) named.push({ provider, model });
      for (const { id, isDeprecated } of this.#lists.get(provider)?.models ?? [])
        if (!isDeprecated && !ELSEWHERE.test(id) && this.#has(provider, id))
          named.push({ provider, model: id });
    }
    const known = new Map<string, KnownModel>();
    const add = (id: string, all: readonly ModelName[]): void => {
      const candidates = all.filter((one) => this.priceOf(one) !== null);
      const paths = [...new Set(candidates.flatMap((one) => this.#pathsOf(one)))];
      if (candidates.length > 0 && !known.has(id)) known.set(id, { id, candidates, paths });
    };
    for (const [alias, targets] of Object.entries(aliases)) add(alias, targets);
    for (const one of named) add(fullName(one), [one]);
    return [...known.values()];
  }

  /** What the operator named and nobody can buy, in sentences. */
  unpriced(): string[] {
    const { aliases, providers } = this.#config;
    const targets = Object.entries(aliases).flatMap(([alias, all]) =>
      all
        .filter((one) => this.priceOf(one) === null)
        .map((one) => `${fullName(one)} of the alias ${alias} has no price and is left out`),
    );
    const sources = Object.entries(providers).flatMap(([provider, { models }]) =>
      models.flatMap((model) => {
        if (!model.includes('*'))
          return this.priceOf({ provider, model }) === null
            ? [`${provider}/${model} has no price and is refused`]
            : [];
        const isListed = this.#lists.get(provider)?.models.some(({ id }) => matchGlob(model, id));
        const price = priceOfModel(this.price, `${provider}/${model}`);
        return isListed || price !== null
          ? []
          : [`${provider}/${model} has no list prices: models that no price names are refused`];
      }),
    );
    return [...new Set([...targets, ...sources])];
  }

  /** What a name may mean, whether there is a price or not. */
  #named(asked: string): readonly ModelName[] {
    const { aliases, providers } = this.#config;
    if (this.#isAlias(asked)) return aliases[asked] ?? [];
    const slash = asked.indexOf('/');
    const full = { provider: asked.slice(0, Math.max(slash, 0)), model: asked.slice(slash + 1) };
    if (slash > 0 && this.#has(full.provider, full.model)) return [full];
    return Object.keys(providers)
      .filter((provider) => this.#has(provider, asked))
      .map((provider) => ({ provider, model: asked }));
  }

  #isAlias(asked: string): boolean {
    return Object.hasOwn(this.#config.aliases, asked);
  }

  #has(provider: string, model: string): boolean {
    const { providers } = this.#config;
    const patterns = Object.hasOwn(providers, provider) ? providers[provider]?.models : undefined;
    return patterns?.some((pattern) => matchGlob(pattern, model)) ?? false;
  }

  #listed({ provider, model }: ModelName): ListedModel | null {
    return this.#lists.get(provider)?.find(model) ?? null;
  }

  #pathsOf(name: ModelName): string[] {
    const kind = this.#config.providers[name.provider]?.kind;
    const listed = this.#listed(name);
    if (kind === undefined || listed === null) return kind === undefined ? [] : pathsOf(kind);
    // A model without a price for output writes none.
    return pathsOf(kind).filter((path) => path.endsWith('/embeddings') !== writes(listed));
  }
}

function writes({ base }: ListedModel): boolean {
  const rates = base.kind === 'per' ? base.rates : base.tiers.flatMap((tier) => tier.rates);
  return rates.some(({ unit }) => unit === 'outputTokens');
}
