import { formatDecimal, USD } from '../core/money.ts';
import type { Price } from '../core/route.ts';
import type { UsageLine } from '../core/usage.ts';

/** What was measured of one request: unit to count, such as `{ inputTokens: 12 }`. Outside input: not trusted. */
export type MeasuredUsage = Readonly<Record<string, number>>;

export interface Cost {
  /** USD atoms, from 0 to the price's `quoteMax`. */
  readonly cost: bigint;
  /** The lines that add up to `cost`. */
  readonly usage: readonly UsageLine[];
}

/** What one answered request costs. A flat price is one call, whatever was measured. */
export function costOf(price: Price, _measured: MeasuredUsage = {}): Cost {
  switch (price.kind) {
    case 'free':
      return { cost: 0n, usage: [] };
    case 'flat': {
      const amount = formatDecimal(price.amount, USD.decimals);
      return {
        cost: price.amount,
        usage: [{ unit: 'calls', count: 1, price: amount, cost: amount }],
      };
    }
  }
}
