import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MoneyLawBroken } from '../../src/ledger/errors.ts';
import {
  captureOf,
  createKey,
  DAY,
  engines,
  freeHold,
  open,
  releaseOf,
  SECRET,
} from './fixture.ts';

for (const engine of engines) {
  test(`${engine.name}: security: a quota of 10 raced by 50 concurrent calls gives exactly 10`, async (t) => {
    const ledger = await open(t, { url: engine.freshUrl(t) });
    const holds = await Promise.all(
      Array.from({ length: 50 }, () => ledger.holdFree(freeHold('ip:203.0.113.7', 10))),
    );
    const held = holds.filter((hold) => hold.outcome === 'held');
    assert.deepEqual(
      held.map((hold) => hold.remaining),
      [9, 8, 7, 6, 5, 4, 3, 2, 1, 0],
    );
    const others = holds.filter((hold) => hold.outcome !== 'held');
    assert.ok(others.every((hold) => hold.outcome === 'exhausted' && hold.by === 'payer'));
    assert.equal((await ledger.holdFree(freeHold('ip:203.0.113.8', 10))).outcome, 'held');
    assert.deepEqual(await ledger.audit(), []);
  });

  test(`${engine.name}: security: all free calls of a day together stay within what they may be worth`, async (t) => {
    const ledger = await open(t, { url: engine.freshUrl(t) });
    const holds = await Promise.all(
      Array.from({ length: 30 }, (_, i) =>
        ledger.holdFree(freeHold(`ip:203.0.113.${i}`, 10, 9_999n)),
      ),
    );
    assert.equal(holds.filter((hold) => hold.outcome === 'held').length, 4);
    const last = holds.at(-1);
    assert.ok(last?.outcome === 'exhausted' && last.by === 'total');
    assert.deepEqual(await ledger.audit(), []);
  });

  test(`${engine.name}: a released call goes back to its payer, its total and its day; a captured one stays taken`, async (t) => {
    const ledger = await open(t, { url: engine.freshUrl(t) });
    const scope = 'ip:203.0.113.7';
    const quota = { scope, day: DAY, perDay: 2, totalPerDay: 4_000n };
    const first = freeHold(scope, 2, 4_000n);
    const second = freeHold(scope, 2, 4_000n);
    await ledger.holdFree(first);
    await ledger.holdFree(second);
    assert.equal(await ledger.freeRemaining(quota), 0);
    await ledger.release(releaseOf(first.claim.id));
    assert.equal((await ledger.release(releaseOf(first.claim.id))).outcome, 'lost');
    assert.equal(await ledger.freeRemaining(quota), 1);
    const captured = await ledger.capture(captureOf(second.claim.id, 0n));
    assert.equal(captured.payment?.state, 'settled');
    assert.equal((await ledger.release(releaseOf(second.claim.id))).outcome, 'lost');
    assert.equal(await ledger.freeRemaining(quota), 1);
    assert.equal(await ledger.freeRemaining({ ...quota, day: '2026-11-22' }), 2);
    assert.equal((await ledger.holdFree(freeHold(scope, 2, 4_000n))).outcome, 'held');
    assert.deepEqual(await ledger.entries({ limit: 10 }), []);
    assert.deepEqual(await ledger.audit(), []);
  });

  test(`${engine.name}: a quota of 0 is legal and gives nothing`, async (t) => {
    const ledger = await open(t, { url: engine.freshUrl(t) });
    const held = await ledger.holdFree(freeHold('ip:203.0.113.7', 0));
    assert.deepEqual(held, { outcome: 'exhausted', by: 'payer' });
    assert.equal(
      await ledger.freeRemaining({
        scope: 'ip:203.0.113.7',
        day: DAY,
        perDay: 0,
        totalPerDay: null,
      }),
      0,
    );
    assert.deepEqual(await ledger.listPayments({ limit: 1 }), []);
  });

  test(`${engine.name}: security: a quota per key asks for the secret of a key that is not revoked`, async (t) => {
    const ledger = await open(t, { url: engine.freshUrl(t) });
    await createKey(ledger, 'key_1', 0n);
    const hold = freeHold('key:key_1', 3);
    const good = { id: 'key_1', secretHash: SECRET };
    const wrong = { id: 'key_1', secretHash: 'ce'.repeat(32) };
    assert.equal((await ledger.holdFree({ ...hold, key: wrong })).outcome, 'unknown_key');
    const unknown = { ...good, id: 'key_2' };
    assert.equal((await ledger.holdFree({ ...hold, key: unknown })).outcome, 'unknown_key');
    assert.equal((await ledger.holdFree({ ...hold, key: good })).outcome, 'held');
    await ledger.revokeKey('key_1', 1);
    const late = { ...freeHold('key:key_1', 3), key: good };
    assert.equal((await ledger.holdFree(late)).outcome, 'unknown_key');
  });

  test(`${engine.name}: security: a free call can neither hold, nor capture, nor cost money`, async (t) => {
    const ledger = await open(t, { url: engine.freshUrl(t) });
    const hold = freeHold('ip:203.0.113.7', 3);
    await assert.rejects(
      ledger.holdFree({ ...hold, claim: { ...hold.claim, max: 1n } }),
      MoneyLawBroken,
    );
    await assert.rejects(ledger.holdFree(freeHold('total', 3)), MoneyLawBroken);
    await ledger.holdFree(hold);
    await assert.rejects(ledger.capture(captureOf(hold.claim.id, 1n)), MoneyLawBroken);
    await assert.rejects(
      ledger.capture(captureOf(hold.claim.id, 0n, { cost: 1n })),
      MoneyLawBroken,
    );
    // The credential of a free call is made by us; seeing it twice means that a caller repeats itself.
    const twin = { ...hold, claim: { ...hold.claim, id: 'pay_twin' } };
    await assert.rejects(ledger.holdFree(twin), MoneyLawBroken);
    assert.deepEqual(await ledger.audit(), []);
  });
}
