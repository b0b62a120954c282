/**
 * Migrations are numbered SQL files that only go forward. The first statement of each inserts its own
 * number, so that two processes that race through the same file cannot both apply it.
 */

import { readdirSync, readFileSync } from 'node:fs';
import { DatabaseTooNew } from './errors.ts';

export interface Migration {
  readonly number: number;
  readonly name: string;
  readonly sql: string;
}

/** One folder above both `src` and `dist`: the package root. */
const ROOT = new URL('../../migrations/', import.meta.url);

const FILE = /^(\d{4})-([a-z0-9-]+)\.sql$/;

/** Reads the migrations of an engine in order; throws when a number is missing or a file does not record itself. */
export function loadMigrations(engine: 'sqlite', root: URL = ROOT): Migration[] {
  const folder = new URL(`${engine}/`, root);
  const migrations: Migration[] = [];
  for (const file of readdirSync(folder).sort()) {
    const match = FILE.exec(file);
    if (!match) continue;
    const number = Number(match[1]);
    const sql = readFileSync(new URL(file, folder), 'utf8');
    if (number !== migrations.length + 1) throw new Error(`Migration ${file} is out of sequence`);
    if (
      firstStatement(sql) !==
      `INSERT INTO migration (number, name) VALUES (${number}, '${match[2]}')`
    )
      throw new Error(`Migration ${file} must first insert its own number and name`);
    migrations.push({ number, name: String(match[2]), sql });
  }
  return migrations;
}

/** The migrations that a database at `applied` still needs; refuses one that knows more than we do. */
export function pendingMigrations(migrations: readonly Migration[], applied: number): Migration[] {
  if (applied > migrations.length)
    throw new DatabaseTooNew(
      `The database is at migration ${applied}; this version of Coinslot knows only ${migrations.length}`,
    );
  return migrations.slice(applied);
}

function firstStatement(sql: string): string {
  const code = sql
    .split('\n')
    .filter((line) => !line.trimStart().startsWith('--'))
    .join('\n');
  return code.slice(0, code.indexOf(';')).trim();
}
