import type { PublishedModel } from '../pricing/list-prices.ts';
import type { PriceSource } from './load-list-prices.ts';
import type { ModelSource } from './models.ts';

/** What is published for a provider: by the list that the config names, by its URL, or by its name; null for nothing. */
export function publishedModels(
  source: PriceSource,
  name: string,
  { list, url }: ModelSource,
): readonly PublishedModel[] | null {
  const byName = (id: string) => {
    const found = source.findProvider({ providerId: id });
    // The package takes `my-openai` for `openai`; we do not.
    return found?.id === id ? found : undefined;
  };
  const found =
    list === undefined
      ? (source.findProvider({ providerApiUrl: url }) ?? byName(name))
      : byName(list);
  if (found === undefined) return null;
  const others = (found.fallback_model_providers ?? []).flatMap((id) => byName(id)?.models ?? []);
  return [...found.models, ...others];
}
