import type { Log } from '../core/log.ts';
import { loadListPrices, type PriceSource } from './load-list-prices.ts';
import { ModelCatalogue } from './model-catalogue.ts';
import { withModelPrice } from './model-routes.ts';
import type { Config } from './parse-config.ts';

/** A config whose model routes know the list prices. */
export interface PricedConfig extends Config {
  readonly catalogue: ModelCatalogue | null;
}

/** Fills in the list prices of `nowMs` where the config sells models at them, and warns of models without a price. */
export async function priceModels(config: Config, nowMs: number, log: Log): Promise<PricedConfig> {
  const { models } = config;
  if (models === null) return { ...config, catalogue: null };
  // The package also knows how much a model reads, so that it serves those who name their own prices.
  const catalogue = new ModelCatalogue(models, await sourceOf(log), nowMs);
  for (const sentence of catalogue.unpriced()) log.warn({}, sentence);
  return { ...config, catalogue, routes: withModelPrice(config.routes, catalogue.price) };
}

async function sourceOf(log: Log): Promise<PriceSource | null> {
  try {
    return await loadListPrices();
  } catch {
    log.warn(
      { install: 'npm install @pydantic/genai-prices' },
      '@pydantic/genai-prices is not installed: only models whose price the config names are sold',
    );
    return null;
  }
}
