/** What recovery does for payments that no request ends any more. */

import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { silentLog } from '../../src/core/log.ts';
import type { Ledger } from '../../src/core/ports/ledger.ts';
import { createRecovery, type RecoveryOptions } from '../../src/settlement/recovery.ts';
import {
  captureWallet,
  createKey,
  holdWallet,
  jobOf,
  NOW,
  OWNER,
  open,
  prepaidHold,
  walletClaim,
} from '../ledger/fixture.ts';

const LEASE_MS = 15_000;
const EXPIRES_MS = NOW + 60_000;

interface Stage {
  readonly ledger: Ledger;
  readonly orphans: RecoveryOptions['orphans'];
  /** One round at that time, of a process that is alive, and an audit. */
  roundAt(nowMs: number): Promise<void>;
  stateOf(id: string): Promise<string | undefined>;
}

async function stage(t: TestContext): Promise<Stage> {
  let nowMs = NOW;
  const ledger = await open(t, { url: 'sqlite::memory:', nowMs: () => nowMs });
  await createKey(ledger, 'key_1', 1_000n);
  const orphans: RecoveryOptions['orphans'] = new Map();
  const recovery = createRecovery({
    ...{ ledger, orphans, rails: [], owner: OWNER, log: silentLog, clock: { now: () => nowMs } },
    ...{ leaseMs: LEASE_MS, everyMs: 1_000, replayTtlMs: 3_600_000 },
  });
  return {
    ...{ ledger, orphans },
    async roundAt(at) {
      nowMs = at;
      await ledger.heartbeat(OWNER, nowMs + LEASE_MS);
      await recovery.round();
      assert.deepEqual(await ledger.audit(), []);
    },
    async stateOf(id) {
      const payment = await ledger.findPayment(id);
      return payment === null ? undefined : `${payment.state} ${payment.reason}`;
    },
  };
}

test('a hold of a living process that no request ends expires, and goes back', async (t) => {
  const s = await stage(t);
  const hold = prepaidHold('key_1', 400n, { expiresAtMs: EXPIRES_MS });
  await s.ledger.holdPrepaid(hold);
  const wallet = await holdWallet(s.ledger, 50n, { expiresAtMs: EXPIRES_MS });
  const captured = await captureWallet(s.ledger, 50n, { expiresAtMs: EXPIRES_MS });
  await s.roundAt(EXPIRES_MS + 59_000);
  assert.equal(await s.stateOf(hold.claim.id), 'running null', 'its time is not long over');
  await s.roundAt(EXPIRES_MS + 120_000);
  assert.equal(await s.stateOf(hold.claim.id), 'expired overdue');
  assert.equal(await s.stateOf(wallet), 'expired overdue');
  assert.equal(await s.stateOf(captured), 'captured null');
  assert.equal((await s.ledger.findKey('key_1'))?.balance, 1_000n);
});

test('a hold that recovery knows how to end is left to that', async (t) => {
  const s = await stage(t);
  const hold = prepaidHold('key_1', 400n, { expiresAtMs: EXPIRES_MS });
  await s.ledger.holdPrepaid(hold);
  s.orphans.set(hold.claim.id, () => Promise.reject(new Error('not yet')));
  await s.roundAt(EXPIRES_MS + 120_000);
  assert.equal(await s.stateOf(hold.claim.id), 'running null');
});

test('a forgotten claim is deleted, or waits if a facilitator was shown it', async (t) => {
  const s = await stage(t);
  const claim = walletClaim(50n, { expiresAtMs: EXPIRES_MS });
  const shown = walletClaim(50n, { expiresAtMs: EXPIRES_MS });
  for (const one of [claim, shown]) await s.ledger.claim(one);
  await s.ledger.showClaim({ paymentId: shown.id, owner: OWNER, job: jobOf() });
  assert.deepEqual(await s.ledger.shownJobs(), []);
  await s.roundAt(EXPIRES_MS + 120_000);
  assert.equal(await s.stateOf(claim.id), undefined);
  assert.equal(await s.stateOf(shown.id), 'claimed null');
  const { validBeforeMs } = jobOf();
  await s.roundAt(validBeforeMs + 10_000);
  assert.equal(await s.stateOf(shown.id), 'claimed null', 'the chain may be a little behind');
  await s.roundAt(validBeforeMs + 40_000);
  assert.equal(await s.stateOf(shown.id), 'expired facilitator_silent');
});

test('what a dead process left ends: holds go back, claims are deleted or wait, cut answers are owed back', async (t) => {
  const s = await stage(t);
  const owner = 'proc_dead';
  const [claim, shown] = [walletClaim(50n, { owner }), walletClaim(50n, { owner })];
  for (const one of [claim, shown]) await s.ledger.claim(one);
  await s.ledger.showClaim({ paymentId: shown.id, owner, job: jobOf() });
  const held = await holdWallet(s.ledger, 50n, { owner });
  const cut = await holdWallet(s.ledger, 50n, { owner });
  await s.ledger.capture({
    ...{ paymentId: cut, owner, amount: 50n, cost: 50n, usage: [], answer: null },
    ...{ job: jobOf(), delivering: true },
  });
  await s.roundAt(NOW + 1_000);
  assert.equal(await s.stateOf(claim.id), undefined);
  assert.equal(await s.stateOf(shown.id), 'claimed null');
  assert.equal(await s.stateOf(held), 'released gateway_stopped');
  assert.equal(await s.stateOf(cut), 'refund_due gateway_stopped');
});
