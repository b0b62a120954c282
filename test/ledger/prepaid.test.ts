import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ATOMS_MAX } from '../../src/core/money.ts';
import { MoneyLawBroken } from '../../src/ledger/errors.ts';
import {
  balanceOf,
  captureOf,
  createKey,
  DAY,
  engines,
  open,
  prepaidHold,
  ROUTE,
  releaseOf,
} from './fixture.ts';

for (const engine of engines) {
  test(`${engine.name}: a hold, a partial capture and the rest back move exactly the cost`, async (t) => {
    const ledger = await open(t, { url: engine.freshUrl(t) });
    await createKey(ledger, 'key_1', 10_000n);
    const held = await ledger.holdPrepaid(prepaidHold('key_1', 3_000n));
    assert.equal(held.outcome, 'held');
    assert.equal(held.balance, 7_000n);
    assert.equal(held.payment.state, 'running');
    assert.deepEqual(await ledger.findPayment(held.payment.id), held.payment);
    assert.equal(await balanceOf(ledger, 'held:key_1'), 3_000n);

    const captured = await ledger.capture(captureOf(held.payment.id, 1_200n));
    assert.equal(captured.outcome, 'done');
    assert.equal(captured.payment.state, 'settled');
    assert.equal(captured.payment.amount, 1_200n);
    assert.deepEqual(await ledger.findPayment(held.payment.id), captured.payment);
    assert.deepEqual(await ledger.balances(), [
      { account: 'held:key_1', asset: 'USD', balance: 0n },
      { account: 'outside:operator', asset: 'USD', balance: -10_000n },
      { account: 'payer:key_1', asset: 'USD', balance: 8_800n },
      { account: `revenue:${ROUTE}`, asset: 'USD', balance: 1_200n },
    ]);
    assert.deepEqual(await ledger.audit(), []);
  });

  test(`${engine.name}: a release gives everything back and a repeated credential finds its payment`, async (t) => {
    const ledger = await open(t, { url: engine.freshUrl(t) });
    await createKey(ledger, 'key_1', 1_000n);
    const hold = prepaidHold('key_1', 1_000n);
    assert.equal((await ledger.holdPrepaid(hold)).outcome, 'held');
    // The balance is used up, and yet the same credential is not refused for it.
    const again = await ledger.holdPrepaid({ ...hold, claim: { ...hold.claim, id: 'pay_other' } });
    assert.equal(again.outcome, 'exists');
    assert.equal(again.payment.id, hold.claim.id);

    const released = await ledger.release(releaseOf(hold.claim.id));
    assert.equal(released.outcome, 'done');
    assert.equal(released.payment.reason, 'upstream_failed');
    assert.equal((await ledger.findKey('key_1'))?.balance, 1_000n);
    assert.equal((await ledger.holdPrepaid(hold)).outcome, 'exists');
    assert.deepEqual(await ledger.audit(), []);
  });

  test(`${engine.name}: security: 50 concurrent holds on a balance for 7 hold exactly 7`, async (t) => {
    const ledger = await open(t, { url: engine.freshUrl(t) });
    await createKey(ledger, 'key_1', 7_999n);
    const holds = await Promise.all(
      Array.from({ length: 50 }, () => ledger.holdPrepaid(prepaidHold('key_1', 1_000n))),
    );
    const outcomes = Object.groupBy(holds, (hold) => hold.outcome);
    assert.equal(outcomes.held?.length, 7);
    assert.equal(outcomes.insufficient?.length, 43);
    assert.equal(await balanceOf(ledger, 'payer:key_1'), 999n);
    assert.deepEqual(await ledger.audit(), []);
  });

  test(`${engine.name}: security: 50 concurrent holds of one credential hold exactly once`, async (t) => {
    const ledger = await open(t, { url: engine.freshUrl(t) });
    await createKey(ledger, 'key_1', 100_000n);
    const holds = await Promise.all(
      Array.from({ length: 50 }, () =>
        ledger.holdPrepaid(prepaidHold('key_1', 1_000n, { credentialKey: 'prepaid:key_1:same' })),
      ),
    );
    const outcomes = Object.groupBy(holds, (hold) => hold.outcome);
    assert.equal(outcomes.held?.length, 1);
    assert.equal(outcomes.exists?.length, 49);
    assert.equal(await balanceOf(ledger, 'payer:key_1'), 99_000n);
  });

  test(`${engine.name}: security: a request that is a credential of its own is found by it, and its id runs once`, async (t) => {
    const ledger = await open(t, { url: engine.freshUrl(t) });
    await createKey(ledger, 'key_1', 10_000n);
    const own = prepaidHold('key_1', 1_000n);
    const { credentialKey, id } = own.claim;
    assert.equal(credentialKey, `prepaid:${id}`);
    const holds = await Promise.all([ledger.holdPrepaid(own), ledger.holdPrepaid(own)]);
    assert.deepEqual(
      holds.map(({ outcome }) => outcome),
      ['held', 'exists'],
    );
    const stolenId = prepaidHold('key_1', 1_000n, { id, credentialKey: 'prepaid:key_1:other' });
    await assert.rejects(ledger.holdPrepaid(stolenId), MoneyLawBroken);
    const stolenKey = prepaidHold('key_1', 1_000n, { credentialKey });
    await assert.rejects(ledger.holdPrepaid(stolenKey), MoneyLawBroken);
    const found = await ledger.findByCredential(credentialKey);
    assert.deepEqual(found, await ledger.findPayment(id));
    assert.equal(found?.credentialKey, credentialKey);
    for (const other of [id, `free:${id}`, `prepaid:x:${id}`, `prepaid:${id} `, 'prepaid:'])
      assert.equal(await ledger.findByCredential(other), null, other);
    assert.equal(await balanceOf(ledger, 'payer:key_1'), 9_000n);
    assert.deepEqual(await ledger.audit(), []);
  });

  test(`${engine.name}: security: a capture above the hold is refused and changes nothing`, async (t) => {
    const ledger = await open(t, { url: engine.freshUrl(t) });
    await createKey(ledger, 'key_1', 10_000n);
    const { claim, ...rest } = prepaidHold('key_1', 1_000n, { quoteMax: 900n });
    await ledger.holdPrepaid({ claim, ...rest });
    const before = await ledger.balances();
    for (const [amount, cost] of [
      [1_001n, 900n],
      [1_000n, 901n],
      [-1n, 0n],
      [0n, -1n],
      [2n ** 63n, 0n],
      [2n ** 80n, 0n],
    ] as const)
      await assert.rejects(ledger.capture(captureOf(claim.id, amount, { cost })), MoneyLawBroken);
    assert.equal((await ledger.findPayment(claim.id))?.state, 'running');
    assert.deepEqual(await ledger.balances(), before);
    assert.equal(
      (await ledger.capture(captureOf(claim.id, 1_000n, { cost: 900n }))).outcome,
      'done',
    );
    assert.deepEqual(await ledger.audit(), []);
  });

  test(`${engine.name}: security: what was captured or released once is lost to everybody after`, async (t) => {
    const ledger = await open(t, { url: engine.freshUrl(t) });
    await createKey(ledger, 'key_1', 10_000n);
    const { claim, ...rest } = prepaidHold('key_1', 1_000n);
    await ledger.holdPrepaid({ claim, ...rest });
    const [first, ...others] = await Promise.all([
      ledger.capture(captureOf(claim.id, 400n)),
      ledger.capture(captureOf(claim.id, 1_000n)),
      ledger.release(releaseOf(claim.id)),
    ]);
    assert.equal(first?.outcome, 'done');
    for (const other of others) {
      assert.equal(other.outcome, 'lost');
      assert.equal(other.payment?.amount, 400n);
    }
    assert.equal(await balanceOf(ledger, 'payer:key_1'), 9_600n);
    assert.deepEqual(await ledger.audit(), []);
  });

  test(`${engine.name}: security: only the owner ends a payment`, async (t) => {
    const ledger = await open(t, { url: engine.freshUrl(t) });
    await createKey(ledger, 'key_1', 10_000n);
    const { claim, ...rest } = prepaidHold('key_1', 1_000n);
    await ledger.holdPrepaid({ claim, ...rest });
    const stranger = { owner: 'proc_b' };
    assert.equal((await ledger.capture(captureOf(claim.id, 1n, stranger))).outcome, 'lost');
    assert.equal((await ledger.release(releaseOf(claim.id, 'proc_b'))).outcome, 'lost');
    // Even an amount beyond the hold tells a stranger nothing more.
    assert.equal((await ledger.capture(captureOf(claim.id, 9_999n, stranger))).outcome, 'lost');
    assert.equal((await ledger.findPayment(claim.id))?.state, 'running');
  });

  test(`${engine.name}: security: a wrong secret, an unknown and a revoked key hold nothing`, async (t) => {
    const ledger = await open(t, { url: engine.freshUrl(t) });
    await createKey(ledger, 'key_1', 10_000n);
    const hold = prepaidHold('key_1', 1_000n);
    for (const secretHash of ['ce'.repeat(32), '', 'cd'.repeat(31), 'é'.repeat(32)])
      assert.equal((await ledger.holdPrepaid({ ...hold, secretHash })).outcome, 'unknown_key');
    assert.equal((await ledger.holdPrepaid(prepaidHold('key_2', 1n))).outcome, 'unknown_key');
    await ledger.revokeKey('key_1', 1);
    assert.equal((await ledger.holdPrepaid(hold)).outcome, 'unknown_key');
    assert.deepEqual(await ledger.listPayments({ limit: 10 }), []);
  });

  test(`${engine.name}: security: a hold that names another payer or another asset is refused`, async (t) => {
    const ledger = await open(t, { url: engine.freshUrl(t) });
    await createKey(ledger, 'key_1', 10_000n);
    await createKey(ledger, 'key_2', 10_000n);
    const hold = prepaidHold('key_1', 1_000n);
    for (const wrong of [{ payer: 'key:key_2' }, { asset: 'EUR' }, { rail: 'free' as const }])
      await assert.rejects(
        ledger.holdPrepaid({ ...hold, claim: { ...hold.claim, ...wrong } }),
        MoneyLawBroken,
      );
  });

  test(`${engine.name}: a key works on its own routes only`, async (t) => {
    const ledger = await open(t, { url: engine.freshUrl(t) });
    await createKey(ledger, 'key_1', 10_000n, { routes: ['GET /a', ROUTE] });
    const other = prepaidHold('key_1', 1_000n, { route: 'GET /b' });
    assert.equal((await ledger.holdPrepaid(other)).outcome, 'route_forbidden');
    assert.equal((await ledger.holdPrepaid(prepaidHold('key_1', 1_000n))).outcome, 'held');
  });

  test(`${engine.name}: the daily cap counts what is held and captured, and gives back the rest`, async (t) => {
    const ledger = await open(t, { url: engine.freshUrl(t) });
    await createKey(ledger, 'key_1', 100_000n, { perDay: 2_000n });
    const first = prepaidHold('key_1', 1_500n);
    assert.equal((await ledger.holdPrepaid(first)).outcome, 'held');
    const capped = await ledger.holdPrepaid(prepaidHold('key_1', 501n));
    assert.deepEqual(capped, { outcome: 'cap_reached', perDay: 2_000n });
    const second = prepaidHold('key_1', 500n);
    assert.equal((await ledger.holdPrepaid(second)).outcome, 'held');
    await ledger.capture(captureOf(first.claim.id, 300n));
    await ledger.release(releaseOf(second.claim.id));
    assert.equal((await ledger.holdPrepaid(prepaidHold('key_1', 1_701n))).outcome, 'cap_reached');
    assert.equal((await ledger.holdPrepaid(prepaidHold('key_1', 1_700n))).outcome, 'held');
    const tomorrow = { ...prepaidHold('key_1', 2_000n), day: '2026-11-22' };
    assert.equal((await ledger.holdPrepaid(tomorrow)).outcome, 'held');
    assert.deepEqual(await ledger.audit(), []);
  });

  test(`${engine.name}: security: 50 concurrent holds never pass the daily cap`, async (t) => {
    const ledger = await open(t, { url: engine.freshUrl(t) });
    await createKey(ledger, 'key_1', 100_000n, { perDay: 5_999n });
    const holds = await Promise.all(
      Array.from({ length: 50 }, () => ledger.holdPrepaid(prepaidHold('key_1', 1_000n))),
    );
    assert.equal(holds.filter((hold) => hold.outcome === 'held').length, 5);
    assert.deepEqual(await ledger.audit(), []);
  });

  test(`${engine.name}: security: amounts that do not fit 64 bits are refused before they are written`, async (t) => {
    const ledger = await open(t, { url: engine.freshUrl(t) });
    await createKey(ledger, 'key_1', ATOMS_MAX - 10n);
    // First the payer's own balance, then that of the source of all top-ups.
    await assert.rejects(ledger.topUpKey('key_1', 11n, 'stripe', 1), /payer:key_1 would overflow/);
    await assert.rejects(ledger.topUpKey('key_1', 11n, 'operator', 1), /overflow/);
    await assert.rejects(createKey(ledger, 'key_2', 11n), /overflow/);
    await assert.rejects(createKey(ledger, 'key_2', 2n ** 63n), MoneyLawBroken);
    await assert.rejects(ledger.holdPrepaid(prepaidHold('key_1', 2n ** 64n)), MoneyLawBroken);
    assert.equal(await ledger.findKey('key_2'), null);
    assert.equal((await ledger.topUpKey('key_1', 10n, 'operator', 1))?.balance, ATOMS_MAX);
    assert.equal((await ledger.holdPrepaid(prepaidHold('key_1', ATOMS_MAX))).outcome, 'held');
    assert.deepEqual(await ledger.audit(), []);
  });

  test(`${engine.name}: a request that costs nothing leaves no entries and is audited clean`, async (t) => {
    const ledger = await open(t, { url: engine.freshUrl(t) });
    await createKey(ledger, 'key_1', 0n);
    const hold = prepaidHold('key_1', 0n);
    assert.equal((await ledger.holdPrepaid(hold)).outcome, 'held');
    assert.equal((await ledger.capture(captureOf(hold.claim.id, 0n))).outcome, 'done');
    assert.deepEqual(await ledger.entries({ limit: 10 }), []);
    assert.deepEqual(await ledger.audit(), []);
  });

  test(`${engine.name}: entries are listed newest first, by payment and by account`, async (t) => {
    const ledger = await open(t, { url: engine.freshUrl(t) });
    await createKey(ledger, 'key_1', 5_000n);
    const hold = prepaidHold('key_1', 1_000n);
    await ledger.holdPrepaid(hold);
    await ledger.capture(captureOf(hold.claim.id, 600n));
    const entries = await ledger.entries({ limit: 100, paymentId: hold.claim.id });
    assert.deepEqual(
      entries.map(({ kind, account, amount }) => [kind, account, amount]),
      [
        ['capture', 'held:key_1', -1_000n],
        ['capture', `revenue:${ROUTE}`, 600n],
        ['capture', 'payer:key_1', 400n],
        ['hold', 'payer:key_1', -1_000n],
        ['hold', 'held:key_1', 1_000n],
      ],
    );
    const topUps = await ledger.entries({ limit: 100, account: 'outside:operator' });
    assert.deepEqual(
      topUps.map((entry) => entry.paymentId),
      [null],
    );
    assert.equal((await ledger.entries({ limit: 2 })).length, 2);
    assert.equal(new Set(entries.map((entry) => entry.id)).size, entries.length);
  });

  test(`${engine.name}: the day of a hold decides its cap, though it ends after midnight`, async (t) => {
    const ledger = await open(t, { url: engine.freshUrl(t) });
    await createKey(ledger, 'key_1', 10_000n, { perDay: 1_000n });
    const hold = prepaidHold('key_1', 1_000n);
    await ledger.holdPrepaid(hold);
    const next = { ...prepaidHold('key_1', 1_000n), day: '2026-11-22' };
    assert.equal((await ledger.holdPrepaid(next)).outcome, 'held');
    await ledger.release(releaseOf(hold.claim.id));
    assert.equal((await ledger.holdPrepaid(prepaidHold('key_1', 1_000n))).outcome, 'held', DAY);
    assert.deepEqual(await ledger.audit(), []);
  });
}
