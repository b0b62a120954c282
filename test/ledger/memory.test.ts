/** What the ledger's thread remembers between batches must never differ from what the database says. */

import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { Books } from '../../src/ledger/books.ts';
import { MoneyLawBroken } from '../../src/ledger/errors.ts';
import { openSqlite } from '../../src/storage/sqlite/open-sqlite.ts';
import { captureOf, createKey, engines, freshFolder, NOW, open, prepaidHold } from './fixture.ts';

for (const engine of engines) {
  test(`${engine.name}: security: a key that another process revokes, rotates or tops up is never remembered as it was`, async (t) => {
    const url = engine.freshUrl(t);
    const gateway = await open(t, { url });
    for (const id of ['key_1', 'key_2', 'key_3']) await createKey(gateway, id, 100n);
    const outcome = async (id: string, max: bigint) =>
      (await gateway.holdPrepaid(prepaidHold(id, max))).outcome;
    for (const id of ['key_1', 'key_2', 'key_3']) assert.equal(await outcome(id, 10n), 'held');
    assert.equal(await outcome('key_3', 91n), 'insufficient');
    const command = await open(t, { url, exclusive: false });
    await command.revokeKey('key_1', NOW);
    await command.rotateKey('key_2', 'cs_test_new', 'ef'.repeat(32));
    await command.topUpKey('key_3', 1n, 'operator', NOW);
    assert.equal(await outcome('key_1', 10n), 'unknown_key');
    assert.equal(await outcome('key_2', 10n), 'unknown_key');
    assert.equal(await outcome('key_3', 91n), 'held');
    // And the other way: what the gateway spends, the command sees.
    assert.equal((await command.holdPrepaid(prepaidHold('key_3', 1n))).outcome, 'insufficient');
    assert.deepEqual(await gateway.audit(), []);
  });

  test(`${engine.name}: security: within one batch a revoked key holds no more and a top-up can be spent`, async (t) => {
    const ledger = await open(t, { url: engine.freshUrl(t) });
    await createKey(ledger, 'key_1', 100n);
    await createKey(ledger, 'key_2', 100n);
    const results = await Promise.all([
      ledger.holdPrepaid(prepaidHold('key_1', 10n)),
      ledger.holdPrepaid(prepaidHold('key_2', 100n)),
      ledger.revokeKey('key_1', NOW),
      ledger.findKey('key_2'),
      ledger.topUpKey('key_2', 5n, 'operator', NOW),
      ledger.holdPrepaid(prepaidHold('key_1', 10n)),
      ledger.holdPrepaid(prepaidHold('key_2', 3n)),
      ledger.listKeys(),
    ]);
    assert.equal(results[0].outcome, 'held');
    assert.equal(results[2]?.balance, 90n);
    assert.equal(results[3]?.balance, 0n);
    assert.equal(results[4]?.balance, 5n);
    assert.equal(results[5].outcome, 'unknown_key');
    assert.equal(results[6].outcome, 'held');
    assert.deepEqual(
      results[7].map((key) => key.balance),
      [90n, 2n],
    );
    assert.deepEqual(await ledger.audit(), []);
  });

  test(`${engine.name}: security: a batch that failed leaves nothing in memory`, async (t) => {
    const ledger = await open(t, { url: engine.freshUrl(t) });
    await createKey(ledger, 'key_1', 100n);
    const hold = prepaidHold('key_1', 40n);
    await ledger.holdPrepaid(hold);
    for (let round = 0; round < 3; round++) {
      const spare = prepaidHold('key_1', 10n);
      const results = await Promise.allSettled([
        ledger.holdPrepaid(spare),
        ledger.capture(captureOf(hold.claim.id, 41n)),
        ledger.revokeKey('key_9', NOW),
      ]);
      assert.deepEqual(
        results.map((result) => result.status),
        ['fulfilled', 'rejected', 'fulfilled'],
      );
    }
    assert.equal((await ledger.capture(captureOf(hold.claim.id, 40n))).outcome, 'done');
    assert.equal((await ledger.findKey('key_1'))?.balance, 30n);
    assert.equal((await ledger.holdPrepaid(prepaidHold('key_1', 31n))).outcome, 'insufficient');
    assert.deepEqual(await ledger.audit(), []);
  });

  test(`${engine.name}: a capture answers with what was changed since its hold`, async (t) => {
    const ledger = await open(t, { url: engine.freshUrl(t) });
    await createKey(ledger, 'key_1', 100n);
    const taken = prepaidHold('key_1', 10n, { owner: 'proc_dead' });
    await ledger.holdPrepaid(taken);
    await ledger.takeLapsed('proc_next', NOW);
    const stale = await ledger.capture(captureOf(taken.claim.id, 4n, { owner: 'proc_dead' }));
    assert.equal(stale.outcome, 'lost');
    const done = await ledger.capture(captureOf(taken.claim.id, 4n, { owner: 'proc_next' }));
    assert.equal(done.outcome, 'done');
    assert.deepEqual(done.payment, await ledger.findPayment(taken.claim.id));
    assert.deepEqual(await ledger.audit(), []);
  });
}

test('security: books refuse to write over a balance that is not the one they read, and to overdraw', async (t) => {
  const path = join(freshFolder(t), 'ledger.db');
  const database = openSqlite({ path, exclusive: false, busyTimeoutMs: 50 });
  t.after(() => database.close());
  await database.migrate();
  const lines = (amount: bigint) => [
    { account: 'payer:key_1', asset: 'USD', amount },
    { account: 'outside:operator', asset: 'USD', amount: -amount },
  ];
  const post = { kind: 'top_up', paymentSeq: null, nowMs: NOW } as const;
  const books = new Books();
  await database.transact('write', async (tx) => {
    await books.post(tx, { ...post, lines: lines(5n) });
    await books.flush(tx);
  });
  const behind = database.transact('write', async (tx) => {
    await tx.run("UPDATE account SET balance = 6 WHERE name = 'payer:key_1'");
    await books.post(tx, { ...post, lines: lines(1n) });
    await books.flush(tx);
  });
  await assert.rejects(behind, MoneyLawBroken);
  const overdrawn = database.transact('write', (tx) =>
    new Books().post(tx, { ...post, lines: lines(-6n) }),
  );
  await assert.rejects(overdrawn, /would be overdrawn/);
  const tooLong = database.transact('write', (tx) =>
    new Books().post(tx, { ...post, lines: Array(17).fill(lines(1n)).flat() }),
  );
  await assert.rejects(tooLong, /too long/);
});
