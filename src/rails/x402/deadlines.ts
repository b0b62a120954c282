/**
 * How long an authorization must and may be valid. An offer's `maxTimeoutSeconds` leaves room for the
 * route's time, the settlement, and a client that signs first and sends a minute later.
 */

import type { Route } from '../../core/route.ts';

/** Beyond the time that a settlement is waited for: a block must still take it. */
const INCLUSION_MS = 20_000;
const SLACK_MS = 60_000;
/** A client's clock may be ahead by this much; longer authorizations only tie up the claim. */
const AHEAD_MAX_MS = 600_000;

export interface Deadlines {
  maxTimeoutSeconds(route: Route): number;
  /** The earliest and latest `validBefore` for a request that arrives now, in Unix seconds. */
  validBefore(route: Route, nowMs: number): { readonly earliest: bigint; readonly latest: bigint };
}

/** `settleMs`: how long an answer waits for its settlement. */
export function createDeadlines(settleMs: number): Deadlines {
  const maxTimeoutSeconds = (route: Route): number =>
    Math.ceil((route.timeoutMs + settleMs + INCLUSION_MS + SLACK_MS) / 1000);
  return {
    maxTimeoutSeconds,
    validBefore(route, nowMs) {
      const latestMs = nowMs + maxTimeoutSeconds(route) * 1000 + AHEAD_MAX_MS;
      return {
        earliest: BigInt(Math.ceil((nowMs + route.timeoutMs + settleMs + INCLUSION_MS) / 1000)),
        latest: BigInt(Math.floor(latestMs / 1000)),
      };
    },
  };
}
