/** The routes of the model gateway: they yield to configured ones of the same method and path. */

import type { Price } from '../core/price.ts';
import type { ModelSource, ModelsConfig } from './models.ts';
import { priceVersion } from './price-version.ts';
import { readingOptions } from './reading-schema.ts';
import type { ConfiguredRoute } from './routes.ts';

/** Names of the upstreams behind these routes. */
export const MODELS_UPSTREAM = 'models:any';
export const MODEL_LIST_UPSTREAM = 'models:list';

type Kind = ModelSource['kind'];

/** Anthropic serves its models in OpenAI's Chat Completions too. */
const PATHS: Readonly<Record<string, { readonly what: string; readonly kinds: readonly Kind[] }>> =
  {
    '/v1/chat/completions': { what: 'Chat Completions', kinds: ['openai', 'anthropic'] },
    '/v1/responses': { what: 'Responses', kinds: ['openai'] },
    '/v1/embeddings': { what: 'Embeddings', kinds: ['openai'] },
    '/v1/messages': { what: 'Messages', kinds: ['anthropic'] },
  };

/** Which kinds of providers serve a path. */
export function kindsServing(path: string): readonly Kind[] {
  return PATHS[path]?.kinds ?? [];
}

/** The paths that a kind of provider serves. */
export function pathsOf(kind: Kind): string[] {
  return Object.keys(PATHS).filter((path) => kindsServing(path).includes(kind));
}

/** Only those that no configured route takes, and that a configured provider serves. */
export function modelRoutes(
  models: ModelsConfig,
  configured: readonly ConfiguredRoute[],
): ConfiguredRoute[] {
  const kinds = new Set(Object.values(models.providers).map(({ kind }) => kind));
  const version = priceVersion(models.price);
  const calls = Object.entries(PATHS)
    .filter(([, served]) => served.kinds.some((kind) => kinds.has(kind)))
    .map(([path, { what }]) => ({
      ...routeOf('POST', path, models.price, version),
      upstream: MODELS_UPSTREAM,
      description: `${what} of the models that GET /v1/models lists`,
      timeoutMs: models.timeoutMs,
      freeTier: models.freeTier,
      missingUsage: models.missingUsage,
      outputTokensMax: models.outputTokensMax,
      chargeMax: models.chargeMax,
      reading: models.reading,
    }));
  const free: Price = { kind: 'free' };
  const lists = ['/v1/models', '/v1/models/*'].map((path) => ({
    ...routeOf('GET', path, free, priceVersion(free)),
    upstream: MODEL_LIST_UPSTREAM,
    description: 'The models and their prices',
  }));
  return [...calls, ...lists].filter(
    ({ method, pattern }) =>
      !configured.some(
        (one) => one.pattern === pattern && (one.method === method || one.method === '*'),
      ),
  );
}

/** The same routes at a price that knows the list prices. */
export function withModelPrice(
  routes: readonly ConfiguredRoute[],
  price: Price,
): readonly ConfiguredRoute[] {
  const version = priceVersion(price);
  return routes.map((route) =>
    route.upstream === MODELS_UPSTREAM ? { ...route, price, priceVersion: version } : route,
  );
}

function routeOf(method: string, pattern: string, price: Price, version: string): ConfiguredRoute {
  return {
    ...{ id: `${method} ${pattern}`, method, pattern, price, priceVersion: version },
    ...{ upstream: '', description: '', timeoutMs: 30_000, terms: null },
    ...{ chargeOn: [], onAbort: 'capture-measured', onBreak: 'release', freeTier: true },
    ...{ units: [], missingUsage: 'count', outputTokensMax: 1, shadow: false, chargeMax: false },
    reading: readingOptions({ allow: [] }),
  };
}
