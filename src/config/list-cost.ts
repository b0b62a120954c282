import type { Price } from '../core/price.ts';
import type { Measured, Work } from '../core/work.ts';
import { costOf } from '../pricing/cost-of.ts';
import { flatTerms } from '../pricing/flat-work.ts';
import { PublishedPrices } from '../pricing/list-prices.ts';
import { loadListPrices } from './load-list-prices.ts';
import type { Config, UpstreamConfig } from './parse-config.ts';

/** What a call to an upstream cost its operator at list prices, in USD atoms; null where that is not known. */
export type ListCost = (upstream: string, work: Work, measured: Measured) => bigint | null;

const UNKNOWN: ListCost = () => null;

/** List prices are loaded only where a route is a shadow; without their package no cost is known. */
export async function listCostOf({ routes, upstreams }: Config, nowMs: number): Promise<ListCost> {
  const names = new Set(routes.filter(({ shadow }) => shadow).map(({ upstream }) => upstream));
  if (names.size === 0) return UNKNOWN;
  const source = await loadListPrices().catch(() => null);
  const lists = new Map<string, PublishedPrices>();
  for (const name of names) {
    const upstream = upstreams[name];
    const asked = upstream && publisherOf(upstream);
    const found = asked && source?.findProvider(asked);
    if (found) lists.set(name, new PublishedPrices(name, found.models, nowMs));
  }
  return (upstream, work, measured) => {
    const listed = work.model === null ? null : lists.get(upstream)?.find(work.model);
    if (!listed) return null;
    const price: Price = {
      ...{ kind: 'metered', base: listed.base, min: null, max: null },
      ...{ schedule: [], surge: [], volume: [], balance: [] },
    };
    // Bounds of the request are none of the list's: what was measured counts.
    const unbounded: Work = {
      ...work,
      bounds: measured.units,
      value: (place) => work.value(place),
    };
    return costOf(price, unbounded, flatTerms(nowMs), measured).cost;
  };
}

function publisherOf({
  kind,
  url,
}: UpstreamConfig): { providerId: string } | { providerApiUrl: string } {
  return kind === undefined || kind === 'http' ? { providerApiUrl: url } : { providerId: kind };
}
