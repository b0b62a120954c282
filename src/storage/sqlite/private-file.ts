import { closeSync, openSync } from 'node:fs';

/**
 * Creates an empty file that only its owner may read; SQLite gives its -wal and -shm the same mode.
 * A file that exists is not even opened: closing it would drop the POSIX locks that this process holds on it.
 */
export function createPrivateFile(path: string): void {
  try {
    closeSync(openSync(path, 'wx', 0o600));
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'EEXIST')) throw error;
  }
}
