import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { type TestContext, test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { connect } from '../../src/storage/connect.ts';
import {
  ConstraintViolated,
  DatabaseInUse,
  DatabaseNotOpened,
  DatabaseTooNew,
  DatabaseUrlMalformed,
  StorageFailed,
} from '../../src/storage/errors.ts';
import { loadMigrations } from '../../src/storage/migrations.ts';
import { openSqlite } from '../../src/storage/sqlite/open-sqlite.ts';
import type { Database } from '../../src/storage/transaction.ts';

function freshPath(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'coinslot-storage-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  return join(folder, 'store.db');
}

function openAt(t: TestContext, path: string, exclusive = false): Database {
  const database = openSqlite({ path, exclusive, busyTimeoutMs: 2_000 });
  t.after(() => database.close());
  return database;
}

async function fresh(t: TestContext): Promise<Database> {
  const database = openAt(t, freshPath(t));
  await database.transact('write', (tx) =>
    tx.run('CREATE TABLE pair (seq INTEGER PRIMARY KEY, n INTEGER UNIQUE) STRICT'),
  );
  return database;
}

const count = async (database: Database): Promise<unknown> =>
  (await database.transact('read', (tx) => tx.get('SELECT COUNT(*) AS n FROM pair')))?.n;

test('security: the database and its companions are readable by their owner only', async (t) => {
  const path = freshPath(t);
  const database = openAt(t, path, true);
  await database.migrate();
  const names = readdirSync(join(path, '..')).sort();
  assert.deepEqual(names, ['store.db', 'store.db-shm', 'store.db-wal', 'store.db.lock']);
  for (const name of names)
    assert.equal(statSync(join(path, '..', name)).mode & 0o777, 0o600, name);
});

test('every commit waits for the disk, in WAL mode, with foreign keys', async (t) => {
  const database = openAt(t, freshPath(t));
  const pragma = async (name: string): Promise<unknown> =>
    (await database.transact('read', (tx) => tx.get(`PRAGMA ${name}`)))?.[name];
  assert.equal(await pragma('journal_mode'), 'wal');
  assert.equal(await pragma('synchronous'), 2n);
  assert.equal(await pragma('foreign_keys'), 1n);
});

test('a transaction that throws leaves nothing, and the next one works', async (t) => {
  const database = await fresh(t);
  const failing = database.transact('write', async (tx) => {
    await tx.run('INSERT INTO pair (n) VALUES (1)');
    throw new Error('no');
  });
  await assert.rejects(failing, /no/);
  assert.equal(await count(database), 0n);
  assert.equal(
    await database.transact('write', (tx) => tx.insert('INSERT INTO pair (n) VALUES (?)', [5n])),
    1n,
  );
  assert.equal(await count(database), 1n);
});

test('nested work that throws is undone alone', async (t) => {
  const database = await fresh(t);
  await database.transact('write', async (tx) => {
    await tx.run('INSERT INTO pair (n) VALUES (1)');
    const nested = tx.nest(async () => {
      await tx.run('INSERT INTO pair (n) VALUES (2)');
      await tx.run('INSERT INTO pair (n) VALUES (1)');
    });
    await assert.rejects(nested, ConstraintViolated);
    assert.equal(await tx.nest(() => tx.run('INSERT INTO pair (n) VALUES (3)')), 1);
  });
  const rows = await database.transact('read', (tx) => tx.all('SELECT n FROM pair ORDER BY n'));
  assert.deepEqual(
    rows.map((row) => row.n),
    [1n, 3n],
  );
});

test('concurrent transactions on one connection take turns', async (t) => {
  const database = await fresh(t);
  const increments = Array.from({ length: 20 }, () =>
    database.transact('write', async (tx) => {
      const row = await tx.get('SELECT COUNT(*) AS n FROM pair');
      await new Promise((resolve) => setImmediate(resolve));
      await tx.run('INSERT INTO pair (n) VALUES (?)', [row?.n as bigint]);
    }),
  );
  await Promise.all(increments);
  assert.equal(await count(database), 20n);
});

test('an insert tells its key, and null when there was a conflict', async (t) => {
  const database = await fresh(t);
  await database.transact('write', async (tx) => {
    const sql = 'INSERT INTO pair (n) VALUES (?) ON CONFLICT (n) DO NOTHING';
    assert.equal(await tx.insert(sql, [7n]), 1n);
    assert.equal(await tx.insert(sql, [7n]), null);
    assert.equal(await tx.insert(sql, [8n]), 2n);
  });
});

test('integers of 64 bits are exact, and an overflow is refused instead of rounded', async (t) => {
  const database = await fresh(t);
  const most = 2n ** 63n - 1n;
  await database.transact('write', (tx) => tx.run('INSERT INTO pair (n) VALUES (?)', [most]));
  const row = await database.transact('read', (tx) => tx.get('SELECT n FROM pair'));
  assert.equal(row?.n, most);
  const over = database.transact('write', (tx) => tx.run('UPDATE pair SET n = n + 1'));
  await assert.rejects(over, ConstraintViolated);
});

test('a failure of the engine is told apart from a mistake of a statement', async (t) => {
  const path = freshPath(t);
  const database = openAt(t, path);
  await database.transact('write', (tx) => tx.run('CREATE TABLE pair (n INTEGER)'));
  await database.transact('read', (tx) => tx.get('PRAGMA query_only = 1'));
  const write = database.transact('write', (tx) => tx.run('INSERT INTO pair VALUES (1)'));
  await assert.rejects(write, StorageFailed);
  const mistake = database.transact('read', (tx) => tx.get('SELECT nothing FROM nowhere'));
  await assert.rejects(mistake, (error) => !(error instanceof StorageFailed));
});

test('a file that is no database is refused and unchanged', async (t) => {
  const path = freshPath(t);
  writeFileSync(path, 'this is a text file, and rather a long one, so that it cannot be a header');
  assert.throws(() => openSqlite({ path, exclusive: false, busyTimeoutMs: 50 }), DatabaseNotOpened);
});

test('migrations start from nothing and do nothing the second time', async (t) => {
  const path = freshPath(t);
  const first = openAt(t, path);
  await first.migrate();
  const dump = (): unknown[] => {
    const raw = new DatabaseSync(path);
    const rows = raw.prepare('SELECT type, name, sql FROM sqlite_schema ORDER BY name').all();
    const applied = raw.prepare('SELECT * FROM migration').all();
    raw.close();
    return [rows, applied];
  };
  const before = dump();
  await first.migrate();
  await openAt(t, path).migrate();
  assert.deepEqual(dump(), before);
  assert.equal((before[1] as unknown[]).length, loadMigrations('sqlite').length);
});

test('a database that is newer than the code is refused and unchanged', async (t) => {
  const path = freshPath(t);
  const database = openAt(t, path);
  await database.migrate();
  await database.transact('write', (tx) => tx.run("INSERT INTO migration VALUES (999, 'future')"));
  await assert.rejects(openAt(t, path).migrate(), (error) => {
    assert.ok(error instanceof DatabaseTooNew);
    assert.match(error.message, /999/);
    return true;
  });
});

test('a migration that does not record itself, or is out of sequence, is refused', (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'coinslot-migrations-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const root = pathToFileURL(`${join(folder, '..')}/`);
  const engine = folder.split('/').at(-1) as 'sqlite';
  const record = (number: number, name: string): string =>
    `-- a comment\nINSERT INTO migration (number, name) VALUES (${number}, '${name}');\n`;
  writeFileSync(join(folder, '0001-first.sql'), record(1, 'first'));
  assert.equal(loadMigrations(engine, root).length, 1);
  writeFileSync(join(folder, '0002-second.sql'), record(1, 'second'));
  assert.throws(() => loadMigrations(engine, root), /must first insert/);
  writeFileSync(join(folder, '0002-second.sql'), record(2, 'second'));
  writeFileSync(join(folder, '0004-fourth.sql'), record(4, 'fourth'));
  assert.throws(() => loadMigrations(engine, root), /out of sequence/);
});

test('security: one exclusive opening at a time, also through a symbolic link, and free after closing', async (t) => {
  const path = freshPath(t);
  const first = openAt(t, path, true);
  symlinkSync(path, `${path}.link`);
  for (const name of [path, `${path}.link`])
    assert.throws(
      () => openSqlite({ path: name, exclusive: true, busyTimeoutMs: 50 }),
      DatabaseInUse,
    );
  await openAt(t, path).close();
  assert.throws(() => openSqlite({ path, exclusive: true, busyTimeoutMs: 50 }), DatabaseInUse);
  await first.close();
  await openAt(t, `${path}.link`, true).close();
});

test('URLs name a file or memory, and what they may hide is not shown', async (t) => {
  const options = { exclusive: true, busyTimeoutMs: 50 };
  for (const url of ['sqlite::memory:', `sqlite:${freshPath(t)}`, `sqlite://${freshPath(t)}`])
    await connect({ url, ...options }).close();
  for (const url of ['', 'coinslot.db', 'sqlite:', 'postgres://user:secret@host/db', 'mysql://x'])
    assert.throws(
      () => connect({ url, ...options }),
      (error) => {
        assert.ok(error instanceof DatabaseUrlMalformed);
        assert.doesNotMatch(error.message, /secret/);
        return true;
      },
    );
  const missing = `sqlite:${freshPath(t)}/no/such/folder.db`;
  assert.throws(() => connect({ url: missing, ...options }), DatabaseNotOpened);
});
