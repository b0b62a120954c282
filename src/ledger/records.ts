/** Reading payments, entries and balances; and the values that processes share. */

import { newTimedId } from '../core/id.ts';
import type { Mode } from '../core/ports/ledger.ts';
import type { Transaction, Value } from '../storage/transaction.ts';
import { LINES_MAX } from './books.ts';
import type { Operation } from './operation.ts';
import { COLUMNS, readPayment, selectByCredential, selectPayment } from './payment-row.ts';

/** No list is longer, whatever the caller asks for. */
export const ROWS_MAX = 100_000;

export const findPayment: Operation<'findPayment'> = async (tx, _context, id) =>
  (await selectPayment(tx, id))?.payment ?? null;

export const findByCredential: Operation<'findByCredential'> = async (
  tx,
  _context,
  credentialKey,
) => (await selectByCredential(tx, credentialKey))?.payment ?? null;

/** No payment of that time has a smaller id: they begin with the time, and only the index of ids is in its order. */
const SINCE = 'seq >= (SELECT MIN(seq) FROM payment WHERE id >= ?)';
const NOTHING = new Uint8Array();

/** Newest first. */
export const listPayments: Operation<'listPayments'> = async (tx, _context, filter) => {
  const where = new Where();
  where.equal('state', filter.state);
  where.equal('rail', filter.rail);
  where.equal('payer', filter.payer);
  if (filter.sinceMs !== undefined) {
    where.add('created_at_ms >= ?', filter.sinceMs);
    where.add(
      SINCE,
      newTimedId('pay', () => NOTHING, filter.sinceMs),
    );
  }
  const rows = await tx.allValues(
    `SELECT ${COLUMNS} FROM payment ${where.sql()} ORDER BY seq DESC LIMIT ?`,
    [...where.values, bounded(filter.limit)],
  );
  return rows.map(readPayment);
};

const OF_PAYMENT = 't.payment_seq = (SELECT seq FROM payment WHERE id = ?)';

/** Newest ledger transaction first, its entries in the order they were posted. */
export const entries: Operation<'entries'> = async (tx, _context, filter) => {
  const where = new Where();
  if (filter.paymentId !== undefined) where.add(OF_PAYMENT, filter.paymentId);
  where.equal('e.account', filter.account);
  const rows = await tx.all(
    `SELECT e.seq, t.seq AS transaction_seq, t.kind, p.id AS payment_id, e.account, e.asset, e.amount,
       t.created_at_ms
     FROM ledger_transaction t
     CROSS JOIN entry e ON e.seq BETWEEN t.seq * ${LINES_MAX} AND t.seq * ${LINES_MAX} + ${LINES_MAX - 1n}
     LEFT JOIN payment p ON p.seq = t.payment_seq
     ${where.sql()} ORDER BY t.seq DESC, e.seq LIMIT ?`,
    [...where.values, bounded(filter.limit)],
  );
  return rows.map((row) => ({
    id: Number(row.seq),
    transactionId: Number(row.transaction_seq),
    kind: row.kind as string,
    paymentId: row.payment_id as string | null,
    account: row.account as string,
    asset: row.asset as string,
    amount: row.amount as bigint,
    createdAtMs: Number(row.created_at_ms),
  }));
};

export const balances: Operation<'balances'> = async (tx) => {
  const rows = await tx.all('SELECT name, asset, balance FROM account ORDER BY name, asset');
  return rows.map((row) => ({
    account: row.name as string,
    asset: row.asset as string,
    balance: row.balance as bigint,
  }));
};

export const sharedSecret: Operation<'sharedSecret'> = (tx, _context, name, candidate) =>
  insertOrRead(tx, `secret:${name}`, candidate);

export const stampMode: Operation<'stampMode'> = async (tx, _context, mode) =>
  (await insertOrRead(tx, 'mode', mode)) as Mode;

async function insertOrRead(tx: Transaction, name: string, candidate: string): Promise<string> {
  await tx.run(
    'INSERT INTO shared_value (name, value) VALUES (?, ?) ON CONFLICT (name) DO NOTHING',
    [name, candidate],
  );
  const row = await tx.get('SELECT value FROM shared_value WHERE name = ?', [name]);
  return row?.value as string;
}

function bounded(limit: number): bigint {
  return BigInt(Math.max(0, Math.min(ROWS_MAX, Math.floor(limit) || 0)));
}

/** The conditions of a filter; what is undefined is not asked. */
class Where {
  readonly values: Value[] = [];
  readonly #terms: string[] = [];

  equal(column: string, value: Value | undefined): void {
    if (value !== undefined) this.add(`${column} = ?`, value);
  }

  add(term: string, value: Value): void {
    this.#terms.push(term);
    this.values.push(value);
  }

  sql(): string {
    return this.#terms.length === 0 ? '' : `WHERE ${this.#terms.join(' AND ')}`;
  }
}
