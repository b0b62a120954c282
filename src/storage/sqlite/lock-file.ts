/**
 * One gateway per SQLite file: an operating-system lock on `<file>.lock`, held by an open exclusive
 * transaction on an empty side database. The lock dies with the process, however it dies.
 */

import { DatabaseSync } from 'node:sqlite';
import { DatabaseInUse } from '../errors.ts';
import { createPrivateFile } from './private-file.ts';

export interface Lock {
  release(): void;
}

const SQLITE_BUSY = 5;

/** Throws DatabaseInUse when another gateway, of this process or another, holds the file. */
export function lockFile(path: string): Lock {
  const lockPath = `${path}.lock`;
  createPrivateFile(lockPath);
  const side = new DatabaseSync(lockPath, { timeout: 0 });
  try {
    // In memory: a journal file would stay behind when the process is killed.
    side.exec('PRAGMA journal_mode = MEMORY; BEGIN EXCLUSIVE');
  } catch (error) {
    side.close();
    if (isBusy(error))
      throw new DatabaseInUse(`Another gateway is running on ${path}`, { cause: error });
    throw error;
  }
  return {
    release() {
      if (side.isOpen) side.close();
    },
  };
}

function isBusy(error: unknown): boolean {
  return (
    error instanceof Error && 'errcode' in error && (Number(error.errcode) & 0xff) === SQLITE_BUSY
  );
}
