/**
 * Claims that a remote facilitator was shown and gave no word on: they hold nothing and stay claimed, because
 * whoever saw the payment can settle it. The same credential shown again goes on at the same facilitator.
 */

import {
  CoinslotError,
  PaymentRefused,
  StillRunning,
  StoreUnavailable,
} from '../../core/errors.ts';
import type { Payment } from '../../core/payment.ts';
import type { Attempt } from './attempt.ts';
import type { AuthorizedTransfer } from './parts.ts';
import { decodeJob, encodeJob, settlementOf } from './settlement-job.ts';

/** Writes down what the facilitator is about to be shown. Throws StillRunning when the claim is not ours any more. */
export async function showClaim(
  { parts, network, demand }: Attempt,
  claimed: Payment,
  authorized: AuthorizedTransfer,
): Promise<void> {
  const shown = await parts.ledger.showClaim({
    paymentId: claimed.id,
    owner: demand.owner,
    job: encodeJob(network.id, settlementOf(authorized, null)),
  });
  if (shown.outcome === 'lost') throw new StillRunning('This payment is being handled elsewhere.');
}

/** Takes over a claim that waits for the very request that made it; null for any other, or when somebody else was first. */
export async function resumeClaim(
  attempt: Attempt,
  known: Payment,
): Promise<{ readonly attempt: Attempt; readonly payment: Payment } | null> {
  const { parts, credential, demand } = attempt;
  const isSame =
    known.credentialHash === credential.credentialHash && known.digest === demand.digest;
  if (known.state !== 'claimed' || !isSame) return null;
  const resumed = await parts.ledger.resumeClaim({
    paymentId: known.id,
    owner: demand.owner,
    expiresAtMs: demand.nowMs + demand.route.timeoutMs + parts.marginMs,
  });
  if (resumed.outcome === 'lost') return null;
  const { payment } = resumed;
  try {
    const job = await parts.ledger.findJob(payment.id);
    if (job === null) throw new StillRunning('This payment is being handled elsewhere.');
    return { attempt: { ...attempt, shown: decodeJob(job) }, payment };
  } catch (error) {
    await giveUpClaim(attempt, payment, true, error);
    throw error;
  }
}

/**
 * Nothing ran for the claim. One that reached nobody is deleted; one that was shown ends if it was refused, else
 * waits. Never throws: what can't be written now is written later.
 */
export async function giveUpClaim(
  { parts, demand }: Attempt,
  claimed: Payment,
  shown: boolean,
  error: unknown,
): Promise<void> {
  const { ledger, log } = parts;
  const { owner } = demand;
  const { id: paymentId } = claimed;
  const refused = error instanceof PaymentRefused;
  const reason = error instanceof CoinslotError ? error.code : 'rail_unavailable';
  const state = refused ? 'rejected' : 'released';
  const end = async (now: Payment): Promise<void> => {
    if (now.state === 'claimed' && !shown) await ledger.abandonClaim(paymentId);
    else if (now.state === 'claimed' && !refused) await ledger.parkClaim(paymentId, owner);
    else await ledger.release({ paymentId, owner, state, reason, answer: null });
  };
  try {
    // A store that failed may have held it all the same.
    const now = error instanceof StoreUnavailable ? await ledger.findPayment(paymentId) : claimed;
    if (now !== null) await end(now);
  } catch (problem) {
    parts.orphans.set(paymentId, end);
    log.error(
      { payment: paymentId, error: problem },
      'a claim could not be given back; it will be tried again',
    );
  }
}
