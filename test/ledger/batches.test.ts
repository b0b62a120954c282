import assert from 'node:assert/strict';
import { test } from 'node:test';
import { StoreUnavailable } from '../../src/core/errors.ts';
import { CommitQueue } from '../../src/ledger/commit-queue.ts';
import { LedgerFault, MoneyLawBroken } from '../../src/ledger/errors.ts';
import type { Call, Outcome } from '../../src/ledger/run-batch.ts';
import {
  captureOf,
  createKey,
  engines,
  freeHold,
  open,
  prepaidHold,
  releaseOf,
} from './fixture.ts';

for (const engine of engines) {
  test(`${engine.name}: security: an operation that fails in a batch is undone alone and fails alone`, async (t) => {
    const ledger = await open(t, { url: engine.freshUrl(t) });
    await createKey(ledger, 'key_1', 100_000n);
    const held = prepaidHold('key_1', 1_000n);
    await ledger.holdPrepaid(held);
    // One turn of the event loop: all of these go as one batch.
    const good = Array.from({ length: 20 }, () => prepaidHold('key_1', 100n));
    const results = await Promise.allSettled([
      ...good.slice(0, 10).map((hold) => ledger.holdPrepaid(hold)),
      ledger.capture(captureOf(held.claim.id, 9_999n)),
      // Its entries are written before its job is found missing.
      createKey(ledger, 'key_1', 5n),
      ...good.slice(10).map((hold) => ledger.holdPrepaid(hold)),
      ledger.holdFree(freeHold('total', 1)),
      ledger.capture(captureOf(held.claim.id, 400n)),
    ]);
    const failed = results.filter((result) => result.status === 'rejected');
    assert.equal(failed.length, 3);
    assert.ok(failed.every((result) => result.reason instanceof MoneyLawBroken));
    for (const { claim } of good)
      assert.equal((await ledger.findPayment(claim.id))?.state, 'running');
    assert.equal((await ledger.findPayment(held.claim.id))?.amount, 400n);
    assert.equal((await ledger.findKey('key_1'))?.balance, 100_000n - 2_000n - 400n);
    assert.deepEqual(await ledger.audit(), []);
  });

  test(`${engine.name}: an argument that makes no sense fails its own operation only`, async (t) => {
    const ledger = await open(t, { url: engine.freshUrl(t) });
    await createKey(ledger, 'key_1', 1_000n);
    const hold = prepaidHold('key_1', 10n);
    const broken = { ...hold, claim: undefined as unknown as typeof hold.claim };
    const [bad, good] = await Promise.allSettled([
      ledger.holdPrepaid(broken),
      ledger.holdPrepaid(hold),
    ]);
    assert.ok(bad.status === 'rejected' && bad.reason instanceof LedgerFault);
    assert.ok(good.status === 'fulfilled' && good.value.outcome === 'held');
  });

  test(`${engine.name}: more waiting operations than the bound are refused, the others are answered`, async (t) => {
    const ledger = await open(t, { url: engine.freshUrl(t), waitingMax: 50 });
    await createKey(ledger, 'key_1', 1_000n);
    const results = await Promise.allSettled(
      Array.from({ length: 80 }, () => ledger.holdPrepaid(prepaidHold('key_1', 1n))),
    );
    const refused = results.filter((result) => result.status === 'rejected');
    assert.equal(refused.length, 30);
    assert.ok(refused.every((result) => result.reason instanceof StoreUnavailable));
    assert.equal((await ledger.findKey('key_1'))?.balance, 950n);
  });

  test(`${engine.name}: closing answers what waits and refuses what comes after`, async (t) => {
    const ledger = await open(t, { url: engine.freshUrl(t) });
    await createKey(ledger, 'key_1', 1_000n);
    const hold = prepaidHold('key_1', 1n);
    const waiting = ledger.holdPrepaid(hold);
    const released = ledger.release(releaseOf(hold.claim.id));
    const closed = ledger.close();
    await assert.rejects(ledger.findKey('key_1'), StoreUnavailable);
    assert.equal((await waiting).outcome, 'held');
    assert.equal((await released).outcome, 'done');
    await closed;
    await ledger.close();
  });
}

/** A queue whose batches end when the test says so. */
function heldQueue(batchMax: number) {
  const batches: { calls: readonly Call[]; end: PromiseWithResolvers<readonly Outcome[]> }[] = [];
  const queue = new CommitQueue({
    waitingMax: 100,
    batchMax,
    send: (calls) => {
      const end = Promise.withResolvers<readonly Outcome[]>();
      batches.push({ calls, end });
      return end.promise;
    },
  });
  return { queue, batches };
}

const turn = () => new Promise((resolve) => setImmediate(resolve));

test('operations that arrive during a commit share the next one, in their order', async () => {
  const { queue, batches } = heldQueue(100);
  const first = queue.submit('findKey', ['a'], 1);
  await turn();
  const rest = ['b', 'c', 'd'].map((id) => queue.submit('findKey', [id], 2));
  await turn();
  assert.deepEqual(
    batches.map(({ calls }) => calls.length),
    [1],
  );
  batches[0]?.end.resolve([{ value: 'A' }]);
  assert.equal(await first, 'A');
  await turn();
  assert.deepEqual(
    batches[1]?.calls.map((call) => call.args[0]),
    ['b', 'c', 'd'],
  );
  batches[1]?.end.resolve([
    { value: 'B' },
    { failure: { code: 'x', message: 'no' } },
    { value: 'D' },
  ]);
  const results = await Promise.allSettled(rest);
  assert.deepEqual(
    results.map((result) => result.status),
    ['fulfilled', 'rejected', 'fulfilled'],
  );
});

test('a report runs in a batch of its own and nobody holds a write lock for it', async () => {
  const { queue, batches } = heldQueue(100);
  const names = ['findKey', 'claim', 'audit', 'entries', 'claim', 'findKey'] as const;
  const all = Promise.all(names.map((name) => queue.submit(name, [], 1)));
  for (let i = 0; i < 4; i++) {
    await turn();
    const batch = batches[i];
    batch?.end.resolve(batch.calls.map(() => ({ value: null })));
  }
  await all;
  assert.deepEqual(
    batches.map(({ calls }) => calls.map((call) => call.name)),
    [['findKey', 'claim'], ['audit'], ['entries'], ['claim', 'findKey']],
  );
});

test('a batch holds no more than its bound', async () => {
  const { queue, batches } = heldQueue(2);
  const all = Promise.all(Array.from({ length: 5 }, () => queue.submit('claim', [], 1)));
  for (let i = 0; i < 3; i++) {
    await turn();
    const batch = batches[i];
    batch?.end.resolve(batch.calls.map(() => ({ value: null })));
  }
  await all;
  assert.deepEqual(
    batches.map(({ calls }) => calls.length),
    [2, 2, 1],
  );
});

test('a batch without an answer refuses its operations and the queue goes on', async () => {
  const { queue, batches } = heldQueue(100);
  const lost = queue.submit('claim', [], 1);
  await turn();
  batches[0]?.end.reject(new Error('the thread broke'));
  await assert.rejects(lost, StoreUnavailable);
  const next = queue.submit('claim', [], 1);
  await turn();
  batches[1]?.end.resolve([{ value: 'ok' }]);
  assert.equal(await next, 'ok');
});
