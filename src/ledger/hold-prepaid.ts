/** Prepaid: claim, key, route, daily cap, balance and hold in one transaction. */

import { timingSafeEqual } from 'node:crypto';
import { USD } from '../core/money.ts';
import type { Row, Transaction } from '../storage/transaction.ts';
import { heldAccount, payerAccount } from './accounts.ts';
import { MoneyLawBroken } from './errors.ts';
import type { Memory, RememberedKey } from './memory.ts';
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
  const { memory } = context;
  const key = memory.key(keyId) ?? (await readHoldingKey(tx, memory, keyId));
  if (key === undefined || !isGoodSecret(key, hold.secretHash)) return { outcome: 'unknown_key' };

  const balance = await memory.books.balance(tx, account, USD.id);
  const spent = key.perDay === null ? 0n : await spentOnDay(tx, keyId, day);
  const refusal = refuse(key, balance, spent, claim.route, claim.max);
  if (refusal !== null) {
    // A repeated request gets its payment even if the key could not pay another one.
    const existing = await selectByCredential(tx, claim.credentialKey);
    return existing === null ? refusal : { outcome: 'exists', payment: existing.payment };
  }
  // Without a cap nobody asks what a key spent on a day, and counting it would cost two writes.
  const spendingDay = key.perDay === null ? null : day;
  const fresh: NewPayment = { claim, state: 'running', day: spendingDay, quotaScope: null };
  const seq = await insertPayment(tx, fresh);
  if (seq === null) return { outcome: 'exists', payment: await existingPayment(tx, claim) };
  if (spendingDay !== null) await spendOnDay(tx, keyId, spendingDay, claim.max);
  const postings = move(USD.id, account, heldAccount(claim.payer), claim.max);
  await postEntries(tx, memory.books, 'hold', seq, context.nowMs, postings);
  const payment = paymentOf(fresh);
  memory.keepHold({
    seq,
    payment,
    day: spendingDay,
    quotaScope: null,
    settledBlock: null,
    served: false,
  });
  return { outcome: 'held', payment, balance: balance - claim.max };
};

function assertPrepaid(rail: string, payer: string, asset: string, keyId: string): string {
  if (rail !== 'prepaid' || payer !== `key:${keyId}` || asset !== USD.id)
    throw new MoneyLawBroken(`A prepaid hold of ${keyId} names ${rail}, ${payer} and ${asset}`);
  return payerAccount(payer);
}

/** Reads and remembers a key; undefined when there is none. */
export async function readHoldingKey(
  tx: Transaction,
  memory: Memory,
  id: string,
): Promise<RememberedKey | undefined> {
  const row = await tx.get(
    'SELECT secret_hash, revoked_at_ms, routes, per_day FROM api_key WHERE id = ?',
    [id],
  );
  if (row === undefined) return undefined;
  const key = rememberedKey(row);
  memory.keepKey(id, key);
  return key;
}

export function rememberedKey(row: Row): RememberedKey {
  return {
    secretHash: Buffer.from(row.secret_hash as string),
    isRevoked: row.revoked_at_ms !== null,
    routes: row.routes === null ? null : (JSON.parse(row.routes as string) as string[]),
    perDay: row.per_day as bigint | null,
  };
}

/** Whether this is the secret of a key that was not revoked; in the same time wherever they differ. */
export function isGoodSecret({ secretHash, isRevoked }: RememberedKey, givenHash: string): boolean {
  const given = Buffer.from(givenHash);
  const equal = secretHash.length === given.length && timingSafeEqual(secretHash, given);
  return equal && !isRevoked;
}

function refuse(key: RememberedKey, balance: bigint, spent: bigint, route: string, max: bigint) {
  const { routes, perDay } = key;
  if (routes !== null && !routes.includes(route)) return { outcome: 'route_forbidden' } as const;
  if (perDay !== null && spent + max > perDay) return { outcome: 'cap_reached', perDay } as const;
  if (balance < max) return { outcome: 'insufficient', balance } as const;
  return null;
}

async function spentOnDay(tx: Transaction, keyId: string, day: string): Promise<bigint> {
  const row = await tx.get('SELECT spent FROM key_day WHERE key_id = ? AND day = ?', [keyId, day]);
  return (row?.spent as bigint | undefined) ?? 0n;
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
