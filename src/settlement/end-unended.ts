/** Payments that nobody ends any more: their process died, their time is long over, or nobody came back for them. */

import type { Log } from '../core/log.ts';
import type { Payment } from '../core/payment.ts';
import type { Ledger } from '../core/ports/ledger.ts';
import type { StoredJob } from '../core/ports/settlement.ts';

interface Options {
  readonly ledger: Ledger;
  readonly owner: string;
  /** Payments whose end is known, and only not written yet. */
  readonly orphans: ReadonlyMap<string, unknown>;
  readonly log: Log;
}

/** A hold that is this much past its time belongs to no request: routes, streams included, end before. */
const OVERDUE_MS = 60_000;
/** The chain's clock may be behind ours by this much. */
const CHAIN_LATE_MS = 30_000;

/**
 * A payment whose owner died. Before its capture the hold goes back; a claim that a facilitator was shown waits
 * for its credential, any other is deleted; what was captured is an open job.
 */
export async function giveBack(options: Options, payment: Payment): Promise<void> {
  const { ledger, owner, log } = options;
  const { id, state } = payment;
  if (state === 'captured' || state === 'settlement_unknown') return;
  if (state === 'refund_due')
    return log.warn(
      { payment: id },
      'a stopped process was delivering this answer: it is owed back',
    );
  if (state === 'claimed') await endClaim(options, payment);
  else {
    const reason = 'gateway_stopped';
    await ledger.release({ paymentId: id, owner, state: 'released', reason, answer: null });
  }
  log.warn({ payment: id, was: state }, 'gave back the hold of a stopped process');
}

/** What a living process, perhaps this one, forgot. */
export async function endOverdue(options: Options, nowMs: number): Promise<void> {
  const { ledger, owner, orphans, log } = options;
  for (const payment of await ledger.overdue(owner, nowMs - OVERDUE_MS)) {
    const { id, state } = payment;
    if (orphans.has(id)) continue;
    if (state === 'claimed') {
      await endClaim(options, payment);
      continue;
    }
    const reason = 'overdue';
    await ledger.release({ paymentId: id, owner, state: 'expired', reason, answer: null });
    log.error({ payment: id, was: state }, 'a payment was never ended by its request');
  }
}

/** Claims that nobody came back for, once no facilitator can settle them any more. */
export async function expireClaims(
  { ledger, log }: Options,
  shown: readonly StoredJob[],
  nowMs: number,
): Promise<void> {
  for (const { paymentId, validBeforeMs } of shown) {
    if (nowMs < validBeforeMs + CHAIN_LATE_MS) continue;
    const payment = await ledger.findPayment(paymentId);
    if (payment?.state !== 'claimed') continue;
    const end = { owner: payment.owner, state: 'expired', reason: 'facilitator_silent' } as const;
    await ledger.release({ paymentId, ...end, answer: null });
    log.warn({ payment: paymentId }, 'a claim expired without the word of its facilitator');
  }
}

async function endClaim({ ledger, owner }: Options, { id }: Payment): Promise<void> {
  if ((await ledger.findJob(id)) === null) await ledger.abandonClaim(id);
  else await ledger.parkClaim(id, owner);
}
