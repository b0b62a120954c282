/**
 * One line of what a request cost, in USD: `count` × `price` = `cost`, and all lines add up to the cost.
 * Besides measured units there are lines for what changed their sum, which may be negative and have a count
 * of 1: `free:inputTokens`, `schedule`, `surge`, `volume`, `balance`, `min`, `max`, `rounding`.
 */
export interface UsageLine {
  /** `calls`, `inputTokens`, `bytesOut`… */
  readonly unit: string;
  /** Full name of the model that used it, where another one might have. */
  readonly model?: string;
  readonly count: number;
  /** Decimal USD per unit, such as `0.006`. */
  readonly price: string;
  /** Decimal USD, with up to 18 decimals; the sum of all lines is whole atoms. */
  readonly cost: string;
}
