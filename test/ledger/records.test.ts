import assert from 'node:assert/strict';
import { test } from 'node:test';
import { STORED_ANSWER_BYTES_MAX } from '../../src/core/payment.ts';
import { MoneyLawBroken, NonceTaken } from '../../src/ledger/errors.ts';
import {
  captureOf,
  captureWallet,
  createKey,
  engines,
  freeHold,
  holdWallet,
  jobOf,
  NETWORK,
  NOW,
  OWNER,
  open,
  prepaidHold,
  releaseOf,
  SECRET,
  settledFact,
  WALLET,
  walletClaim,
} from './fixture.ts';

const ANSWER = {
  status: 200,
  headers: ['content-type', 'application/json'],
  body: new Uint8Array([123, 0, 255, 125]),
};

for (const engine of engines) {
  test(`${engine.name}: an answer is stored with its capture or release and forgotten in time`, async (t) => {
    let nowMs = NOW;
    const ledger = await open(t, { url: engine.freshUrl(t), nowMs: () => nowMs });
    await createKey(ledger, 'key_1', 10_000n);
    const first = prepaidHold('key_1', 10n);
    const second = prepaidHold('key_1', 10n);
    await ledger.holdPrepaid(first);
    await ledger.holdPrepaid(second);
    await ledger.capture(captureOf(first.claim.id, 10n, { answer: ANSWER }));
    nowMs += 1_000;
    await ledger.release({ ...releaseOf(second.claim.id), answer: { ...ANSWER, status: 502 } });
    assert.deepEqual(await ledger.findAnswer(first.claim.id), ANSWER);
    assert.equal((await ledger.findAnswer(second.claim.id))?.status, 502);
    assert.equal(await ledger.forgetAnswers(NOW + 1), 1);
    assert.equal(await ledger.findAnswer(first.claim.id), null);
    assert.equal((await ledger.findAnswer(second.claim.id))?.status, 502);
  });

  test(`${engine.name}: an answer whose money is not final is never forgotten`, async (t) => {
    const ledger = await open(t, { url: engine.freshUrl(t) });
    const id = await holdWallet(ledger, 10n);
    await ledger.capture(captureOf(id, 10n, { job: jobOf(), answer: ANSWER }));
    await ledger.settlementUnknown(id, 'timeout');
    assert.equal(await ledger.forgetAnswers(NOW + 1_000_000), 0);
    await ledger.settled(settledFact(id, 10n));
    assert.equal(await ledger.forgetAnswers(NOW + 1_000_000), 1);
  });

  test(`${engine.name}: an answer that is a view of a larger buffer is stored as its own bytes only`, async (t) => {
    const ledger = await open(t, { url: engine.freshUrl(t) });
    await createKey(ledger, 'key_1', 10_000n);
    const { claim, ...rest } = prepaidHold('key_1', 10n);
    await ledger.holdPrepaid({ claim, ...rest });
    const body = Buffer.from('before the answer after').subarray(7, 17);
    await ledger.capture(captureOf(claim.id, 10n, { answer: { ...ANSWER, body } }));
    const stored = await ledger.findAnswer(claim.id);
    assert.equal(Buffer.from(stored?.body ?? []).toString(), 'the answer');
  });

  test(`${engine.name}: an answer that is too large is not kept, and its capture stands`, async (t) => {
    const ledger = await open(t, { url: engine.freshUrl(t) });
    await createKey(ledger, 'key_1', 10_000n);
    const { claim, ...rest } = prepaidHold('key_1', 10n);
    await ledger.holdPrepaid({ claim, ...rest });
    const answer = { ...ANSWER, body: new Uint8Array(STORED_ANSWER_BYTES_MAX + 1) };
    const captured = await ledger.capture(captureOf(claim.id, 10n, { answer }));
    assert.equal(captured.outcome, 'done');
    assert.equal(await ledger.findAnswer(claim.id), null);
  });

  test(`${engine.name}: jobs are written with the capture, found, and open until the money is final`, async (t) => {
    const ledger = await open(t, { url: engine.freshUrl(t) });
    const job = jobOf(7);
    const first = await captureWallet(ledger, 10n, {}, job);
    const second = await captureWallet(ledger, 10n);
    assert.deepEqual(await ledger.findJob(first), { ...job, paymentId: first, createdAtMs: NOW });
    assert.deepEqual(await ledger.findJob(second), {
      ...jobOf(),
      paymentId: second,
      createdAtMs: NOW,
    });
    await ledger.settlementUnknown(second, 'timeout');
    assert.deepEqual(
      (await ledger.openJobs()).map((open) => open.paymentId),
      [first, second],
    );
    await ledger.settled(settledFact(first, 10n));
    await ledger.settlementFailed(second, 'expired');
    assert.deepEqual(await ledger.openJobs(), []);
    assert.equal((await ledger.findJob(first))?.via, 'embedded');
  });

  test(`${engine.name}: security: a nonce of a sender is stored once, and the next is known`, async (t) => {
    const ledger = await open(t, { url: engine.freshUrl(t) });
    assert.equal(await ledger.nextNonce(NETWORK, '0xsender'), null);
    await captureWallet(ledger, 10n, {}, jobOf(7));
    assert.equal(await ledger.nextNonce(NETWORK, '0xsender'), 8);
    assert.equal(await ledger.nextNonce(NETWORK, '0xother'), null);
    const id = await holdWallet(ledger, 10n);
    await assert.rejects(ledger.capture(captureOf(id, 10n, { job: jobOf(7) })), NonceTaken);
    assert.equal((await ledger.findPayment(id))?.state, 'running');
    assert.equal((await ledger.capture(captureOf(id, 10n, { job: jobOf(8) }))).outcome, 'done');
    assert.deepEqual(await ledger.audit(), []);
  });

  test(`${engine.name}: security: a replaced chain transaction keeps its sender and its nonce`, async (t) => {
    const ledger = await open(t, { url: engine.freshUrl(t) });
    const id = await captureWallet(ledger, 10n, {}, jobOf(7));
    const bumped = { sender: '0xsender', nonce: 7, hash: '0xbumped', raw: '0xraw2' };
    await ledger.replaceTransaction(id, bumped);
    assert.deepEqual((await ledger.findJob(id))?.transaction, bumped);
    for (const other of [{ nonce: 8 }, { sender: '0xother' }])
      await assert.rejects(ledger.replaceTransaction(id, { ...bumped, ...other }), MoneyLawBroken);
    const remote = await captureWallet(ledger, 10n);
    await assert.rejects(ledger.replaceTransaction(remote, bumped), MoneyLawBroken);
  });

  test(`${engine.name}: security: a new nonce is taken only after the stored one was used up, and never one in use`, async (t) => {
    const ledger = await open(t, { url: engine.freshUrl(t) });
    const id = await captureWallet(ledger, 10n, {}, jobOf(7));
    await captureWallet(ledger, 10n, {}, jobOf(8));
    const next = { sender: '0xsender', nonce: 9, hash: '0xnext', raw: '0xraw3' };
    await assert.rejects(ledger.replaceTransaction(id, next, 6), MoneyLawBroken);
    await assert.rejects(ledger.replaceTransaction(id, { ...next, nonce: 8 }, 7), NonceTaken);
    await assert.rejects(ledger.replaceTransaction(id, { ...next, nonce: 6 }, 7), MoneyLawBroken);
    await ledger.replaceTransaction(id, next, 7);
    assert.deepEqual((await ledger.findJob(id))?.transaction, next);
    assert.equal(await ledger.nextNonce(NETWORK, '0xsender'), 10);
  });

  test(`${engine.name}: keys are created, topped up, rotated, revoked and listed`, async (t) => {
    const ledger = await open(t, { url: engine.freshUrl(t) });
    const key = await createKey(ledger, 'key_1', 5_000n, {
      name: 'Ann',
      routes: ['GET /a'],
      perDay: 9n,
    });
    assert.deepEqual(key, {
      id: 'key_1',
      prefix: 'cs_test_key_1',
      mode: 'test',
      balance: 5_000n,
      perDay: 9n,
      routes: ['GET /a'],
      name: 'Ann',
      createdAtMs: NOW,
      revokedAtMs: null,
    });
    assert.equal((await ledger.topUpKey('key_1', 500n, 'stripe', NOW))?.balance, 5_500n);
    assert.deepEqual((await ledger.authenticateKey('key_1', SECRET))?.id, 'key_1');
    const rotated = await ledger.rotateKey('key_1', 'cs_test_key_1', 'ef'.repeat(32));
    assert.equal(rotated?.balance, 5_500n);
    assert.equal(await ledger.authenticateKey('key_1', SECRET), null);
    assert.equal((await ledger.holdPrepaid(prepaidHold('key_1', 1n))).outcome, 'unknown_key');
    assert.equal((await ledger.authenticateKey('key_1', 'ef'.repeat(32)))?.id, 'key_1');
    assert.equal((await ledger.revokeKey('key_1', 77))?.revokedAtMs, 77);
    assert.equal((await ledger.revokeKey('key_1', 99))?.revokedAtMs, 77);
    assert.equal(await ledger.authenticateKey('key_1', 'ef'.repeat(32)), null);
    await createKey(ledger, 'key_2', 0n);
    assert.deepEqual(
      (await ledger.listKeys()).map((one) => one.id),
      ['key_1', 'key_2'],
    );
    await assert.rejects(createKey(ledger, 'key_2', 0n), MoneyLawBroken);
    for (const nothing of [
      ledger.findKey('key_9'),
      ledger.authenticateKey('key_9', SECRET),
      ledger.rotateKey('key_9', 'p', SECRET),
      ledger.revokeKey('key_9', 1),
      ledger.topUpKey('key_9', 1n, 'operator', 1),
    ])
      assert.equal(await nothing, null);
    await assert.rejects(ledger.topUpKey('key_1', -1n, 'operator', 1), MoneyLawBroken);
    assert.deepEqual(await ledger.audit(), []);
  });

  test(`${engine.name}: payments are listed newest first and filtered`, async (t) => {
    const ledger = await open(t, { url: engine.freshUrl(t) });
    const first = await holdWallet(ledger, 10n, { createdAtMs: NOW - 5_000 });
    const second = walletClaim(10n);
    await ledger.claim(second);
    const free = freeHold('ip:203.0.113.7', 3);
    await ledger.holdFree(free);
    const list = async (filter: object) =>
      (await ledger.listPayments({ limit: 10, ...filter })).map((payment) => payment.id);
    assert.deepEqual(await list({}), [free.claim.id, second.id, first]);
    assert.deepEqual(await list({ limit: 1 }), [free.claim.id]);
    assert.deepEqual(await list({ limit: -1 }), []);
    assert.deepEqual(await list({ state: 'claimed' }), [second.id]);
    assert.deepEqual(await list({ rail: 'free' }), [free.claim.id]);
    assert.deepEqual(await list({ payer: WALLET, sinceMs: NOW }), [second.id]);
  });

  test(`${engine.name}: a dead process's payments are taken over once its lease has lapsed, and no others`, async (t) => {
    let nowMs = NOW;
    const ledger = await open(t, { url: engine.freshUrl(t), nowMs: () => nowMs });
    await createKey(ledger, 'key_1', 10_000n);
    await ledger.heartbeat('proc_dead', NOW + 1_000);
    await ledger.heartbeat('proc_live', NOW + 60_000);
    const claimed = walletClaim(10n, { owner: 'proc_dead' });
    await ledger.claim(claimed);
    const running = prepaidHold('key_1', 10n, { owner: 'proc_dead', createdAtMs: NOW + 1 });
    await ledger.holdPrepaid(running);
    const live = prepaidHold('key_1', 10n, { owner: 'proc_live' });
    await ledger.holdPrepaid(live);
    const done = prepaidHold('key_1', 10n, { owner: 'proc_dead' });
    await ledger.holdPrepaid(done);
    await ledger.capture(captureOf(done.claim.id, 10n, { owner: 'proc_dead' }));
    // It never sent a heartbeat: no lease is a lapsed lease.
    const unknown = await captureWallet(ledger, 10n, { createdAtMs: NOW + 2 });

    assert.deepEqual(
      (await ledger.takeLapsed('proc_new', NOW + 500)).map((p) => p.id),
      [unknown],
    );
    nowMs = NOW + 2_000;
    const taken = await ledger.takeLapsed('proc_new', nowMs);
    assert.deepEqual(
      taken.map((payment) => payment.id),
      [claimed.id, running.claim.id],
    );
    assert.ok(taken.every((payment) => payment.owner === 'proc_new'));
    assert.deepEqual(await ledger.takeLapsed('proc_new', nowMs), []);
    assert.equal((await ledger.release(releaseOf(running.claim.id, 'proc_dead'))).outcome, 'lost');
    assert.equal((await ledger.release(releaseOf(running.claim.id, 'proc_new'))).outcome, 'done');
    assert.equal((await ledger.findPayment(live.claim.id))?.owner, 'proc_live');
    assert.deepEqual(await ledger.audit(), []);
  });

  test(`${engine.name}: payments of a living process that should have ended are named to it, whatever its heartbeat`, async (t) => {
    const ledger = await open(t, { url: engine.freshUrl(t) });
    await createKey(ledger, 'key_1', 10_000n);
    const late = prepaidHold('key_1', 10n, { owner: 'proc_x', expiresAtMs: NOW + 10 });
    const inTime = prepaidHold('key_1', 10n, { owner: 'proc_x', expiresAtMs: NOW + 900 });
    const theirs = prepaidHold('key_1', 10n, { owner: 'proc_y', expiresAtMs: NOW + 10 });
    for (const hold of [late, inTime, theirs]) await ledger.holdPrepaid(hold);
    const claim = walletClaim(10n, { owner: 'proc_x', expiresAtMs: NOW + 10 });
    await ledger.claim(claim);
    await captureWallet(ledger, 10n, { owner: OWNER, expiresAtMs: NOW + 10 });
    await ledger.heartbeat('proc_x', NOW + 500);
    const overdue = async (owner: string): Promise<Set<string>> =>
      new Set((await ledger.overdue(owner, NOW + 11)).map(({ id }) => id));
    assert.deepEqual(await overdue('proc_x'), new Set([late.claim.id, claim.id]));
    assert.deepEqual(await overdue(OWNER), new Set());
  });

  test(`${engine.name}: shared secrets and the mode are made once and told to everybody after`, async (t) => {
    const ledger = await open(t, { url: engine.freshUrl(t) });
    const made = await Promise.all(
      Array.from({ length: 10 }, (_, i) => ledger.sharedSecret('quotes', `candidate ${i}`)),
    );
    assert.deepEqual(new Set(made), new Set(['candidate 0']));
    assert.equal(await ledger.sharedSecret('mode', 'other'), 'other');
    assert.equal(await ledger.stampMode('live'), 'live');
    assert.equal(await ledger.stampMode('test'), 'live');
    await assert.rejects(createKey(ledger, 'key_1', 1n, { mode: 'test' }), MoneyLawBroken);
    await createKey(ledger, 'key_1', 1n, { mode: 'live' });
  });
}
