/** The ends that a payment comes to when nobody is there to write them, or when the chain changes its mind. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Ledger } from '../../src/core/ports/ledger.ts';
import {
  balanceOf,
  captureOf,
  captureWallet,
  engines,
  holdWallet,
  jobOf,
  NETWORK,
  NOW,
  OWNER,
  open,
  ROUTE,
  releaseOf,
  settledFact,
  USDC,
  WALLET,
  walletClaim,
} from './fixture.ts';

const DUE = `refund-due:${WALLET}`;
const HASH_A = `0x${'aa'.repeat(32)}`;
const HASH_B = `0x${'bb'.repeat(32)}`;

async function delivering(ledger: Ledger, nonce?: number): Promise<string> {
  const id = await holdWallet(ledger, 50n);
  await ledger.capture(captureOf(id, 50n, { job: jobOf(nonce), delivering: true }));
  return id;
}

async function stateOf(ledger: Ledger, id: string): Promise<string | undefined> {
  return (await ledger.findPayment(id))?.state;
}

/** A claim that a facilitator was shown. */
async function shownClaim(ledger: Ledger): Promise<string> {
  const claim = walletClaim(50n);
  await ledger.claim(claim);
  const job = jobOf();
  const shown = await ledger.showClaim({ paymentId: claim.id, owner: OWNER, job });
  assert.equal(shown.outcome, 'done');
  return claim.id;
}

for (const engine of engines) {
  for (const seen of ['captured', 'settlement_unknown', 'settled'] as const)
    test(`${engine.name}: an answer that was cut off with its process is owed back: ${seen}`, async (t) => {
      const ledger = await open(t, { url: engine.freshUrl(t) });
      const id = await delivering(ledger);
      const delivered = await delivering(ledger);
      await ledger.delivered(delivered, OWNER);
      const others = await delivering(ledger);
      await ledger.delivered(others, 'proc_b');
      if (seen === 'settlement_unknown') await ledger.settlementUnknown(id, 'pending');
      if (seen === 'settled') await ledger.settled(settledFact(id, 50n));
      await ledger.heartbeat(OWNER, NOW + 1_000);
      await ledger.takeLapsed('proc_b', NOW);
      assert.equal(await stateOf(ledger, id), seen, 'its process is alive');

      const taken = await ledger.takeLapsed('proc_b', NOW + 2_000);
      assert.deepEqual(
        new Map(taken.map((payment) => [payment.id, `${payment.state} ${payment.reason}`])),
        new Map([
          [id, 'refund_due gateway_stopped'],
          [delivered, 'captured null'],
          [others, 'refund_due gateway_stopped'],
        ]),
      );
      assert.deepEqual(await ledger.takeLapsed('proc_c', NOW + 2_000), await recaptured(ledger));
      if (seen !== 'settled') {
        assert.ok((await ledger.openJobs()).some(({ paymentId }) => paymentId === id));
        const paid = await ledger.settled(settledFact(id, 50n));
        assert.equal(paid.payment?.state, 'refund_due');
      }
      assert.equal(await balanceOf(ledger, DUE, USDC), 100n);
      assert.deepEqual(await ledger.audit(), []);
    });

  test(`${engine.name}: a claim that was shown waits, and is taken up by one process only`, async (t) => {
    const ledger = await open(t, { url: engine.freshUrl(t) });
    const id = await shownClaim(ledger);
    const resume = (owner: string) =>
      ledger.resumeClaim({ paymentId: id, owner, expiresAtMs: NOW + 90_000 });
    assert.equal((await resume('proc_b')).outcome, 'lost', 'it is being verified');
    assert.deepEqual(await ledger.shownJobs(), []);
    assert.equal((await ledger.parkClaim(id, 'proc_b')).outcome, 'lost');
    assert.equal((await ledger.parkClaim(id, OWNER)).outcome, 'done');
    assert.deepEqual(
      (await ledger.shownJobs()).map(({ paymentId }) => paymentId),
      [id],
    );
    const resumed = await Promise.all([resume('proc_b'), resume('proc_c'), resume('proc_d')]);
    assert.deepEqual(
      resumed.map(({ outcome }) => outcome),
      ['done', 'lost', 'lost'],
    );
    const hold = { paymentId: id, owner: 'proc_b', balance: 50n, block: 1n };
    assert.equal((await ledger.holdExposure(hold)).outcome, 'held');
    assert.deepEqual(await ledger.openJobs(), [], 'its money was not asked for yet');
    const captured = captureOf(id, 50n, { owner: 'proc_b', job: jobOf() });
    assert.equal((await ledger.capture(captured)).outcome, 'done');
    assert.equal((await ledger.openJobs()).length, 1);
    assert.deepEqual(await ledger.shownJobs(), []);
    assert.deepEqual(await ledger.audit(), []);
  });

  test(`${engine.name}: a claim that was to be shown and reached nobody is deleted with its job`, async (t) => {
    const ledger = await open(t, { url: engine.freshUrl(t) });
    const id = await shownClaim(ledger);
    await ledger.abandonClaim(id);
    assert.equal(await ledger.findPayment(id), null);
    assert.equal(await ledger.findJob(id), null);
  });

  for (const end of ['released', 'rejected', 'expired'] as const)
    for (const held of [true, false])
      test(`${engine.name}: a payment that was ${end}${held ? ' after its hold' : ''} and is paid all the same is owed back`, async (t) => {
        const ledger = await open(t, { url: engine.freshUrl(t) });
        const id = await shownClaim(ledger);
        const hold = { paymentId: id, owner: OWNER, balance: 50n, block: 1n };
        if (held) await ledger.holdExposure(hold);
        await ledger.release({ ...releaseOf(id), state: end });
        assert.equal((await ledger.shownJobs()).length, 1);
        const paid = await ledger.settled({ ...settledFact(id, 50n, 7n, 3n), blockHash: HASH_A });
        assert.deepEqual(
          [paid.payment?.state, paid.payment?.reason, paid.payment?.amount],
          ['refund_due', 'paid_without_answer', 50n],
        );
        assert.equal(await balanceOf(ledger, DUE, USDC), 50n);
        assert.equal((await ledger.settled(settledFact(id, 50n))).outcome, 'lost');
        assert.deepEqual(await ledger.shownJobs(), []);
        assert.deepEqual(await ledger.audit(), []);

        await ledger.unsettle(NETWORK, { block: 7n, blockHash: HASH_A });
        assert.equal((await ledger.openJobs()).length, 1, 'it is looked for again');
        await ledger.settlementFailed(id, 'authorization_expired');
        assert.equal(await balanceOf(ledger, DUE, USDC), 0n);
        assert.deepEqual(await ledger.audit(), []);
      });

  test(`${engine.name}: the job of a shown claim is closed only once it has ended`, async (t) => {
    const ledger = await open(t, { url: engine.freshUrl(t) });
    const id = await shownClaim(ledger);
    await ledger.closeShown(id);
    assert.notEqual(await ledger.findJob(id), null);
    await ledger.release(releaseOf(id));
    await ledger.closeShown(id);
    assert.equal(await ledger.findJob(id), null);
    const captured = await captureWallet(ledger, 10n);
    await ledger.closeShown(captured);
    assert.notEqual(await ledger.findJob(captured), null);
  });

  test(`${engine.name}: money that comes after all for an answer that nobody got is owed back`, async (t) => {
    const ledger = await open(t, { url: engine.freshUrl(t) });
    const body = new Uint8Array(3);
    const cases = [
      { answer: null, served: false, state: 'refund_due' },
      { answer: null, served: true, state: 'settled' },
      { answer: { status: 200, headers: [], body }, served: false, state: 'settled' },
    ] as const;
    for (const { answer, served, state } of cases) {
      const id = await holdWallet(ledger, 50n);
      await ledger.capture(captureOf(id, 50n, { job: jobOf(), answer }));
      if (served) await ledger.expose({ paymentId: id, perPayer: 100n, perNetwork: 100n });
      await ledger.settlementFailed(id, 'authorization_cancelled');
      assert.equal((await ledger.settled(settledFact(id, 50n))).payment?.state, state);
    }
    assert.deepEqual(await ledger.audit(), []);
  });

  test(`${engine.name}: the gas of a settlement that failed is booked, and added to when it settles after all`, async (t) => {
    const ledger = await open(t, { url: engine.freshUrl(t) });
    const id = await captureWallet(ledger, 50n);
    await ledger.settlementFailed(id, 'authorization_cancelled', 7n);
    const gas = () => balanceOf(ledger, `gas:${NETWORK}`, `${NETWORK}/gas-nano`);
    assert.equal(await gas(), 7n);
    await ledger.settled(settledFact(id, 50n, 9n, 5n));
    assert.equal(await gas(), 12n);
    assert.deepEqual(await ledger.audit(), []);
  });

  test(`${engine.name}: what settled in a block that was dropped is open again, and settles again or fails`, async (t) => {
    const ledger = await open(t, { url: engine.freshUrl(t) });
    const ids = [await captureWallet(ledger, 50n), await captureWallet(ledger, 50n)] as const;
    const due = await captureWallet(ledger, 50n);
    await ledger.refundDue(due, 'upstream_broke_off');
    for (const id of [...ids, due])
      await ledger.settled({ ...settledFact(id, 50n, 7n, 3n), blockHash: HASH_A });
    const later = await captureWallet(ledger, 50n);
    await ledger.settled({ ...settledFact(later, 50n, 9n, 3n), blockHash: HASH_B });
    const blocks = [
      { block: 9n, blockHash: HASH_B },
      { block: 7n, blockHash: HASH_A },
    ] as const;
    assert.deepEqual(await ledger.settledBlocks(NETWORK, 0n), blocks);
    assert.deepEqual(await ledger.settledBlocks(NETWORK, 8n), [blocks[0]]);
    assert.deepEqual(await ledger.settledBlocks('eip155:1', 0n), []);

    assert.deepEqual(await ledger.unsettle(NETWORK, { block: 7n, blockHash: HASH_B }), []);
    const dropped = await ledger.unsettle(NETWORK, blocks[1]);
    assert.deepEqual(
      dropped.map(({ state, transaction }) => [state, transaction]),
      [
        ['captured', null],
        ['captured', null],
        ['refund_due', null],
      ],
    );
    assert.deepEqual(await ledger.audit(), []);
    assert.equal((await ledger.openJobs()).length, 3);
    await ledger.settled({ ...settledFact(ids[0], 50n, 8n, 4n), blockHash: HASH_A });
    await ledger.settlementFailed(ids[1], 'authorization_expired');
    assert.equal(await stateOf(ledger, ids[0]), 'settled');
    assert.equal(await balanceOf(ledger, `revenue:${ROUTE}`, USDC), 100n);
    const claim = walletClaim(10n);
    await ledger.claim(claim);
    const hold = { paymentId: claim.id, owner: OWNER, balance: 1_000n, block: 10n };
    assert.deepEqual(
      await ledger.holdExposure(hold),
      { outcome: 'barred', paymentId: ids[1] },
      'its answer had gone out',
    );
    assert.deepEqual(await ledger.audit(), []);
  });
}

/** What a third process takes over from the second, which has no lease either: the captured one alone. */
async function recaptured(ledger: Ledger) {
  const payments = await ledger.listPayments({ limit: 10, state: 'captured' });
  return payments.map((payment) => ({ ...payment, owner: 'proc_c' }));
}
