import { formatDecimal, USD } from '../core/money.ts';
import type { Price } from '../core/price.ts';
import { ZERO } from '../core/ratio.ts';
import type { UsageLine } from '../core/usage.ts';
import type { Measured, Work } from '../core/work.ts';
import { atomsOf, dollarsOf, exactCost } from './exact-cost.ts';
import type { PayerFacts, PriceTerms } from './price-terms.ts';
import { quoteMax } from './quote-max.ts';
import { UsageLines } from './usage-lines.ts';

export interface Cost {
  /** USD atoms, from 0 to the price's `quoteMax`. */
  readonly cost: bigint;
  /** The lines that add up to `cost`. */
  readonly usage: readonly UsageLine[];
}

/**
 * What one answered request costs: the sum of its units at their prices, rounded up once to the atom, and at
 * most what `quoteMax` says for the same request and terms, whatever was measured. A flat price is one call.
 */
export function costOf(
  price: Price,
  work: Work,
  terms: PriceTerms,
  measured: Measured,
  payer: PayerFacts | null = null,
): Cost {
  if (price.kind === 'flat') {
    const amount = formatDecimal(price.amount, USD.decimals);
    return {
      cost: price.amount,
      usage: [{ unit: 'calls', count: 1, price: amount, cost: amount }],
    };
  }
  if (price.kind === 'free') return { cost: 0n, usage: [] };
  const lines = new UsageLines();
  const exact = exactCost(price, { work, terms, measured, payer, lines }) ?? ZERO;
  const cost = atomsOf(exact);
  const most = quoteMax(price, work, terms);
  if (cost <= most) return { cost, usage: lines.toUsage(cost) };
  lines.adjust('max', exact, dollarsOf(most));
  return { cost: most, usage: lines.toUsage(most) };
}
