/**
 * Balances and entries of one batch, kept in memory and written just before its commit: an account that
 * many payments touch is read and written once. What was read is kept for the next batch.
 */

import { ATOMS_MAX } from '../core/money.ts';
import type { Awaitable, Transaction, Value } from '../storage/transaction.ts';
import { MoneyLawBroken } from './errors.ts';

interface Balance {
  readonly account: string;
  readonly asset: string;
  /** As the table has it; null while there is no row. */
  stored: bigint | null;
  atoms: bigint;
}

/** One entry of a ledger transaction. */
export interface Posting {
  readonly account: string;
  readonly asset: string;
  /** Atoms, signed; zero is left out. */
  readonly amount: bigint;
}

interface Posted {
  readonly kind: string;
  readonly paymentSeq: Value;
  readonly nowMs: number;
  readonly lines: readonly Posting[];
}

/** More balances than this are not kept from one batch to the next. */
const BALANCES_MAX = 20_000;

/** Rows of one INSERT; what is left over goes with the smaller ones. */
const ROWS_AT_ONCE = [64, 8, 1] as const;

export class Books {
  readonly #balances = new Map<string, Balance>();
  readonly #changed = new Set<Balance>();
  #posted: Posted[] = [];

  /** Nothing that was read before is true any more: somebody else wrote. */
  forget(): void {
    this.#balances.clear();
  }

  /** Atoms of the account as of now, within this batch. */
  async balance(tx: Transaction, account: string, asset: string): Promise<bigint> {
    return (await this.#balance(tx, account, asset)).atoms;
  }

  /** Takes down a ledger transaction; throws MoneyLawBroken when a balance would overflow or be overdrawn. */
  async post(tx: Transaction, posted: Posted): Promise<void> {
    for (const { account, asset, amount } of posted.lines) {
      const found = this.#balance(tx, account, asset);
      const balance = found instanceof Promise ? await found : found;
      balance.atoms = added(balance, amount);
      this.#changed.add(balance);
    }
    this.#posted.push(posted);
  }

  /** Writes what was posted. Any failure means that the whole transaction must be rolled back, and these books thrown away. */
  async flush(tx: Transaction): Promise<void> {
    if (this.#posted.length === 0) return;
    for (const balance of this.#changed) await write(tx, balance);
    this.#changed.clear();
    const posted = this.#posted;
    this.#posted = [];
    await insertPosted(tx, posted);
    if (this.#balances.size > BALANCES_MAX) this.#balances.clear();
  }

  #balance(tx: Transaction, account: string, asset: string): Awaitable<Balance> {
    return this.#balances.get(`${asset} ${account}`) ?? this.#read(tx, account, asset);
  }

  async #read(tx: Transaction, account: string, asset: string): Promise<Balance> {
    const row = await tx.values('SELECT balance FROM account WHERE name = ? AND asset = ?', [
      account,
      asset,
    ]);
    const stored = row === undefined ? null : (row[0] as bigint);
    const balance = { account, asset, stored, atoms: stored ?? 0n };
    this.#balances.set(`${asset} ${account}`, balance);
    return balance;
  }
}

function added({ account, atoms }: Balance, amount: bigint): bigint {
  const sum = atoms + amount;
  if (sum > ATOMS_MAX || sum < -ATOMS_MAX)
    throw new MoneyLawBroken(`The balance of ${account} would overflow`);
  if (sum < 0n && (account.startsWith('payer:') || account.startsWith('held:')))
    throw new MoneyLawBroken(`The balance of ${account} would be overdrawn`);
  return sum;
}

/** Only over the very value that was read: a balance that is not what we think is never written over. */
async function write(tx: Transaction, balance: Balance): Promise<void> {
  const { account, asset, stored, atoms } = balance;
  if (atoms === stored) return;
  const written =
    stored === null
      ? await tx.run(
          'INSERT INTO account (name, asset, balance) VALUES (?, ?, ?) ON CONFLICT (name, asset) DO NOTHING',
          [account, asset, atoms],
        )
      : await tx.run(
          'UPDATE account SET balance = ? WHERE name = ? AND asset = ? AND balance = ?',
          [atoms, account, asset, stored],
        );
  if (written !== 1) throw new MoneyLawBroken(`The balance of ${account} is not what was read`);
  balance.stored = atoms;
}

async function insertPosted(tx: Transaction, posted: readonly Posted[]): Promise<void> {
  const last = await tx.values('SELECT COALESCE(MAX(seq), 0) FROM ledger_transaction');
  let seq = last?.[0] as bigint;
  const headers: Value[] = [];
  const entries: Value[] = [];
  for (const { kind, paymentSeq, nowMs, lines } of posted) {
    seq++;
    headers.push(seq, kind, paymentSeq, nowMs);
    let line = 0;
    for (const { account, asset, amount } of lines)
      entries.push(seq, line++, account, asset, amount);
  }
  await insertRows(tx, INSERT_HEADERS, headers, 4);
  await insertRows(tx, INSERT_ENTRIES, entries, 5);
}

async function insertRows(
  tx: Transaction,
  sqls: readonly string[],
  values: readonly Value[],
  columns: number,
): Promise<void> {
  let from = 0;
  for (const [index, rows] of ROWS_AT_ONCE.entries())
    for (const step = rows * columns; from + step <= values.length; from += step)
      await tx.run(sqls[index] as string, values.slice(from, from + step));
}

const INSERT_HEADERS = insertSqls(
  'INSERT INTO ledger_transaction (seq, kind, payment_seq, created_at_ms)',
  '(?, ?, ?, ?)',
);
const INSERT_ENTRIES = insertSqls(
  'INSERT INTO entry (transaction_seq, line, account, asset, amount)',
  '(?, ?, ?, ?, ?)',
);

function insertSqls(into: string, row: string): string[] {
  return ROWS_AT_ONCE.map((rows) => `${into} VALUES ${Array<string>(rows).fill(row).join(', ')}`);
}
