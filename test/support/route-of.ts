/** A route for tests, by its id, with the defaults of the config. */

import type { Route } from '../../src/core/route.ts';

export function routeOf(id: string, over: Partial<Route> = {}): Route {
  const [method = '', pattern = ''] = id.split(' ');
  return {
    id,
    method,
    pattern,
    upstream: 'api',
    price: { kind: 'flat', amount: 6000n },
    priceVersion: 'v1',
    description: '',
    timeoutMs: 5_000,
    chargeOn: [],
    onAbort: 'capture-measured',
    onBreak: 'release',
    freeTier: true,
    units: [],
    missingUsage: 'count',
    outputTokensMax: 4096,
    shadow: false,
    chargeMax: false,
    ...over,
  };
}
