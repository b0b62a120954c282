/**
 * What this payer has signed: the memory behind the daily budget, and what makes a repeated call send
 * the same signature again instead of a second one.
 */

import { utcDay } from '../core/clock.ts';

/** A signature that has left, or is about to leave, this process. */
export interface SignedPayment {
  readonly method: string;
  readonly url: string;
  /** SHA-256 (hex) of method, URL and body: which call it pays. */
  readonly requestKey: string;
  readonly headerName: string;
  /** The exact bytes to send again. */
  readonly headerValue: string;
  /** CAIP-2. */
  readonly network: string;
  readonly asset: string;
  readonly from: string;
  readonly payTo: string;
  /** USD atoms; of a metered price the most that may be taken. */
  readonly amount: bigint;
  readonly nonce: string;
  /** Milliseconds; afterwards the signature is worth nothing. */
  readonly validBeforeMs: number;
}

export type BudgetHold =
  | { readonly outcome: 'held' }
  /** USD atoms already counted today. */
  | { readonly outcome: 'exceeded'; readonly spent: bigint };

/**
 * `paid`: counts for its day. `refused`: counts until the signature has expired, because until then
 * whoever saw it can still take the money. A server that refuses and takes it all the same is believed
 * from then on: `hosts` and `perCall` are the guards against such a one. `unknown`: counts, and the
 * same call sends it again.
 */
export type PaymentOutcome = 'paid' | 'refused' | 'unknown';

/** Where payments are remembered; every method is atomic, also against other users of the same journal. */
export interface Journal {
  /** Counts the amount against the UTC day of `nowMs` if the day stays within `perDay` (USD atoms; null for no limit). */
  hold(hold: {
    readonly id: string;
    readonly amount: bigint;
    readonly perDay: bigint | null;
    readonly nowMs: number;
  }): Promise<BudgetHold>;
  /** Forgets a hold for which nothing was signed. */
  release(id: string): Promise<void>;
  /** Remembers what was signed, before it is sent. */
  signed(id: string, payment: SignedPayment): Promise<void>;
  /** Ends a payment that is in flight; `taken` (USD atoms) is what counts of a metered one from then on. */
  finish(id: string, outcome: PaymentOutcome, taken?: bigint): Promise<void>;
  /** An unexpired payment of unknown outcome for this very request, which is then in flight again; only one caller gets it. */
  takeUnknown(
    requestKey: string,
    nowMs: number,
  ): Promise<{ readonly id: string; readonly payment: SignedPayment } | null>;
  close(): Promise<void>;
}

/** Clocks of chains run a little behind: a signature still counts this long after it expired. */
export const EXPIRY_MARGIN_MS = 60_000;

interface Entry {
  readonly day: string;
  amount: bigint;
  state: 'held' | 'sent' | PaymentOutcome;
  payment: SignedPayment | null;
}

/** A journal that lives as long as the process. */
export function memoryJournal(): Journal {
  const entries = new Map<string, Entry>();

  function prune(nowMs: number): void {
    const today = utcDay(nowMs);
    for (const [id, entry] of entries) {
      const expired = isExpired(entry.payment, nowMs);
      const over = entry.day !== today && (entry.state === 'paid' || expired);
      if (over || (entry.state === 'refused' && expired)) entries.delete(id);
    }
  }

  return {
    async hold({ id, amount, perDay, nowMs }) {
      prune(nowMs);
      const day = utcDay(nowMs);
      if (perDay !== null) {
        let spent = 0n;
        for (const entry of entries.values()) if (entry.day === day) spent += entry.amount;
        if (spent + amount > perDay) return { outcome: 'exceeded', spent };
      }
      entries.set(id, { day, amount, state: 'held', payment: null });
      return { outcome: 'held' };
    },
    async release(id) {
      entries.delete(id);
    },
    async signed(id, payment) {
      const entry = entries.get(id);
      if (entry) Object.assign(entry, { state: 'sent', payment });
    },
    async finish(id, outcome, taken) {
      const entry = entries.get(id);
      if (entry) Object.assign(entry, { state: outcome, amount: taken ?? entry.amount });
    },
    async takeUnknown(requestKey, nowMs) {
      for (const [id, entry] of entries) {
        const { payment } = entry;
        if (entry.state !== 'unknown' || payment?.requestKey !== requestKey) continue;
        if (payment.validBeforeMs <= nowMs) continue;
        entry.state = 'sent';
        return { id, payment };
      }
      return null;
    },
    async close() {},
  };
}

function isExpired(payment: SignedPayment | null, nowMs: number): boolean {
  return payment !== null && payment.validBeforeMs + EXPIRY_MARGIN_MS < nowMs;
}
