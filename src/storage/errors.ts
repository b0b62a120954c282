/** What can go wrong between us and the database. */

import { CoinslotError } from '../core/errors.ts';

/** The engine failed (disk full, read-only, busy, broken file): the transaction did not happen and may be tried again. */
export class StorageFailed extends Error {
  override readonly name = 'StorageFailed';
}

/** A statement broke a constraint of the schema: only the operation that sent it is wrong. */
export class ConstraintViolated extends Error {
  override readonly name = 'ConstraintViolated';
}

export class DatabaseInUse extends CoinslotError {
  readonly code = 'database_in_use';
  readonly status = 503;
  readonly hint =
    'Stop the other gateway on this file first, or give this one another `database`. One SQLite file serves one gateway; Postgres serves many.';
}

export class DatabaseTooNew extends CoinslotError {
  readonly code = 'database_too_new';
  readonly status = 503;
  readonly hint = 'Install the version of Coinslot that last used this database, or a newer one.';
}

export class DatabaseUrlMalformed extends CoinslotError {
  readonly code = 'database_url_malformed';
  readonly status = 500;
  readonly hint =
    'Write `sqlite:coinslot.db`, an absolute path such as `sqlite:/var/lib/coinslot.db`, or `sqlite::memory:`.';
}

/** The database could not be opened at all: the path, its folder or its permissions are wrong. */
export class DatabaseNotOpened extends CoinslotError {
  readonly code = 'database_not_opened';
  readonly status = 503;
  readonly hint =
    'Check that the folder of the database exists and that this user may write there.';
}
