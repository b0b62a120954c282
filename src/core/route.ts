/** A route: a method and path pattern with an upstream and a price. */

import type { Price } from './price.ts';

export interface Route {
  /** As written in the config, such as `POST /summarize`; names the route in records and receipts. */
  readonly id: string;
  /** Upper case, or `*` for any. */
  readonly method: string;
  /** `/summarize`, `/items/:id` or `/files/*`. */
  readonly pattern: string;
  readonly upstream: string;
  readonly price: Price;
  /** Changes whenever the price rule does; quotes are bound to it. */
  readonly priceVersion: string;
  readonly description: string;
  /** Until the upstream's answer must be complete; a stream may run until then. */
  readonly timeoutMs: number;
  /** Statuses from 400 to 499 that are a product and are charged, such as 404. */
  readonly chargeOn: readonly number[];
  readonly onAbort: 'capture-measured' | 'drain' | 'release';
  readonly onBreak: 'capture-measured' | 'release';
  /** False keeps the free tier away from this route. */
  readonly freeTier: boolean;
  /** Units of the route's own, read from the upstream's answer. */
  readonly units: readonly RouteUnit[];
  /** An answer that states no usage: price what the gateway counts itself, or the whole hold. */
  readonly missingUsage: 'count' | 'hold';
  /** Output tokens that a request may ask for, and gets where it names no limit. */
  readonly outputTokensMax: number;
  /** Metered and recorded, never charged. */
  readonly shadow: boolean;
  /** A wallet that can only pay an exact amount pays the most that this request may cost. */
  readonly chargeMax: boolean;
}

/** Where the upstream's answer says how much of a custom unit was used; one of `header` and `json` is set. */
export interface RouteUnit {
  readonly unit: string;
  /** In lower case. */
  readonly header: string | null;
  /** Keys from the root of the JSON body: `usage.pages` is `['usage', 'pages']`. */
  readonly json: readonly string[] | null;
  /** More than this is never counted. */
  readonly max: number;
}
