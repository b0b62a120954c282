/** A route: a method and path pattern with an upstream and a price. */

export type Price =
  | { readonly kind: 'free' }
  /** The same for every call, in USD atoms. */
  | { readonly kind: 'flat'; readonly amount: bigint };

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
}
