/** The most that one request may cost, and until when: a price applied to one request. */
export interface Quote {
  /** Unguessable; authenticates route and price-rule version, never an amount. */
  readonly id: string;
  readonly routeId: string;
  readonly priceVersion: string;
  /** USD atoms. */
  readonly max: bigint;
  readonly issuedAtMs: number;
  readonly expiresAtMs: number;
}
