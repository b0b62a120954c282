/** A journal in one SQLite file, shared by all processes that pay from one budget. Loads node:sqlite on first use. */

import type { DatabaseSync } from 'node:sqlite';
import { utcDay } from '../core/clock.ts';
import { JournalUnavailable } from './errors.ts';
import { EXPIRY_MARGIN_MS, type Journal, type SignedPayment } from './journal.ts';

const SCHEMA_VERSION = 1;

const SCHEMA = `
  CREATE TABLE IF NOT EXISTS payments (
    id TEXT PRIMARY KEY,
    day TEXT NOT NULL,
    amount INTEGER NOT NULL CHECK (amount >= 0),
    state TEXT NOT NULL CHECK (state IN ('held', 'sent', 'paid', 'refused', 'unknown')),
    owner TEXT NOT NULL,
    held_at_ms INTEGER NOT NULL,
    method TEXT, url TEXT, request_key TEXT, header_name TEXT, header_value TEXT,
    network TEXT, asset TEXT, payer TEXT, pay_to TEXT, nonce TEXT, valid_before_ms INTEGER
  ) STRICT;
  CREATE INDEX IF NOT EXISTS payments_day ON payments (day);
  CREATE INDEX IF NOT EXISTS payments_open ON payments (request_key) WHERE state IN ('sent', 'unknown');
  PRAGMA user_version = ${SCHEMA_VERSION};
`;

/** Who has a payment in flight: `host/pid/instance`. */
interface Self {
  readonly owner: string;
  isGone(owner: string): boolean;
}

interface Store {
  readonly database: DatabaseSync;
  readonly self: Self;
}

/** Opens the file on first use, private to its user; every method rejects with JournalUnavailable when that fails. */
export function fileJournal(path: string): Journal {
  let opening: Promise<Store> | null = null;

  async function opened(): Promise<Store> {
    opening ??= openStore(path);
    try {
      return await opening;
    } catch (error) {
      // The next payment tries again: the disk may have been full for a moment only.
      opening = null;
      throw error;
    }
  }

  async function run<Result>(work: (store: Store) => Result): Promise<Result> {
    try {
      return work(await opened());
    } catch (error) {
      const detail = error instanceof Error ? error.message : String(error);
      throw new JournalUnavailable(`The journal ${path} can't be used: ${detail}`, {
        cause: error,
      });
    }
  }

  return {
    hold: ({ id, amount, perDay, nowMs }) =>
      run((store) =>
        transact(store.database, () => {
          const day = utcDay(nowMs);
          const spent = perDay === null ? 0n : spentOn(store.database, day, nowMs);
          if (perDay !== null && spent + amount > perDay) return { outcome: 'exceeded', spent };
          store.database
            .prepare(
              `INSERT INTO payments (id, day, amount, state, owner, held_at_ms)
               VALUES (?, ?, ?, 'held', ?, ?)`,
            )
            .run(id, day, amount, store.self.owner, nowMs);
          return { outcome: 'held' };
        }),
      ),
    release: (id) =>
      run(({ database }) => {
        database.prepare(`DELETE FROM payments WHERE id = ? AND state = 'held'`).run(id);
      }),
    signed: (id, payment) => run(({ database }) => writeSigned(database, id, payment)),
    finish: (id, outcome, taken) =>
      run(({ database }) => {
        database
          .prepare('UPDATE payments SET state = ?, amount = COALESCE(?, amount) WHERE id = ?')
          .run(outcome, taken ?? null, id);
      }),
    takeUnknown: (requestKey, nowMs) =>
      run((store) => transact(store.database, () => takeUnknown(store, requestKey, nowMs))),
    close: async () => {
      const open = opening;
      opening = null;
      await open?.then(
        ({ database }) => database.close(),
        () => {},
      );
    },
  };
}

async function openStore(path: string): Promise<Store> {
  const [{ DatabaseSync }, { hostname }, { open }] = await Promise.all([
    import('node:sqlite'),
    import('node:os'),
    import('node:fs/promises'),
  ]);
  // The signatures in it are worth money until they expire: nobody else may read the file.
  await (await open(path, 'a', 0o600)).close();
  const database = new DatabaseSync(path, { readBigInts: true, timeout: 10_000 });
  try {
    database.exec('PRAGMA synchronous = FULL');
    const version = Number(database.prepare('PRAGMA user_version').get()?.user_version);
    if (version > SCHEMA_VERSION) throw new Error(`it was written by a newer version (${version})`);
    transact(database, () => database.exec(SCHEMA));
    return { database, self: whoAmI(hostname()) };
  } catch (error) {
    database.close();
    throw error;
  }
}

/** One write transaction: IMMEDIATE, so that two processes never both read the sum before either has written. */
function transact<Result>(database: DatabaseSync, work: () => Result): Result {
  database.exec('BEGIN IMMEDIATE');
  try {
    const result = work();
    database.exec('COMMIT');
    return result;
  } catch (error) {
    if (database.isTransaction) database.exec('ROLLBACK');
    throw error;
  }
}

function spentOn(database: DatabaseSync, day: string, nowMs: number): bigint {
  const row = database
    .prepare(
      `SELECT COALESCE(SUM(amount), 0) AS spent FROM payments
       WHERE day = ? AND NOT (state = 'refused' AND valid_before_ms < ?)`,
    )
    .get(day, nowMs - EXPIRY_MARGIN_MS);
  return row?.spent as bigint;
}

function writeSigned(database: DatabaseSync, id: string, payment: SignedPayment): void {
  const written = database
    .prepare(
      `UPDATE payments SET state = 'sent', method = ?, url = ?, request_key = ?, header_name = ?,
         header_value = ?, network = ?, asset = ?, payer = ?, pay_to = ?, nonce = ?, valid_before_ms = ?
       WHERE id = ?`,
    )
    .run(
      payment.method,
      payment.url,
      payment.requestKey,
      payment.headerName,
      payment.headerValue,
      payment.network,
      payment.asset,
      payment.from,
      payment.payTo,
      payment.nonce,
      payment.validBeforeMs,
      id,
    );
  if (BigInt(written.changes) !== 1n) throw new Error(`it lost the hold ${id}`);
}

function takeUnknown(
  { database, self }: Store,
  requestKey: string,
  nowMs: number,
): { id: string; payment: SignedPayment } | null {
  const rows = database
    .prepare(
      `SELECT * FROM payments WHERE request_key = ? AND state IN ('sent', 'unknown')
       AND valid_before_ms > ? ORDER BY held_at_ms`,
    )
    .all(requestKey, nowMs);
  for (const row of rows) {
    // What a process that is gone left in flight is as unknown as what a living one gave up on.
    if (row.state === 'sent' && !self.isGone(String(row.owner))) continue;
    const id = String(row.id);
    database
      .prepare(`UPDATE payments SET state = 'sent', owner = ? WHERE id = ?`)
      .run(self.owner, id);
    return { id, payment: signedPaymentOf(row) };
  }
  return null;
}

function signedPaymentOf(row: Record<string, unknown>): SignedPayment {
  return {
    method: String(row.method),
    url: String(row.url),
    requestKey: String(row.request_key),
    headerName: String(row.header_name),
    headerValue: String(row.header_value),
    network: String(row.network),
    asset: String(row.asset),
    from: String(row.payer),
    payTo: String(row.pay_to),
    amount: row.amount as bigint,
    nonce: String(row.nonce),
    validBeforeMs: Number(row.valid_before_ms),
  };
}

let instance = '';

function whoAmI(hostname: string): Self {
  instance ||= crypto.randomUUID();
  const owner = `${hostname}/${process.pid}/${instance}`;
  return {
    owner,
    isGone(other) {
      const [host, pid, otherInstance] = other.split('/');
      if (host !== hostname || otherInstance === instance) return false;
      if (Number(pid) === process.pid) return true;
      return !isAlive(Number(pid));
    },
  };
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    // EPERM means that it lives and belongs to somebody else.
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}
