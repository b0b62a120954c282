import assert from 'node:assert/strict';
import { test } from 'node:test';
import { gasAsset } from '../../src/ledger/accounts.ts';
import { MoneyLawBroken } from '../../src/ledger/errors.ts';
import {
  balanceOf,
  captureOf,
  captureWallet,
  createKey,
  engines,
  holdWallet,
  jobOf,
  NETWORK,
  OWNER,
  open,
  prepaidHold,
  ROUTE,
  releaseOf,
  settledFact,
  USDC,
  WALLET,
  walletClaim,
} from './fixture.ts';

const OTHER = `wallet:${NETWORK}:0x00000000000000000000000000000000000000bb`;

for (const engine of engines) {
  test(`${engine.name}: security: 50 concurrent claims of one credential claim exactly once`, async (t) => {
    const ledger = await open(t, { url: engine.freshUrl(t) });
    const claims = await Promise.all(
      Array.from({ length: 50 }, () =>
        ledger.claim(walletClaim(1_000n, { credentialKey: 'x402:same' })),
      ),
    );
    const claimed = claims.filter((claim) => claim.outcome === 'claimed');
    assert.equal(claimed.length, 1);
    assert.ok(claims.every((claim) => claim.payment.id === claimed[0]?.payment.id));
    assert.deepEqual(await ledger.findByCredential('x402:same'), claimed[0]?.payment);
    assert.equal((await ledger.listPayments({ limit: 100 })).length, 1);
  });

  test(`${engine.name}: a claim that never ran can be abandoned and claimed again; a running one can't`, async (t) => {
    const ledger = await open(t, { url: engine.freshUrl(t) });
    const claim = walletClaim(1_000n, { credentialKey: 'x402:same' });
    await ledger.claim(claim);
    await ledger.abandonClaim(claim.id);
    await ledger.abandonClaim(claim.id);
    assert.equal(await ledger.findPayment(claim.id), null);
    const id = await holdWallet(ledger, 1_000n, { credentialKey: 'x402:same' });
    await ledger.abandonClaim(id);
    assert.equal((await ledger.findPayment(id))?.state, 'running');
  });

  test(`${engine.name}: security: a provisional claim is promoted only to a key that nobody has`, async (t) => {
    const ledger = await open(t, { url: engine.freshUrl(t) });
    const first = walletClaim(1_000n, { credentialKey: 'hash:1' });
    const second = walletClaim(1_000n, { credentialKey: 'hash:2' });
    await ledger.claim(first);
    await ledger.claim(second);
    const [promoted, refused] = await Promise.all([
      ledger.promoteClaim(first.id, 'x402:final'),
      ledger.promoteClaim(second.id, 'x402:final'),
    ]);
    assert.equal(promoted.outcome, 'claimed');
    assert.equal(promoted.payment.credentialKey, 'x402:final');
    assert.equal(refused.outcome, 'exists');
    assert.equal(refused.payment.id, first.id);
    assert.equal((await ledger.promoteClaim(first.id, 'x402:final')).outcome, 'claimed');
    const running = await holdWallet(ledger, 1n);
    assert.equal((await ledger.promoteClaim(running, 'x402:other')).outcome, 'exists');
    await assert.rejects(ledger.promoteClaim('pay_unknown', 'x402:another'), MoneyLawBroken);
  });

  test(`${engine.name}: security: concurrent payments of one wallet never exceed its balance`, async (t) => {
    const ledger = await open(t, { url: engine.freshUrl(t) });
    const holds = await Promise.all(
      Array.from({ length: 40 }, async () => {
        const claim = walletClaim(1_000n);
        await ledger.claim(claim);
        return await ledger.holdExposure({
          paymentId: claim.id,
          owner: OWNER,
          balance: 5_500n,
          block: 1n,
        });
      }),
    );
    assert.equal(holds.filter((hold) => hold.outcome === 'held').length, 5);
    const refused = holds.find((hold) => hold.outcome === 'insufficient');
    assert.equal(refused?.open, 5_000n);
    // Another wallet has a balance of its own.
    await holdWallet(ledger, 5_500n, { payer: OTHER });
    assert.deepEqual(await ledger.audit(), []);
  });

  test(`${engine.name}: security: what settled after the block of the balance still counts as open`, async (t) => {
    const ledger = await open(t, { url: engine.freshUrl(t) });
    const id = await captureWallet(ledger, 1_000n);
    await ledger.settled(settledFact(id, 1_000n, 10n));
    const claim = walletClaim(1_000n);
    await ledger.claim(claim);
    const hold = { paymentId: claim.id, owner: OWNER, balance: 1_500n };
    const stale = await ledger.holdExposure({ ...hold, block: 9n });
    assert.deepEqual(stale, { outcome: 'insufficient', open: 1_000n });
    assert.equal((await ledger.holdExposure({ ...hold, block: 10n })).outcome, 'held');
  });

  test(`${engine.name}: only the owner of a claim holds it, and once`, async (t) => {
    const ledger = await open(t, { url: engine.freshUrl(t) });
    const claim = walletClaim(1_000n);
    await ledger.claim(claim);
    const hold = { paymentId: claim.id, owner: OWNER, balance: 9_000n, block: 1n };
    assert.equal((await ledger.holdExposure({ ...hold, owner: 'proc_b' })).outcome, 'not_claimed');
    assert.equal(
      (await ledger.holdExposure({ ...hold, paymentId: 'pay_x' })).outcome,
      'not_claimed',
    );
    assert.equal((await ledger.holdExposure(hold)).outcome, 'held');
    assert.equal((await ledger.holdExposure(hold)).outcome, 'not_claimed');
    assert.equal(await balanceOf(ledger, `held:${WALLET}`, USDC), 1_000n);
    assert.equal(await balanceOf(ledger, WALLET, USDC), -1_000n);
  });

  test(`${engine.name}: security: prepaid money can't be held as if it were a wallet's, without its secret`, async (t) => {
    const ledger = await open(t, { url: engine.freshUrl(t) });
    await createKey(ledger, 'key_1', 10_000n);
    const { claim } = prepaidHold('key_1', 1_000n);
    await ledger.claim(claim);
    const hold = { paymentId: claim.id, owner: OWNER, balance: 9_000n, block: 1n };
    await assert.rejects(ledger.holdExposure(hold), MoneyLawBroken);
    assert.equal((await ledger.findKey('key_1'))?.balance, 10_000n);
  });

  test(`${engine.name}: a settled payment brings its wallet back to zero and its gas onto the books`, async (t) => {
    const ledger = await open(t, { url: engine.freshUrl(t) });
    const id = await holdWallet(ledger, 1_000n);
    const captured = await ledger.capture(captureOf(id, 700n, { job: jobOf(4) }));
    assert.equal(captured.payment?.state, 'captured');
    assert.equal(await balanceOf(ledger, WALLET, USDC), -700n);
    const settled = await ledger.settled(settledFact(id, 700n, 10n, 55n));
    assert.equal(settled.outcome, 'done');
    assert.equal(settled.payment.state, 'settled');
    assert.equal(settled.payment.transaction, '0xsettled');
    assert.deepEqual(await ledger.findPayment(id), settled.payment);
    assert.equal(await balanceOf(ledger, WALLET, USDC), 0n);
    assert.equal(await balanceOf(ledger, `chain:${NETWORK}`, USDC), -700n);
    assert.equal(await balanceOf(ledger, `revenue:${ROUTE}`, USDC), 700n);
    assert.equal(await balanceOf(ledger, `gas:${NETWORK}`, gasAsset(NETWORK)), 55n);

    const again = await ledger.settled(settledFact(id, 700n));
    assert.equal(again.outcome, 'lost');
    assert.equal(again.payment?.state, 'settled');
    assert.equal((await ledger.settlementFailed(id, 'late')).outcome, 'lost');
    assert.equal((await ledger.settlementUnknown(id, 'late')).outcome, 'lost');
    assert.equal((await ledger.release(releaseOf(id))).outcome, 'lost');
    assert.deepEqual(await ledger.audit(), []);
  });

  test(`${engine.name}: unknown stays owed until it is settled or failed for good`, async (t) => {
    const ledger = await open(t, { url: engine.freshUrl(t) });
    const id = await captureWallet(ledger, 1_000n);
    const unknown = await ledger.settlementUnknown(id, 'timeout');
    assert.equal(unknown.payment?.state, 'settlement_unknown');
    assert.equal(unknown.payment?.reason, 'timeout');
    assert.equal(await balanceOf(ledger, WALLET, USDC), -1_000n);
    assert.equal((await ledger.settled(settledFact(id, 1_000n))).outcome, 'done');

    const failing = await captureWallet(ledger, 1_000n);
    await ledger.settlementUnknown(failing, 'timeout');
    const failed = await ledger.settlementFailed(failing, 'authorization_expired');
    assert.equal(failed.payment?.state, 'settlement_failed');
    assert.equal(await balanceOf(ledger, `revenue:${ROUTE}`, USDC), 1_000n);
    assert.equal(await balanceOf(ledger, WALLET, USDC), 0n);
    assert.deepEqual(await ledger.audit(), []);
  });

  test(`${engine.name}: security: a wallet that was served and never paid is refused until it has paid`, async (t) => {
    const ledger = await open(t, { url: engine.freshUrl(t) });
    const id = await captureWallet(ledger, 1_000n);
    const limits = { perPayer: 5_000n, perNetwork: 5_000n };
    assert.equal(await ledger.expose({ paymentId: id, ...limits }), 'within');
    await ledger.settlementFailed(id, 'authorization_cancelled');
    const claim = walletClaim(1_000n);
    await ledger.claim(claim);
    const hold = { paymentId: claim.id, owner: OWNER, balance: 9_000n, block: 1n };
    assert.deepEqual(await ledger.holdExposure(hold), { outcome: 'barred', paymentId: id });
    await holdWallet(ledger, 1_000n, { payer: OTHER });
    // Seen on the chain after all: it is settled, and the bar is lifted.
    assert.equal((await ledger.settled(settledFact(id, 1_000n))).payment?.state, 'settled');
    assert.equal((await ledger.holdExposure(hold)).outcome, 'held');
    assert.deepEqual(await ledger.audit(), []);
  });

  test(`${engine.name}: a wallet is admitted again once the operator has written off what it owes, and only then`, async (t) => {
    const ledger = await open(t, { url: engine.freshUrl(t) });
    const ids = [await captureWallet(ledger, 1_000n), await captureWallet(ledger, 2_000n)];
    for (const id of ids) {
      await ledger.expose({ paymentId: id, perPayer: 5_000n, perNetwork: 5_000n });
      await ledger.settlementFailed(id, 'authorization_cancelled');
    }
    const claim = walletClaim(1_000n);
    await ledger.claim(claim);
    const hold = { paymentId: claim.id, owner: OWNER, balance: 9_000n, block: 1n };
    assert.equal((await ledger.forgive(ids[0] ?? '')).outcome, 'done');
    assert.equal((await ledger.forgive(ids[0] ?? '')).outcome, 'lost', 'there is nothing left');
    assert.deepEqual(await ledger.holdExposure(hold), { outcome: 'barred', paymentId: ids[1] });
    assert.equal((await ledger.forgive(ids[1] ?? '')).outcome, 'done');
    assert.equal((await ledger.holdExposure(hold)).outcome, 'held');
    assert.deepEqual(await ledger.forgive('pay_nothing'), { outcome: 'lost', payment: null });
    assert.deepEqual(await ledger.audit(), []);
  });

  test(`${engine.name}: a payment that failed before its answer was served bars nobody`, async (t) => {
    const ledger = await open(t, { url: engine.freshUrl(t) });
    const id = await captureWallet(ledger, 1_000n);
    await ledger.settlementFailed(id, 'authorization_used');
    await holdWallet(ledger, 1_000n);
    assert.deepEqual(await ledger.audit(), []);
  });

  test(`${engine.name}: security: concurrent exposures stay within the limits of payer and network`, async (t) => {
    const ledger = await open(t, { url: engine.freshUrl(t) });
    const ids: string[] = [];
    for (let i = 0; i < 10; i++) ids.push(await captureWallet(ledger, 1_000n));
    for (let i = 0; i < 10; i++) ids.push(await captureWallet(ledger, 1_000n, { payer: OTHER }));
    const exposed = await Promise.all(
      ids.map((paymentId) => ledger.expose({ paymentId, perPayer: 3_500n, perNetwork: 5_000n })),
    );
    assert.equal(exposed.slice(0, 10).filter((outcome) => outcome === 'within').length, 3);
    assert.equal(exposed.slice(10).filter((outcome) => outcome === 'within').length, 2);

    // An answer that went out once may go out again; what settles makes room.
    const limits = { perPayer: 3_500n, perNetwork: 5_000n };
    const first = ids[0] as string;
    const waiting = ids[3] as string;
    assert.equal(await ledger.expose({ paymentId: first, ...limits }), 'within');
    assert.equal(await ledger.expose({ paymentId: waiting, ...limits }), 'beyond');
    await ledger.settled(settledFact(first, 1_000n));
    assert.equal(await ledger.expose({ paymentId: first, ...limits }), 'within');
    assert.equal(await ledger.expose({ paymentId: waiting, ...limits }), 'within');
  });

  test(`${engine.name}: nothing is exposed for a payment that is unknown, released or failed`, async (t) => {
    const ledger = await open(t, { url: engine.freshUrl(t) });
    const limits = { perPayer: 5_000n, perNetwork: 5_000n };
    const released = await holdWallet(ledger, 10n);
    await ledger.release(releaseOf(released));
    const failed = await captureWallet(ledger, 10n);
    await ledger.settlementFailed(failed, 'expired');
    for (const paymentId of ['pay_unknown', released, failed])
      assert.equal(await ledger.expose({ paymentId, ...limits }), 'beyond');
  });

  test(`${engine.name}: security: outside money is never captured without the job that moves it`, async (t) => {
    const ledger = await open(t, { url: engine.freshUrl(t) });
    const id = await holdWallet(ledger, 1_000n);
    await assert.rejects(ledger.capture(captureOf(id, 1_000n)), MoneyLawBroken);
    const elsewhere = jobOf(1, { network: 'eip155:1' });
    await assert.rejects(ledger.capture(captureOf(id, 1n, { job: elsewhere })), MoneyLawBroken);
    assert.equal((await ledger.findPayment(id))?.state, 'running');
    assert.equal(await ledger.nextNonce('eip155:1', '0xsender'), null);
    // Used nothing: nothing moves outside, and no job is needed.
    assert.equal((await ledger.capture(captureOf(id, 0n))).payment?.state, 'settled');
    assert.deepEqual(await ledger.audit(), []);
  });

  test(`${engine.name}: work that failed after its money moved is due for refund, not revenue`, async (t) => {
    const ledger = await open(t, { url: engine.freshUrl(t) });
    const settled = await captureWallet(ledger, 1_000n);
    await ledger.settled(settledFact(settled, 1_000n));
    const due = await ledger.refundDue(settled, 'upstream_broke_off');
    assert.equal(due.payment?.state, 'refund_due');
    assert.equal((await ledger.refundDue(settled, 'again')).outcome, 'lost');
    assert.equal(await balanceOf(ledger, `refund-due:${WALLET}`, USDC), 1_000n);
    assert.equal(await balanceOf(ledger, `revenue:${ROUTE}`, USDC), 0n);

    // Not seen yet when it became due: its job stays open, and the money is still booked when it comes.
    const early = await captureWallet(ledger, 500n);
    await ledger.refundDue(early, 'upstream_broke_off');
    assert.deepEqual(
      (await ledger.openJobs()).map((job) => job.paymentId),
      [early],
    );
    const seen = await ledger.settled(settledFact(early, 500n));
    assert.equal(seen.payment?.state, 'refund_due');
    assert.equal(await balanceOf(ledger, WALLET, USDC), 0n);
    assert.equal((await ledger.settled(settledFact(early, 500n))).outcome, 'lost');

    // Or it never comes: then nothing is due.
    const never = await captureWallet(ledger, 300n);
    await ledger.refundDue(never, 'upstream_broke_off');
    await ledger.settlementFailed(never, 'authorization_expired');
    assert.equal(await balanceOf(ledger, `refund-due:${WALLET}`, USDC), 1_500n);
    assert.deepEqual(await ledger.openJobs(), []);
    assert.deepEqual(await ledger.audit(), []);
  });

  test(`${engine.name}: unknown payments are lost or null, never an exception`, async (t) => {
    const ledger = await open(t, { url: engine.freshUrl(t) });
    const lost = { outcome: 'lost', payment: null };
    const id = 'pay_unknown';
    assert.deepEqual(await ledger.capture(captureOf(id, 1n)), lost);
    assert.deepEqual(await ledger.release(releaseOf(id)), lost);
    assert.deepEqual(await ledger.settled(settledFact(id, 1n)), lost);
    assert.deepEqual(await ledger.settlementUnknown(id, 'r'), lost);
    assert.deepEqual(await ledger.settlementFailed(id, 'r'), lost);
    assert.deepEqual(await ledger.refundDue(id, 'r'), lost);
    assert.equal(await ledger.findPayment(id), null);
    assert.equal(await ledger.findByCredential(id), null);
    assert.equal(await ledger.findAnswer(id), null);
    assert.equal(await ledger.findJob(id), null);
    await ledger.abandonClaim(id);
    await ledger.replaceTransaction(id, { sender: '0x', nonce: 1, hash: '0x', raw: '0x' });
  });
}
