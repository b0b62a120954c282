/** The one way to move money between accounts. */

import { ATOMS_MAX } from '../core/money.ts';
import type { Awaitable, Transaction, Value } from '../storage/transaction.ts';
import type { Books, Posting } from './books.ts';
import { MoneyLawBroken } from './errors.ts';

export type PostingKind =
  | 'top_up'
  | 'hold'
  | 'capture'
  | 'release'
  | 'settled'
  | 'unsettled'
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

/** Posts one ledger transaction; throws MoneyLawBroken when it does not sum to zero or a balance would overflow. */
export function postEntries(
  tx: Transaction,
  books: Books,
  kind: PostingKind,
  paymentSeq: Value,
  nowMs: number,
  postings: readonly Posting[],
): Awaitable<void> {
  const isWhole = postings.every(hasAmount);
  const lines = isWhole ? postings : postings.filter(hasAmount);
  if (lines.length === 0) return;
  assertZeroSum(kind, lines);
  return books.post(tx, { kind, paymentSeq, nowMs, lines });
}

function hasAmount({ amount }: Posting): boolean {
  return amount !== 0n;
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
