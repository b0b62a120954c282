/** Calls added up by UTC day and route, as the ledger reports them. */

/** Charged calls of one route on one UTC day. */
export interface RouteDay {
  /** `2026-11-21`. */
  readonly day: string;
  readonly route: string;
  readonly calls: number;
  /** USD atoms. */
  readonly cost: bigint;
}

/** What calls of a shadow route would have come to, counted on one UTC day. */
export interface ShadowDay extends RouteDay {
  /** Calls for which the rule named no price. */
  readonly unpriced: number;
  /** Calls whose list price is known, and what they cost at it in USD atoms. */
  readonly listed: { readonly calls: number; readonly earned: bigint; readonly cost: bigint };
  readonly units: Readonly<Record<string, number>>;
}
