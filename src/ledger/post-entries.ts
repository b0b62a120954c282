/** The one place where entries and balances are written. */

import { ATOMS_MAX } from '../core/money.ts';
import type { Transaction, Value } from '../storage/transaction.ts';
import { MoneyLawBroken } from './errors.ts';

export interface Posting {
  readonly account: string;
  readonly asset: string;
  /** Atoms, signed; zero is left out. */
  readonly amount: bigint;
}

export type PostingKind =
  | 'top_up'
  | 'hold'
  | 'capture'
  | 'release'
  | 'settled'
  | 'settlement_failed'
  | 'settled_after_all'
  | 'refund_due';

/** Throws unless `atoms` is a whole amount from 0 to 2^63 - 1: SQLite would silently make a REAL of more. */
export function assertAtoms(what: string, atoms: bigint): void {
  if (typeof atoms !== 'bigint') throw new MoneyLawBroken(`${what} is not in atoms`);
  if (atoms < 0n || atoms > ATOMS_MAX)
    throw new MoneyLawBroken(`${what} of ${atoms} atoms is outside 0 to 2^63 - 1`);
}

/** The two entries that move `amount` from one account to another. */
export function move(asset: string, from: string, to: string, amount: bigint): Posting[] {
  return [
    { account: from, asset, amount: -amount },
    { account: to, asset, amount },
  ];
}

/** Writes one ledger transaction; throws MoneyLawBroken when it does not sum to zero or a balance would overflow. */
export async function postEntries(
  tx: Transaction,
  kind: PostingKind,
  paymentSeq: Value,
  nowMs: number,
  postings: readonly Posting[],
): Promise<void> {
  const lines = postings.filter((posting) => posting.amount !== 0n);
  if (lines.length === 0) return;
  assertZeroSum(kind, lines);
  for (const line of lines) await addToBalance(tx, line);
  const seq = (await tx.insert(
    'INSERT INTO ledger_transaction (kind, payment_seq, created_at_ms) VALUES (?, ?, ?)',
    [kind, paymentSeq, nowMs],
  )) as bigint;
  const values: Value[] = [];
  for (const [line, { account, asset, amount }] of lines.entries())
    values.push(seq, BigInt(line), account, asset, amount);
  await tx.run(insertEntriesSql(lines.length), values);
}

function assertZeroSum(kind: PostingKind, lines: readonly Posting[]): void {
  const asset = lines[0]?.asset;
  if (lines.every((line) => line.asset === asset)) {
    let sum = 0n;
    for (const line of lines) sum += line.amount;
    if (sum !== 0n) throw new MoneyLawBroken(`A ${kind} does not sum to zero in ${asset}`);
    return;
  }
  for (const [name, group] of Map.groupBy(lines, (line) => line.asset)) {
    const sum = group.reduce((total, line) => total + line.amount, 0n);
    if (sum !== 0n) throw new MoneyLawBroken(`A ${kind} does not sum to zero in ${name}`);
  }
}

/** Only adds where the sum still fits 64 bits, so that an overflow is refused before it is written. */
async function addToBalance(tx: Transaction, { account, asset, amount }: Posting): Promise<void> {
  const lowest = amount < 0n ? -ATOMS_MAX - amount : -ATOMS_MAX;
  const highest = amount > 0n ? ATOMS_MAX - amount : ATOMS_MAX;
  const changed = await tx.run(
    'UPDATE account SET balance = balance + ? WHERE name = ? AND asset = ? AND balance BETWEEN ? AND ?',
    [amount, account, asset, lowest, highest],
  );
  if (changed === 1) return;
  const opened = await tx.run(
    'INSERT INTO account (name, asset, balance) VALUES (?, ?, ?) ON CONFLICT (name, asset) DO NOTHING',
    [account, asset, amount],
  );
  if (opened !== 1) throw new MoneyLawBroken(`The balance of ${account} would overflow`);
}

const insertEntries = new Map<number, string>();

function insertEntriesSql(count: number): string {
  let sql = insertEntries.get(count);
  if (sql === undefined) {
    const rows = Array<string>(count).fill('(?, ?, ?, ?, ?)').join(', ');
    sql = `INSERT INTO entry (transaction_seq, line, account, asset, amount) VALUES ${rows}`;
    insertEntries.set(count, sql);
  }
  return sql;
}
