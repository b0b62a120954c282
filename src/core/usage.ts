/** One measured unit of one request and what it cost: `count` × `price` = `cost`, in USD. */
export interface UsageLine {
  /** `calls`, `inputTokens`, `bytesOut`… */
  readonly unit: string;
  readonly count: number;
  /** Decimal USD per unit, such as `0.006`. */
  readonly price: string;
  /** Decimal USD. */
  readonly cost: string;
}
