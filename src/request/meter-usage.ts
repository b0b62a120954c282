/** Step 6: what did the answer use, and what does that cost? */

import type { Quote } from '../core/quote.ts';
import type { Route } from '../core/route.ts';
import type { UsageLine } from '../core/usage.ts';
import { costOf } from '../pricing/cost-of.ts';

export interface Metered {
  /** USD atoms, at most the quote's max. */
  readonly cost: bigint;
  readonly usage: readonly UsageLine[];
}

/** One call, priced by the route; the quote bounds it whatever the price rule says. */
export function meterUsage(route: Route, quote: Quote): Metered {
  const { cost, usage } = costOf(route.price, { calls: 1 });
  return { cost: cost > quote.max ? quote.max : cost, usage };
}
