/** A credential that was used before: the same request gets the same answer, anything else is refused. */

import { AnswerGone, CredentialReused, SettlementPending, StillRunning } from '../core/errors.ts';
import type { Answer } from '../core/exchange.ts';
import type { Payment } from '../core/payment.ts';
import type { Rail } from '../core/ports/rail.ts';
import { withGatewayHeaders } from './answers.ts';
import type { Used } from './authorize.ts';
import type { RequestParts } from './parts.ts';
import type { PricedDemand } from './quote-price.ts';
import { requirePayment } from './require-payment.ts';
import { receiptHeaders } from './write-receipt.ts';

/** Never runs the upstream. Throws CredentialReused, AnswerGone, StillRunning or SettlementPending. */
export async function replayAnswer(
  parts: RequestParts,
  demand: PricedDemand,
  { rail, payment: used, presented }: Used,
): Promise<Answer> {
  if (used.credentialHash !== presented.credentialHash || used.digest !== demand.digest)
    throw new CredentialReused(`This credential already paid for another request (${used.route}).`);
  if (used.state === 'claimed' || used.state === 'held' || used.state === 'running')
    throw new StillRunning('This very request is still running.');

  const payment = await known(parts, rail, used);
  if (payment.state === 'settlement_failed') {
    const reason = {
      code: payment.reason ?? 'settlement_failed',
      message: 'The payment could not be settled.',
    };
    return await requirePayment(parts, demand, reason);
  }
  // A v1 signature has nothing that stays off the chain: once broadcast, anybody could present it.
  if (payment.replay === 'until-broadcast' && payment.state !== 'released')
    throw new AnswerGone(
      'The signature of this payment is public: its answer is given out only at /_pay/payments/{id}/answer.',
    );
  const stored = await parts.ledger.findAnswer(payment.id);
  if (!stored)
    throw new AnswerGone(`Payment ${payment.id} is ${payment.state} and its answer is not stored.`);
  return {
    status: stored.status,
    headers: withGatewayHeaders(stored.headers, receiptHeaders(rail, payment)),
    body: stored.body,
  };
}

/** Asks again about money whose fate is open; what stays open goes out only within the exposure limit. */
async function known(parts: RequestParts, rail: Rail, used: Payment): Promise<Payment> {
  if (used.state !== 'captured' && used.state !== 'settlement_unknown') return used;
  const payment = await rail.resolve(used);
  if (payment.state !== 'captured' && payment.state !== 'settlement_unknown') return payment;
  const exposed =
    payment.reason === 'insufficient_funds'
      ? 'beyond'
      : await parts.ledger.expose({ paymentId: payment.id, ...parts.exposure });
  if (exposed === 'within') return payment;
  // What is repeated in v1 may be a stranger's copy of a public signature: the id is the payer's secret.
  const named = payment.replay === 'always' ? payment.id : null;
  throw new SettlementPending('The payment is not confirmed yet; the answer is kept.', named);
}
