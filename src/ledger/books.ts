/**
 * Balances and entries of one batch, kept in memory and written just before its commit: an account that
 * many payments touch is read and written once. What was read is kept for the next batch.
 */

import { ATOMS_MAX, USD } from '../core/money.ts';
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

/** Lines of a ledger transaction: an entry's number is that of its transaction times this, plus its line. */
export const LINES_MAX = 16n;

/** More balances than this are not kept from one batch to the next. */
const BALANCES_MAX = 20_000;

/** Rows of one INSERT; what is left over goes with the smaller ones. */
const ROWS_AT_ONCE = [64, 8, 1] as const;

export class Books {
  /** By account, for each asset. */
  readonly #balances = new Map<string, Map<string, Balance>>();
  #size = 0;
  readonly #changed = new Set<Balance>();
  #posted: Posted[] = [];
  /** The number of the last ledger transaction; null while it is not known. */
  #last: bigint | null = null;

  /** Nothing that was read before is true any more: somebody else wrote. */
  forget(): void {
    this.#balances.clear();
    this.#size = 0;
    this.#last = null;
  }

  /** Atoms of the account as of now, within this batch. */
  balance(tx: Transaction, account: string, asset: string): Awaitable<bigint> {
    const known = this.#known(account, asset);
    return known === undefined ? this.#read(tx, account, asset).then(atomsOf) : known.atoms;
  }

  /** Takes down a ledger transaction; throws MoneyLawBroken when a balance would overflow or be overdrawn. */
  post(tx: Transaction, posted: Posted): Awaitable<void> {
    if (posted.lines.length > LINES_MAX) throw new MoneyLawBroken(`A ${posted.kind} is too long`);
    const balances: Balance[] = [];
    for (const { account, asset } of posted.lines) {
      const known = this.#known(account, asset);
      if (known === undefined) return this.#readAndPost(tx, posted);
      balances.push(known);
    }
    this.#take(posted, balances);
  }

  async #readAndPost(tx: Transaction, posted: Posted): Promise<void> {
    const balances: Balance[] = [];
    for (const { account, asset } of posted.lines)
      balances.push(this.#known(account, asset) ?? (await this.#read(tx, account, asset)));
    this.#take(posted, balances);
  }

  #take(posted: Posted, balances: readonly Balance[]): void {
    for (const [index, balance] of balances.entries()) {
      balance.atoms = added(balance, (posted.lines[index] as Posting).amount);
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
    this.#last = await insertPosted(tx, posted, this.#last ?? (await lastTransaction(tx)));
    if (this.#size > BALANCES_MAX) this.forget();
  }

  #known(account: string, asset: string): Balance | undefined {
    return this.#balances.get(asset)?.get(account);
  }

  async #read(tx: Transaction, account: string, asset: string): Promise<Balance> {
    const row = await tx.values('SELECT balance FROM account WHERE name = ? AND asset = ?', [
      account,
      asset,
    ]);
    const stored = row === undefined ? null : (row[0] as bigint);
    const balance = { account, asset, stored, atoms: stored ?? 0n };
    let ofAsset = this.#balances.get(asset);
    if (ofAsset === undefined) {
      ofAsset = new Map();
      this.#balances.set(asset, ofAsset);
    }
    ofAsset.set(account, balance);
    this.#size++;
    return balance;
  }
}

function atomsOf({ atoms }: Balance): bigint {
  return atoms;
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

async function lastTransaction(tx: Transaction): Promise<bigint> {
  const row = await tx.values('SELECT COALESCE(MAX(seq), 0) FROM ledger_transaction');
  return row?.[0] as bigint;
}

/** Numbers and writes them; returns the last number. */
async function insertPosted(
  tx: Transaction,
  posted: readonly Posted[],
  last: bigint,
): Promise<bigint> {
  let seq = last;
  const headers: Value[] = [];
  const entries: Value[] = [];
  const inUsd: Value[] = [];
  for (const { kind, paymentSeq, nowMs, lines } of posted) {
    seq++;
    headers.push(seq, kind, paymentSeq, nowMs);
    let entry = seq * LINES_MAX;
    for (const { account, asset, amount } of lines) {
      if (asset === USD.id) inUsd.push(entry, account, amount);
      else entries.push(entry, account, asset, amount);
      entry++;
    }
  }
  await insertRows(tx, INSERT_HEADERS, headers, 4);
  await insertRows(tx, INSERT_ENTRIES, entries, 4);
  await insertRows(tx, INSERT_ENTRIES_IN_USD, inUsd, 3);
  return seq;
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
  'INSERT INTO entry (seq, account, asset, amount)',
  '(?, ?, ?, ?)',
);

/** Most are: a value in the statement costs less than one that is bound. */
const INSERT_ENTRIES_IN_USD = insertSqls(
  'INSERT INTO entry (seq, account, asset, amount)',
  `(?, ?, '${USD.id}', ?)`,
);

function insertSqls(into: string, row: string): string[] {
  return ROWS_AT_ONCE.map((rows) => `${into} VALUES ${Array<string>(rows).fill(row).join(', ')}`);
}
