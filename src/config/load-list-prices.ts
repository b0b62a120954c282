import type { PublishedModel } from '../pricing/list-prices.ts';

/** The prices of one company, as they are published. */
interface Publisher {
  readonly id: string;
  readonly models: readonly PublishedModel[];
  /** Whose models it sells as well. */
  readonly fallback_model_providers?: readonly string[];
}

/** Where list prices come from. */
export interface PriceSource {
  findProvider(asked: {
    readonly providerId?: string;
    readonly providerApiUrl?: string;
  }): Publisher | undefined;
}

/** Loads the npm package `@pydantic/genai-prices` and its data, 1 MB; rejects when it is not installed. */
export async function loadListPrices(): Promise<PriceSource> {
  return (await import('@pydantic/genai-prices')) as PriceSource;
}
