/** Claims: the unique constraint on a credential's key decides which of two requests runs. */

import { MoneyLawBroken } from './errors.ts';
import type { Operation } from './operation.ts';
import {
  assertShareable,
  existingPayment,
  insertPayment,
  type NewPayment,
  paymentOf,
  selectByCredential,
  selectPayment,
} from './payment-row.ts';

export const claim: Operation<'claim'> = async (tx, _context, given) => {
  const fresh: NewPayment = { claim: given, state: 'claimed', day: null, quotaScope: null };
  if ((await insertPayment(tx, fresh)) !== null)
    return { outcome: 'claimed', payment: paymentOf(fresh) };
  return { outcome: 'exists', payment: await existingPayment(tx, given) };
};

export const promoteClaim: Operation<'promoteClaim'> = async (
  tx,
  context,
  paymentId,
  credentialKey,
) => {
  assertShareable(credentialKey);
  const taken = await selectByCredential(tx, credentialKey);
  if (taken !== null && taken.payment.id !== paymentId)
    return { outcome: 'exists', payment: taken.payment };
  const own = await selectPayment(tx, paymentId);
  // Neither outcome of the port fits a payment that is not there.
  if (own === null) throw new MoneyLawBroken(`There is no claim ${paymentId} to promote`);
  if (own.payment.state !== 'claimed') return { outcome: 'exists', payment: own.payment };
  await tx.run('UPDATE payment SET credential_key = ?, updated_at_ms = ? WHERE seq = ?', [
    credentialKey,
    context.nowMs,
    own.seq,
  ]);
  const payment = { ...own.payment, credentialKey, updatedAtMs: context.nowMs };
  return { outcome: 'claimed', payment };
};

export const abandonClaim: Operation<'abandonClaim'> = async (tx, _context, paymentId) => {
  await tx.run(
    `DELETE FROM job WHERE shown <> 0 AND payment_seq =
       (SELECT seq FROM payment WHERE id = ? AND state = 'claimed')`,
    [paymentId],
  );
  await tx.run("DELETE FROM payment WHERE id = ? AND state = 'claimed'", [paymentId]);
};
