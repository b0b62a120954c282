/** Opens a database by its URL. */

import { DatabaseUrlMalformed } from './errors.ts';
import { openSqlite } from './sqlite/open-sqlite.ts';
import type { Database } from './transaction.ts';

export interface ConnectOptions {
  /** `sqlite:path` or `sqlite::memory:`. */
  readonly url: string;
  /** True refuses a file that another gateway already holds. */
  readonly exclusive: boolean;
  /** How long a write waits for another process's write. */
  readonly busyTimeoutMs: number;
}

/** Throws DatabaseUrlMalformed, DatabaseInUse or DatabaseNotOpened. */
export function connect(options: ConnectOptions): Database {
  return openSqlite({ ...options, path: sqlitePath(options.url) });
}

function sqlitePath(url: string): string {
  if (!url.startsWith('sqlite:'))
    throw new DatabaseUrlMalformed(`The database URL must start with sqlite: (got ${scheme(url)})`);
  const rest = url.slice('sqlite:'.length);
  const path = rest.startsWith('//') ? rest.slice(2) : rest;
  if (path === '' || path.includes('\0'))
    throw new DatabaseUrlMalformed('The database URL names no file');
  return path;
}

/** Only the scheme is shown: the rest of a URL may carry a password. */
function scheme(url: string): string {
  const match = /^[a-z][a-z0-9+.-]*:/i.exec(url);
  return match ? match[0] : 'no scheme';
}
