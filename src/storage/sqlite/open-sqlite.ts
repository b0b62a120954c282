/** The embedded engine: one SQLite connection in the thread that opens it. */

import { realpathSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';
import { CoinslotError } from '../../core/errors.ts';
import { DatabaseNotOpened, StorageFailed } from '../errors.ts';
import { loadMigrations, pendingMigrations } from '../migrations.ts';
import type { Awaitable, Database, Transaction, TransactMode } from '../transaction.ts';
import { type Lock, lockFile } from './lock-file.ts';
import { createPrivateFile } from './private-file.ts';
import { explain, SqliteTransaction } from './sqlite-transaction.ts';

export interface SqliteOptions {
  /** A file, or `:memory:`. */
  readonly path: string;
  /** True refuses a file that another gateway already holds. */
  readonly exclusive: boolean;
  readonly busyTimeoutMs: number;
}

/** Throws DatabaseInUse or DatabaseNotOpened. */
export function openSqlite(options: SqliteOptions): Database {
  let lock: Lock | null = null;
  try {
    const path = resolve(options.path);
    if (options.exclusive && path !== MEMORY) lock = lockFile(path);
    return new SqliteDatabase(openConnection(path, options.busyTimeoutMs), lock);
  } catch (error) {
    lock?.release();
    if (error instanceof CoinslotError) throw error;
    const reason = error instanceof Error ? error.message : String(error);
    throw new DatabaseNotOpened(`Cannot open ${options.path}: ${reason}`, { cause: error });
  }
}

const MEMORY = ':memory:';

/** The real path, so that a symbolic link does not get a second lock. */
function resolve(path: string): string {
  if (path === MEMORY) return path;
  createPrivateFile(path);
  return realpathSync(path);
}

function openConnection(path: string, busyTimeoutMs: number): DatabaseSync {
  const db = new DatabaseSync(path, { timeout: busyTimeoutMs, readBigInts: true });
  try {
    // FULL makes each commit wait for the disk: an answered operation survives a power cut. A log of
    // 4000 pages (16 MiB) folds many writes of one page into one, and keeps each checkpoint short.
    db.exec(`
      PRAGMA journal_mode = WAL;
      PRAGMA synchronous = FULL;
      PRAGMA foreign_keys = ON;
      PRAGMA temp_store = MEMORY;
      PRAGMA cache_size = -16384;
      PRAGMA wal_autocheckpoint = 4000;
      PRAGMA journal_size_limit = 67108864;
      PRAGMA trusted_schema = OFF;
    `);
  } catch (error) {
    db.close();
    throw error;
  }
  return db;
}

class SqliteDatabase implements Database {
  readonly #db: DatabaseSync;
  readonly #tx: SqliteTransaction;
  readonly #lock: Lock | null;
  /** Transactions on one connection run one after the other. */
  #last: Promise<unknown> = Promise.resolve();

  constructor(db: DatabaseSync, lock: Lock | null) {
    this.#db = db;
    this.#tx = new SqliteTransaction(db);
    this.#lock = lock;
  }

  transact<T>(mode: TransactMode, work: (tx: Transaction) => Awaitable<T>): Promise<T> {
    const turn = this.#last.then(() => this.#transact(mode, work));
    this.#last = turn.catch(() => undefined);
    return turn;
  }

  async #transact<T>(mode: TransactMode, work: (tx: Transaction) => Awaitable<T>): Promise<T> {
    try {
      // Left open only if a rollback failed, which a broken disk can cause.
      if (this.#db.isTransaction) this.#tx.run('ROLLBACK');
      this.#tx.run(mode === 'write' ? 'BEGIN IMMEDIATE' : 'BEGIN');
      const result = await work(this.#tx);
      if (!this.#db.isTransaction) throw new StorageFailed('The transaction was rolled back');
      this.#tx.run('COMMIT');
      return result;
    } catch (error) {
      if (this.#db.isOpen && this.#db.isTransaction) this.#tx.run('ROLLBACK');
      throw error;
    }
  }

  async migrate(): Promise<void> {
    const migrations = loadMigrations('sqlite');
    await this.transact('write', () => {
      this.#db.exec(
        'CREATE TABLE IF NOT EXISTS migration (number INTEGER PRIMARY KEY, name TEXT NOT NULL) STRICT',
      );
      const row = this.#tx.get('SELECT COALESCE(MAX(number), 0) AS applied FROM migration');
      for (const migration of pendingMigrations(migrations, Number(row?.applied)))
        this.#apply(migration.sql);
    });
  }

  #apply(sql: string): void {
    try {
      this.#db.exec(sql);
    } catch (error) {
      throw explain(error);
    }
  }

  async close(): Promise<void> {
    await this.#last;
    if (this.#db.isOpen) this.#db.close();
    this.#lock?.release();
  }
}
