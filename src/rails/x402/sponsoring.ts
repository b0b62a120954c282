/** Whose permit for Permit2 the gateway sends along at its own cost: the first few of a wallet on a day. */

import { utcDay } from '../../core/clock.ts';
import { FINAL_STATES, type Payment } from '../../core/payment.ts';

export interface SponsoringOptions {
  /** Permits of one wallet that are paid for on one UTC day. */
  readonly perDay: number;
  /** USD atoms: a call that can't cost this much is not worth the gas of a permit. */
  readonly minPrice: bigint;
  readonly findPayment: (id: string) => Promise<Payment | null>;
}

/** Counts in memory: a restart forgets, which costs the gas of a few permits and no more. */
export interface Sponsoring {
  /** True when the permit of this claimed payment is paid for; it is counted then. */
  take(payer: string, payment: Pick<Payment, 'id' | 'quoteMax'>, nowMs: number): Promise<boolean>;
}

/** The permits of one wallet on this day, and the payment that came with the last of them. */
interface Taken {
  readonly count: number;
  readonly paymentId: string;
}

/** Wallets that are remembered; beyond them nobody new is paid for on that day. */
const PAYERS_MAX = 100_000;

export function createSponsoring({ perDay, minPrice, findPayment }: SponsoringOptions): Sponsoring {
  let day = '';
  let taken = new Map<string, Taken>();

  /** How many permits were really sent; null while the last one is still on its way. */
  async function sentBefore({ count, paymentId }: Taken): Promise<number | null> {
    const last = await findPayment(paymentId);
    if (last === null) return count - 1;
    // Two permits of one wallet have the same nonce until the first is on the chain: one at a time.
    if (!FINAL_STATES.has(last.state)) return null;
    // What was given back has cost no gas.
    return last.transaction === null ? count - 1 : count;
  }

  return {
    async take(payer, { id, quoteMax }, nowMs) {
      if (quoteMax < minPrice) return false;
      const today = utcDay(nowMs);
      if (today !== day) [day, taken] = [today, new Map()];
      const before = taken.get(payer);
      const sent = before === undefined ? 0 : await sentBefore(before);
      // Somebody else of the same wallet may have been faster meanwhile.
      if (sent === null || sent >= perDay || taken.get(payer) !== before) return false;
      if (before === undefined && taken.size >= PAYERS_MAX) return false;
      taken.set(payer, { count: sent + 1, paymentId: id });
      return true;
    },
  };
}
