/** Chooses what to pay: the cheapest offer that this payer can pay, within the limit of one call. */

import { formatUsd } from '../core/money.ts';
import { payabilityOf, type X402Offer } from '../rails/x402/client.ts';
import type { UsdcToken } from '../rails/x402/protocol.ts';
import { allowsHost, type Budget } from './budget.ts';
import { BudgetExceeded, NoPayableOffer } from './errors.ts';
import type { OffersRead } from './read-offers.ts';

export interface ChosenOffer {
  readonly offer: X402Offer;
  readonly token: UsdcToken;
}

/** Whether the wallet can sign for metered prices. */
export interface Means {
  readonly upto: boolean;
}

/** Throws NoPayableOffer with a reason for each offer, or BudgetExceeded for a host or a price beyond the budget. */
export function chooseOffer(
  read: OffersRead,
  budget: Budget,
  url: URL,
  response: Response,
  means: Means,
): ChosenOffer {
  const payable: ChosenOffer[] = [];
  const reasons: string[] = [...read.unreadable];
  for (const offer of read.offers) {
    const payability = payabilityOf(offer);
    if (!payability.payable) reasons.push(payability.reason);
    else if (offer.scheme === 'upto' && !means.upto)
      reasons.push('the wallet signs no permits, which the scheme upto needs');
    else payable.push({ offer, token: payability.token });
  }
  const cheapest = payable.reduce<ChosenOffer | null>(
    (best, next) => (best === null || isBetter(next.offer, best.offer) ? next : best),
    null,
  );
  if (cheapest === null) throw new NoPayableOffer(reasons, response);
  // USDC has the six decimals of our dollars, so its atoms are USD atoms.
  const price = cheapest.offer.amount;
  if (!allowsHost(budget, url)) {
    const detail = `${url.host} asks for ${formatUsd(price)} and is not one of budget.hosts.`;
    throw new BudgetExceeded('hosts', price, budget.hosts?.join(', ') ?? '', detail, response);
  }
  if (price > budget.perCall) {
    const limit = formatUsd(budget.perCall);
    const detail = `The cheapest offer costs ${formatUsd(price)}, more than the limit of ${limit} for one call.`;
    throw new BudgetExceeded('perCall', price, limit, detail, response);
  }
  return cheapest;
}

/** The cheaper one; of two that may cost as much, the one that needs no approval of Permit2. */
function isBetter(next: X402Offer, best: X402Offer): boolean {
  if (next.amount !== best.amount) return next.amount < best.amount;
  return next.scheme === 'exact' && best.scheme !== 'exact';
}
