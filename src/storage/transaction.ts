/** The seam between the ledger and an engine: a few verbs over SQL that every engine understands. */

export type Awaitable<T> = T | Promise<T>;

/** What a column or a parameter can be. Integers are read as bigint; money must be written as bigint. */
export type Value = bigint | number | string | Uint8Array | null;

export type Row = Readonly<Record<string, Value>>;

/** The values of a row in the order of its columns: half the cost of a Row where there are many. */
export type Values = readonly Value[];

/** `read` sees one snapshot and blocks nobody; `write` runs alone, so that what it read stays true until it commits. */
export type TransactMode = 'read' | 'write';

/** Statements use `?` for parameters; each engine translates that to its own form. */
export interface Transaction {
  /** The first row, or undefined. */
  get(sql: string, params?: readonly Value[]): Awaitable<Row | undefined>;
  all(sql: string, params?: readonly Value[]): Awaitable<Row[]>;
  /** The first row by position, or undefined. */
  values(sql: string, params?: readonly Value[]): Awaitable<Values | undefined>;
  allValues(sql: string, params?: readonly Value[]): Awaitable<Values[]>;
  /** Returns how many rows changed. */
  run(sql: string, params?: readonly Value[]): Awaitable<number>;
  /** Inserts one row; returns its generated key, always called `seq`, or null when ON CONFLICT did nothing. */
  insert(sql: string, params: readonly Value[]): Awaitable<bigint | null>;
  /** Runs `work` so that, if it throws, what it wrote is undone and what came before stays. */
  nest<T>(work: () => Awaitable<T>): Promise<T>;
  /** Another value whenever another connection has committed since; null when the engine can't tell. */
  version(): Awaitable<bigint | null>;
  /** Names of the triggers that are in force. */
  triggers(): Awaitable<string[]>;
}

export interface Database {
  /**
   * Runs `work` in one durable transaction: when the promise resolves, what it wrote survives a crash;
   * when it rejects, nothing was written. Rejects with StorageFailed when the engine could not do it.
   */
  transact<T>(mode: TransactMode, work: (tx: Transaction) => Awaitable<T>): Promise<T>;
  /** Brings the database to the newest migration. Rejects with DatabaseTooNew. */
  migrate(): Promise<void>;
  close(): Promise<void>;
}
