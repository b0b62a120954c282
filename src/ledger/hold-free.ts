/** The free tier: a call is taken from the payer's quota and from what all free calls of the day may be worth. */

import type { FreeQuota } from '../core/ports/ledger.ts';
import type { Transaction } from '../storage/transaction.ts';
import { MoneyLawBroken } from './errors.ts';
import { isGoodSecret, readHoldingKey } from './hold-prepaid.ts';
import type { Operation } from './operation.ts';
import { insertPayment, type NewPayment, paymentOf } from './payment-row.ts';
import { assertAtoms } from './post-entries.ts';

/** The scope under which the calls of all payers are counted together. */
export const TOTAL_SCOPE = 'total';

export const holdFree: Operation<'holdFree'> = async (tx, { memory }, { claim, quota, key }) => {
  if (claim.rail !== 'free' || claim.max !== 0n || claim.network !== null)
    throw new MoneyLawBroken('A free call holds no money');
  assertAtoms('The maximum in USD', claim.quoteMax);
  if (key !== null) {
    const stored = memory.key(key.id) ?? (await readHoldingKey(tx, memory, key.id));
    if (stored === undefined || !isGoodSecret(stored, key.secretHash))
      return { outcome: 'unknown_key' };
  }
  const used = await usedToday(tx, quota);
  if (used.calls >= BigInt(quota.perDay)) return { outcome: 'exhausted', by: 'payer' };
  if (quota.totalPerDay !== null && used.worth + claim.quoteMax > quota.totalPerDay)
    return { outcome: 'exhausted', by: 'total' };

  const fresh: NewPayment = { claim, state: 'running', day: quota.day, quotaScope: quota.scope };
  if ((await insertPayment(tx, fresh)) === null)
    throw new MoneyLawBroken(`The free credential ${claim.credentialKey} was used before`);
  await takeFree(tx, quota.scope, quota.day, claim.quoteMax);
  await takeFree(tx, TOTAL_SCOPE, quota.day, claim.quoteMax);
  const remaining = quota.perDay - Number(used.calls) - 1;
  return { outcome: 'held', payment: paymentOf(fresh), remaining };
};

export const freeRemaining: Operation<'freeRemaining'> = async (tx, _context, quota) => {
  const used = await usedToday(tx, quota);
  if (quota.totalPerDay !== null && used.worth >= quota.totalPerDay) return 0;
  return Math.max(0, quota.perDay - Number(used.calls));
};

/** The calls of the scope and the worth of all scopes. */
async function usedToday(
  tx: Transaction,
  { scope, day }: FreeQuota,
): Promise<{ calls: bigint; worth: bigint }> {
  if (scope === TOTAL_SCOPE) throw new MoneyLawBroken(`The quota scope ${scope} is reserved`);
  const rows = await tx.all(
    'SELECT scope, calls, worth FROM free_day WHERE day = ? AND scope IN (?, ?)',
    [day, scope, TOTAL_SCOPE],
  );
  let calls = 0n;
  let worth = 0n;
  for (const row of rows) {
    if (row.scope === scope) calls = row.calls as bigint;
    else worth = row.worth as bigint;
  }
  return { calls, worth };
}

async function takeFree(tx: Transaction, scope: string, day: string, worth: bigint): Promise<void> {
  await tx.run(
    `INSERT INTO free_day (scope, day, calls, worth) VALUES (?, ?, 1, ?)
     ON CONFLICT (scope, day) DO UPDATE SET calls = free_day.calls + 1, worth = free_day.worth + excluded.worth`,
    [scope, day, worth],
  );
}

/** Gives one call back to the day it was taken from. */
export async function giveBackFree(
  tx: Transaction,
  scope: string,
  day: string,
  worth: bigint,
): Promise<void> {
  await tx.run(
    'UPDATE free_day SET calls = calls - 1, worth = worth - ? WHERE day = ? AND scope IN (?, ?)',
    [worth, day, scope, TOTAL_SCOPE],
  );
}
