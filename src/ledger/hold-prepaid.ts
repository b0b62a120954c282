/** Prepaid: claim, key, route, daily cap, balance and hold in one transaction. */

import { timingSafeEqual } from 'node:crypto';
import { USD } from '../core/money.ts';
import type { Row, Transaction } from '../storage/transaction.ts';
import { heldAccount, payerAccount } from './accounts.ts';
import { MoneyLawBroken } from './errors.ts';
import type { Operation } from './operation.ts';
import {
  existingPayment,
  insertPayment,
  type NewPayment,
  paymentOf,
  selectByCredential,
} from './payment-row.ts';
import { assertAtoms, move, postEntries } from './post-entries.ts';

export const holdPrepaid: Operation<'holdPrepaid'> = async (tx, context, hold) => {
  const { claim, keyId, day } = hold;
  const account = assertPrepaid(claim.rail, claim.payer, claim.asset, keyId);
  assertAtoms('The maximum', claim.max);
  const key = await tx.get(
    `SELECT k.secret_hash, k.revoked_at_ms, k.routes, k.per_day, COALESCE(a.balance, 0) AS balance,
       COALESCE(d.spent, 0) AS spent
     FROM api_key k
     LEFT JOIN account a ON a.name = ? AND a.asset = 'USD'
     LEFT JOIN key_day d ON d.key_id = k.id AND d.day = ?
     WHERE k.id = ?`,
    [account, day, keyId],
  );
  if (key === undefined || !isGoodSecret(key, hold.secretHash)) return { outcome: 'unknown_key' };

  const refusal = refuse(key, claim.route, claim.max);
  if (refusal !== null) {
    // A repeated request gets its payment even if the key could not pay another one.
    const existing = await selectByCredential(tx, claim.credentialKey);
    return existing === null ? refusal : { outcome: 'exists', payment: existing.payment };
  }
  // Without a cap nobody asks what a key spent on a day, and counting it would cost two writes.
  const spendingDay = key.per_day === null ? null : day;
  const fresh: NewPayment = { claim, state: 'running', day: spendingDay, quotaScope: null };
  const seq = await insertPayment(tx, fresh);
  if (seq === null) return { outcome: 'exists', payment: await existingPayment(tx, claim) };
  if (spendingDay !== null) await spendOnDay(tx, keyId, spendingDay, claim.max);
  const postings = move(USD.id, account, heldAccount(claim.payer), claim.max);
  await postEntries(tx, 'hold', seq, context.nowMs, postings);
  return {
    outcome: 'held',
    payment: paymentOf(fresh),
    balance: (key.balance as bigint) - claim.max,
  };
};

function assertPrepaid(rail: string, payer: string, asset: string, keyId: string): string {
  if (rail !== 'prepaid' || payer !== `key:${keyId}` || asset !== USD.id)
    throw new MoneyLawBroken(`A prepaid hold of ${keyId} names ${rail}, ${payer} and ${asset}`);
  return payerAccount(payer);
}

/** Whether this is the secret of a key that was not revoked; in the same time wherever they differ. */
export function isGoodSecret(key: Row, secretHash: string): boolean {
  const stored = Buffer.from(key.secret_hash as string);
  const given = Buffer.from(secretHash);
  const equal = stored.length === given.length && timingSafeEqual(stored, given);
  return equal && key.revoked_at_ms === null;
}

function refuse(key: Row, route: string, max: bigint) {
  const routes = key.routes === null ? null : (JSON.parse(key.routes as string) as string[]);
  if (routes !== null && !routes.includes(route)) return { outcome: 'route_forbidden' } as const;
  const perDay = key.per_day as bigint | null;
  if (perDay !== null && (key.spent as bigint) + max > perDay)
    return { outcome: 'cap_reached', perDay } as const;
  const balance = key.balance as bigint;
  if (balance < max) return { outcome: 'insufficient', balance } as const;
  return null;
}

async function spendOnDay(
  tx: Transaction,
  keyId: string,
  day: string,
  amount: bigint,
): Promise<void> {
  if (amount === 0n) return;
  await tx.run(
    `INSERT INTO key_day (key_id, day, spent) VALUES (?, ?, ?)
     ON CONFLICT (key_id, day) DO UPDATE SET spent = key_day.spent + excluded.spent`,
    [keyId, day, amount],
  );
}

/** Gives back what a payment held on its day and did not take. */
export async function unspendOnDay(
  tx: Transaction,
  payer: string,
  day: string | null,
  amount: bigint,
): Promise<void> {
  if (day === null || amount === 0n) return;
  await tx.run('UPDATE key_day SET spent = spent - ? WHERE key_id = ? AND day = ?', [
    amount,
    payer.slice('key:'.length),
    day,
  ]);
}
