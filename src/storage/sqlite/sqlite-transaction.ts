/** Statements on one SQLite connection: prepared once, errors told apart. */

import type { DatabaseSync, StatementSync } from 'node:sqlite';
import { ConstraintViolated, StorageFailed } from '../errors.ts';
import type { Awaitable, Row, Transaction, Value, Values } from '../transaction.ts';

const NONE: readonly Value[] = [];

export class SqliteTransaction implements Transaction {
  readonly #db: DatabaseSync;
  /** The statements of the ledger are constants, so this cache is bounded by the code. */
  readonly #prepared = new Map<string, StatementSync>();
  readonly #preparedArrays = new Map<string, StatementSync>();

  constructor(db: DatabaseSync) {
    this.#db = db;
  }

  get(sql: string, params: readonly Value[] = NONE): Row | undefined {
    try {
      return this.#prepare(sql).get(...params);
    } catch (error) {
      throw explain(error);
    }
  }

  all(sql: string, params: readonly Value[] = NONE): Row[] {
    try {
      return this.#prepare(sql).all(...params);
    } catch (error) {
      throw explain(error);
    }
  }

  values(sql: string, params: readonly Value[] = NONE): Values | undefined {
    try {
      return this.#prepareArrays(sql).get(...params) as unknown as Values | undefined;
    } catch (error) {
      throw explain(error);
    }
  }

  allValues(sql: string, params: readonly Value[] = NONE): Values[] {
    try {
      return this.#prepareArrays(sql).all(...params) as unknown as Values[];
    } catch (error) {
      throw explain(error);
    }
  }

  run(sql: string, params: readonly Value[] = NONE): number {
    try {
      return Number(this.#prepare(sql).run(...params).changes);
    } catch (error) {
      throw explain(error);
    }
  }

  /** Without RETURNING, which costs as much again as the insert. */
  insert(sql: string, params: readonly Value[]): bigint | null {
    try {
      const { changes, lastInsertRowid } = this.#prepare(sql).run(...params);
      return Number(changes) === 0 ? null : BigInt(lastInsertRowid);
    } catch (error) {
      throw explain(error);
    }
  }

  async nest<T>(work: () => Awaitable<T>): Promise<T> {
    this.run('SAVEPOINT nested');
    try {
      const result = await work();
      this.run('RELEASE nested');
      return result;
    } catch (error) {
      // A full disk makes SQLite roll back the whole transaction by itself: nothing is left to undo.
      if (this.#db.isTransaction) {
        this.run('ROLLBACK TO nested');
        this.run('RELEASE nested');
      }
      throw error;
    }
  }

  version(): bigint {
    return this.values('PRAGMA data_version')?.[0] as bigint;
  }

  triggers(): string[] {
    return this.all("SELECT name FROM sqlite_schema WHERE type = 'trigger'").map((row) =>
      String(row.name),
    );
  }

  #prepare(sql: string): StatementSync {
    let statement = this.#prepared.get(sql);
    if (statement === undefined) {
      statement = this.#db.prepare(sql);
      this.#prepared.set(sql, statement);
    }
    return statement;
  }

  #prepareArrays(sql: string): StatementSync {
    let statement = this.#preparedArrays.get(sql);
    if (statement === undefined) {
      statement = this.#db.prepare(sql);
      // The types of node:sqlite do not know that rows are arrays from here on.
      statement.setReturnArrays(true);
      this.#preparedArrays.set(sql, statement);
    }
    return statement;
  }
}

const CONSTRAINT = 19;

/** SQLite's primary result codes that concern one statement; every other one concerns the engine (sqlite.org/rescode.html). */
const OF_THE_STATEMENT = new Set([
  1, // ERROR: the SQL itself, or an integer overflow in a sum
  18, // TOOBIG
  20, // MISMATCH
  25, // RANGE
]);

/** Turns an error of node:sqlite into ours; leaves every other error alone. */
export function explain(error: unknown): unknown {
  if (!(error instanceof Error) || !('errcode' in error)) return error;
  const code = Number(error.errcode) & 0xff;
  if (code === CONSTRAINT) return new ConstraintViolated(error.message, { cause: error });
  if (OF_THE_STATEMENT.has(code)) return error;
  return new StorageFailed(error.message, { cause: error });
}
