/** One request whose payment is held: what the steps after authorization work on. */

import type { Payment } from '../core/payment.ts';
import type { Rail } from '../core/ports/rail.ts';
import type { PayerFacts } from '../pricing/price-terms.ts';
import type { Match } from './match-route.ts';
import type { RequestParts } from './parts.ts';
import type { PricedDemand } from './quote-price.ts';
import type { ReadWork } from './read-work.ts';

export interface PaidRequest {
  readonly parts: RequestParts;
  readonly match: Match;
  readonly demand: PricedDemand;
  readonly reading: ReadWork;
  readonly rail: Rail;
  readonly payment: Payment;
  /** What its discounts depend on; null where the price has none. */
  readonly payerFacts: PayerFacts | null;
  /** Key of the run in `parts.inFlight`; empty for a credential that pays many requests. */
  readonly credential: string;
  /** Receipt headers known since the hold. */
  readonly headers: readonly string[];
}
