import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { createNonces } from '../../src/chains/evm/nonces.ts';

describe('nonces of a settlement key', () => {
  it('are handed out in order', () => {
    const nonces = createNonces(7);
    assert.deepEqual([nonces.take(), nonces.take(), nonces.take()], [7, 8, 9]);
  });

  it('that were given back are the next to be taken', () => {
    const nonces = createNonces(0);
    const taken = [nonces.take(), nonces.take(), nonces.take()];
    nonces.keep(2);
    nonces.giveBack(0);
    assert.deepEqual([taken, nonces.take(), nonces.take()], [[0, 1, 2], 0, 3]);
  });

  it('leave no trace when all of them were given back', () => {
    const nonces = createNonces(3);
    for (const nonce of [nonces.take(), nonces.take(), nonces.take()]) nonces.giveBack(nonce);
    assert.equal(nonces.next, 3);
  });

  it('are not given back below what the chain has used', () => {
    const nonces = createNonces(0);
    nonces.take();
    nonces.take();
    nonces.keep(1);
    nonces.giveBack(0);
    nonces.advance(2);
    assert.equal(nonces.take(), 2);
  });

  it('of a foreign transaction are passed over', () => {
    const nonces = createNonces(0);
    nonces.advance(5);
    assert.equal(nonces.take(), 5);
  });

  it('never repeat among those in use and leave no gap, in whatever order they are kept and given back', () => {
    fc.assert(
      fc.property(
        fc.array(fc.record({ take: fc.boolean(), pick: fc.nat(), keep: fc.boolean() })),
        (steps) => {
          const nonces = createNonces(0);
          const inHand: number[] = [];
          const kept: number[] = [];
          for (const { take, pick, keep } of steps) {
            if (take || inHand.length === 0) {
              inHand.push(nonces.take());
              continue;
            }
            const [nonce = -1] = inHand.splice(pick % inHand.length, 1);
            if (keep) nonces.keep(nonce);
            else nonces.giveBack(nonce);
            if (keep) kept.push(nonce);
          }
          const inUse = [...inHand, ...kept];
          assert.equal(new Set(inUse).size, inUse.length);
          // Taking on fills every gap before it goes beyond the highest.
          while (inUse.length < nonces.next) inUse.push(nonces.take());
          assert.deepEqual(
            inUse.sort((a, b) => a - b),
            Array.from(inUse, (_, i) => i),
          );
        },
      ),
    );
  });
});
