import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Overloaded } from '../../src/core/errors.ts';
import { Running } from '../../src/request/running.ts';

test('no more requests run than the maximum, and one that ended makes room for another', () => {
  const running = new Running(1);
  running.enter();
  assert.throws(() => running.enter(), Overloaded);
  running.leave();
  running.enter();
});

test('a stop waits until the last request has ended, and lets no other in', async () => {
  const running = new Running(10);
  running.enter();
  running.enter();
  let isStopped = false;
  const stopped = running.stop(600_000).then(() => {
    isStopped = true;
  });
  assert.throws(() => running.enter(), Overloaded);
  running.leave();
  await new Promise(setImmediate);
  assert.equal(isStopped, false);
  running.leave();
  await stopped;
});

test('a stop does not wait longer than its grace', { timeout: 10_000 }, async () => {
  const running = new Running(10);
  running.enter();
  await running.stop(1);
});

test('a stop has nothing to wait for when nothing runs', async () => {
  await new Running(10).stop(600_000);
});
