import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { createLiveness } from '../../src/rails/x402/liveness.ts';

function setUp(first: string | null | Error = null) {
  const state = { nowMs: 1_000_000, answer: first, probes: 0, changes: [] as (string | null)[] };
  const probe = async (): Promise<string | null> => {
    state.probes++;
    if (state.answer instanceof Error) throw state.answer;
    return state.answer;
  };
  const clock = { now: () => state.nowMs };
  const liveness = createLiveness(probe, clock, (problem) => state.changes.push(problem));
  return { state, liveness };
}

describe('liveness of a network', () => {
  it('is probed once for everybody who asks at the same time', async () => {
    const { state, liveness } = setUp();
    const all = await Promise.all([liveness.problem(), liveness.problem(), liveness.problem()]);
    assert.deepEqual([all, state.probes], [[null, null, null], 1]);
  });

  it('is used for five seconds, then probed beside the answer, and waited for after a minute', async () => {
    const { state, liveness } = setUp();
    await liveness.problem();
    state.answer = 'down';
    state.nowMs += 5_000;
    assert.equal(await liveness.problem(), null);
    assert.equal(state.probes, 1);
    state.nowMs += 1;
    assert.equal(await liveness.problem(), null);
    assert.equal(state.probes, 2);
    state.answer = null;
    state.nowMs += 1_000;
    assert.equal(await liveness.problem(), null);
    state.answer = 'down';
    state.nowMs += 60_001;
    assert.equal(await liveness.problem(), 'down');
  });

  it('is probed once a second while it is down', async () => {
    const { state, liveness } = setUp('down');
    assert.equal(await liveness.problem(), 'down');
    state.answer = null;
    state.nowMs += 999;
    assert.equal(await liveness.problem(), 'down');
    state.nowMs += 1;
    assert.equal(await liveness.problem(), null);
  });

  it('takes what a probe throws for a problem', async () => {
    const { liveness } = setUp(new Error('no node answers'));
    assert.equal(await liveness.problem(), 'no node answers');
  });

  it('ends with a report, and tells of every change once', async () => {
    const { state, liveness } = setUp();
    await liveness.problem();
    liveness.report('the node is gone');
    assert.equal(await liveness.problem(), 'the node is gone');
    state.nowMs += 1_000;
    await liveness.problem();
    assert.deepEqual(state.changes, [null, 'the node is gone', null]);
  });

  it('trusts no answer from the future of a clock that was set back', async () => {
    const { state, liveness } = setUp();
    await liveness.problem();
    state.answer = 'the clock is off';
    state.nowMs -= 3_600_000;
    assert.equal(await liveness.problem(), 'the clock is off');
  });
});
