/** Step 2: which credentials did the request bring, in the order in which rails are tried? */

import type { Exchange } from '../core/exchange.ts';
import type { Presented, Rail } from '../core/ports/rail.ts';
import type { Route } from '../core/route.ts';

export interface Chosen {
  readonly rail: Rail;
  readonly presented: Presented;
}

/** Parses every rail's credential, offline, so that a malformed one is refused before anything runs. */
export function choosePayment(rails: readonly Rail[], route: Route, exchange: Exchange): Chosen[] {
  const chosen: Chosen[] = [];
  for (const rail of rails) {
    if (rail.name === 'free' && !route.freeTier) continue;
    const presented = rail.recognise(exchange);
    if (presented) chosen.push({ rail, presented });
  }
  return chosen;
}

/** Whether anything but the free tier was presented; the free tier is nobody's credential. */
export function hasCredential(chosen: readonly Chosen[]): boolean {
  return chosen.some(({ rail }) => rail.name !== 'free');
}
