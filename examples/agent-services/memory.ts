/** What callers stored, in one SQLite file. Every text belongs to a scope, and a search sees one scope only. */

import { randomUUID } from 'node:crypto';
import { DatabaseSync } from 'node:sqlite';
import { BadRequest } from './read-fields.ts';

export interface StoredText {
  readonly id: string;
  readonly text: string;
  readonly storedAt: string;
}

const FOUND_MAX = 10;
const WORDS_MAX = 32;

export class Memory {
  readonly #database: DatabaseSync;

  constructor(file: string) {
    this.#database = new DatabaseSync(file);
    this.#database.exec(`
      PRAGMA journal_mode = WAL;
      CREATE VIRTUAL TABLE IF NOT EXISTS memory
        USING fts5 (text, id UNINDEXED, scope UNINDEXED, stored_at UNINDEXED);
    `);
  }

  store(scope: string, text: string): string {
    const id = randomUUID();
    this.#database
      .prepare('INSERT INTO memory (text, id, scope, stored_at) VALUES (?, ?, ?, ?)')
      .run(text, id, scope, new Date().toISOString());
    return id;
  }

  /** Texts with any word of the query, the best first. Throws BadRequest for a query without a word. */
  search(scope: string, query: string): StoredText[] {
    const words = query.match(/[\p{L}\p{N}]+/gu)?.slice(0, WORDS_MAX);
    if (!words) throw new BadRequest('query must have a word in it.');
    const rows = this.#database
      .prepare(
        `SELECT id, text, stored_at FROM memory
          WHERE memory MATCH ? AND scope = ? ORDER BY rank LIMIT ${FOUND_MAX}`,
      )
      // In quotes a word is a word, and never an operator of the search language.
      .all(words.map((word) => `"${word}"`).join(' OR '), scope);
    return rows.map(({ id, text, stored_at }) => ({
      id: String(id),
      text: String(text),
      storedAt: String(stored_at),
    }));
  }

  close(): void {
    this.#database.close();
  }
}
