/** A ledger with a past: consistent payments, entries and balances, written straight into a fresh database. */

import { randomBytes } from 'node:crypto';
import { DatabaseSync } from 'node:sqlite';
import { systemClock } from '../src/core/clock.ts';
import { newTimedId } from '../src/core/id.ts';
import type { Ledger } from '../src/core/ports/ledger.ts';
import { openLedger } from '../src/ledger/open-ledger.ts';

const KEYS = 1_000;
const PRICE_ATOMS = 6_000;
/** USD atoms that each key was given at first. */
const TOP_UP_ATOMS = 1_000_000_000;
/** A prepaid call is a hold and a capture of two entries each. */
const ENTRIES_PER_PAYMENT = 4;
const DAYS = 30;
const DAY_MS = 86_400_000;

/** Writes some `entries` ledger entries of settled prepaid calls of the last 30 days, of 1,000 keys; the audit agrees with them. */
export async function fillLedger(file: string, entries: number): Promise<void> {
  await withLedger(file, (ledger) => ledger.stampMode('test'));
  const db = new DatabaseSync(file);
  try {
    db.exec('PRAGMA synchronous = OFF; PRAGMA cache_size = -262144; PRAGMA temp_store = MEMORY');
    db.function('payment_id', (atMs) => newTimedId('pay', randomBytes, Number(atMs)));
    db.exec('BEGIN');
    for (const sql of statements(Math.floor(entries / ENTRIES_PER_PAYMENT))) db.exec(sql);
    db.exec('COMMIT');
    db.exec('PRAGMA wal_checkpoint(TRUNCATE)');
  } finally {
    db.close();
  }
  const [difference] = await withLedger(file, (ledger) => ledger.audit());
  if (difference !== undefined)
    throw new Error(`The history is not consistent: ${JSON.stringify(difference)}`);
}

async function withLedger<T>(file: string, work: (ledger: Ledger) => Promise<T>): Promise<T> {
  const ledger = await openLedger({
    url: `sqlite:${file}`,
    clock: systemClock,
    exclusive: true,
    onFatal: fail,
  });
  try {
    return await work(ledger);
  } finally {
    await ledger.close();
  }
}

function statements(payments: number): string[] {
  const firstMs = systemClock.now() - DAYS * DAY_MS;
  const stepMs = Math.floor((DAYS * DAY_MS) / payments);
  const key = (i: string): string => `printf('past%04d', ${i} % ${KEYS})`;
  const at = (i: string): string => `${firstMs} + ${i} * ${stepMs}`;
  const count = (last: number): string =>
    `WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < ${last - 1})`;
  /** Ledger transactions in the order of time: the top-ups, then hold and capture of each payment. */
  const seq = (i: string, step: 0 | 1): string => `${KEYS} + 1 + 2 * ${i} + ${step}`;
  const usage = `[{"unit":"calls","count":1,"price":"0.006","cost":"0.006"}]`;
  return [
    `${count(KEYS)} INSERT INTO api_key (id, prefix, secret_hash, mode, created_at_ms)
       SELECT ${key('i')}, 'cs_test_past', hex(randomblob(32)), 'test', ${firstMs} FROM n`,
    `${count(KEYS)} INSERT INTO ledger_transaction (seq, kind, payment_seq, created_at_ms)
       SELECT i + 1, 'top_up', NULL, ${firstMs} FROM n`,
    `${count(KEYS)} INSERT INTO entry (seq, account, asset, amount)
       SELECT (i + 1) * 16, 'outside:operator', 'USD', -${TOP_UP_ATOMS} FROM n
       UNION ALL SELECT (i + 1) * 16 + 1, 'payer:' || ${key('i')}, 'USD', ${TOP_UP_ATOMS} FROM n`,
    // Materialized, or each use of the id would make another one.
    `${count(payments)}, named(i, id) AS MATERIALIZED (SELECT i, payment_id(${at('i')}) FROM n)
       INSERT INTO payment (seq, id, state, rail, route, payer, asset, amount_max,
         amount, cost_max, cost, usage, credential_hash, digest, owner, replay,
         created_at_ms, updated_at_ms, expires_at_ms)
       SELECT i + 1, id, 'settled', 'prepaid', 'POST /summarize', 'key:' || ${key('i')}, 'USD',
         ${PRICE_ATOMS}, ${PRICE_ATOMS}, ${PRICE_ATOMS}, ${PRICE_ATOMS}, '${usage}',
         lower(hex(randomblob(32))), lower(hex(randomblob(32))), 'proc_past',
         'always', ${at('i')}, ${at('i')}, ${at('i')} + 180000
       FROM named`,
    `${count(payments)} INSERT INTO ledger_transaction (seq, kind, payment_seq, created_at_ms)
       SELECT ${seq('i', 0)}, 'hold', i + 1, ${at('i')} FROM n
       UNION ALL SELECT ${seq('i', 1)}, 'capture', i + 1, ${at('i')} FROM n`,
    `${count(payments)} INSERT INTO entry (seq, account, asset, amount)
       SELECT (${seq('i', 0)}) * 16, 'payer:' || ${key('i')}, 'USD', -${PRICE_ATOMS} FROM n
       UNION ALL SELECT (${seq('i', 0)}) * 16 + 1, 'held:' || ${key('i')}, 'USD', ${PRICE_ATOMS} FROM n
       UNION ALL SELECT (${seq('i', 1)}) * 16, 'held:' || ${key('i')}, 'USD', -${PRICE_ATOMS} FROM n
       UNION ALL SELECT (${seq('i', 1)}) * 16 + 1, 'revenue:POST /summarize', 'USD', ${PRICE_ATOMS} FROM n`,
    `INSERT INTO account (name, asset, balance)
       SELECT account, asset, SUM(amount) FROM entry GROUP BY account, asset`,
  ];
}

function fail(error: Error): never {
  throw error;
}
