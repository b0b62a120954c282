/** Prepaid API keys and their balances. The ledger sees a key's id and the hash of its secret, never the secret. */

import { USD } from '../core/money.ts';
import type { ApiKey, Mode } from '../core/ports/ledger.ts';
import type { Row, Transaction } from '../storage/transaction.ts';
import { outsideAccount, payerAccount } from './accounts.ts';
import type { Books } from './books.ts';
import { MoneyLawBroken } from './errors.ts';
import { isGoodSecret, rememberedKey } from './hold-prepaid.ts';
import type { Operation } from './operation.ts';
import { assertAtoms, move, postEntries } from './post-entries.ts';

const SELECT_KEYS = `SELECT k.*, COALESCE(a.balance, 0) AS balance FROM api_key k
  LEFT JOIN account a ON a.name = 'payer:' || k.id AND a.asset = 'USD'`;

function readKey(row: Row): ApiKey {
  return {
    id: row.id as string,
    prefix: row.prefix as string,
    mode: row.mode as Mode,
    balance: row.balance as bigint,
    perDay: row.per_day as bigint | null,
    routes: row.routes === null ? null : (JSON.parse(row.routes as string) as string[]),
    name: row.name as string | null,
    createdAtMs: Number(row.created_at_ms),
    revokedAtMs: row.revoked_at_ms === null ? null : Number(row.revoked_at_ms),
  };
}

async function selectKey(tx: Transaction, id: string): Promise<ApiKey | null> {
  const row = await tx.get(`${SELECT_KEYS} WHERE k.id = ?`, [id]);
  return row === undefined ? null : readKey(row);
}

export const findKey: Operation<'findKey'> = (tx, _context, id) => selectKey(tx, id);

export const authenticateKey: Operation<'authenticateKey'> = async (
  tx,
  _context,
  id,
  secretHash,
) => {
  const row = await tx.get(`${SELECT_KEYS} WHERE k.id = ?`, [id]);
  return row !== undefined && isGoodSecret(rememberedKey(row), secretHash) ? readKey(row) : null;
};

/** Oldest first. */
export const listKeys: Operation<'listKeys'> = async (tx) => {
  const rows = await tx.all(`${SELECT_KEYS} ORDER BY k.created_at_ms, k.id`);
  return rows.map(readKey);
};

export const createKey: Operation<'createKey'> = async (tx, { memory }, key) => {
  assertAtoms('The top-up', key.topUp);
  if (key.perDay !== null) assertAtoms('The daily cap', key.perDay);
  const mode = await tx.get("SELECT value FROM shared_value WHERE name = 'mode'");
  if (mode !== undefined && mode.value !== key.mode)
    throw new MoneyLawBroken(`A ${key.mode} key can't live in a ${mode.value} database`);
  const created = await tx.run(
    `INSERT INTO api_key (id, prefix, secret_hash, mode, per_day, routes, name, created_at_ms)
     VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING`,
    [
      ...[key.id, key.prefix, key.secretHash, key.mode, key.perDay],
      ...[key.routes === null ? null : JSON.stringify(key.routes), key.name, key.nowMs],
    ],
  );
  if (created !== 1) throw new MoneyLawBroken(`There is a key ${key.id} already`);
  await topUp(tx, memory.books, key.id, key.topUp, 'operator', key.nowMs);
  return (await selectKey(tx, key.id)) as ApiKey;
};

export const topUpKey: Operation<'topUpKey'> = async (
  tx,
  { memory },
  id,
  amount,
  source,
  nowMs,
) => {
  assertAtoms('The top-up', amount);
  if ((await selectKey(tx, id)) === null) return null;
  await topUp(tx, memory.books, id, amount, source, nowMs);
  return await selectKey(tx, id);
};

/** Writes the books at once: the key is read again with its new balance. */
async function topUp(
  tx: Transaction,
  books: Books,
  id: string,
  amount: bigint,
  source: string,
  nowMs: number,
): Promise<void> {
  const postings = move(USD.id, outsideAccount(source), payerAccount(`key:${id}`), amount);
  await postEntries(tx, books, 'top_up', null, nowMs, postings);
  await books.flush(tx);
}

export const rotateKey: Operation<'rotateKey'> = async (tx, _context, id, prefix, secretHash) => {
  await tx.run('UPDATE api_key SET prefix = ?, secret_hash = ? WHERE id = ?', [
    prefix,
    secretHash,
    id,
  ]);
  return await selectKey(tx, id);
};

/** A key that was revoked stays so, with its first date. */
export const revokeKey: Operation<'revokeKey'> = async (tx, _context, id, nowMs) => {
  await tx.run('UPDATE api_key SET revoked_at_ms = ? WHERE id = ? AND revoked_at_ms IS NULL', [
    nowMs,
    id,
  ]);
  return await selectKey(tx, id);
};
