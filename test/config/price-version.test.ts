import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { priceVersion } from '../../src/config/price-version.ts';
import type { Price } from '../../src/core/route.ts';
import { quoteMax } from '../../src/pricing/quote-max.ts';

const prices: fc.Arbitrary<Price> = fc.oneof(
  fc.constant<Price>({ kind: 'free' }),
  fc.bigInt({ min: 1n, max: 2n ** 63n - 1n }).map((amount): Price => ({ kind: 'flat', amount })),
);

describe('the version of a price rule', () => {
  it('is the same for equal rules and different for different ones', () => {
    fc.assert(
      fc.property(prices, prices, (a, b) => {
        const equal = a.kind === b.kind && quoteMax(a) === quoteMax(b);
        assert.equal(priceVersion({ ...a }) === priceVersion({ ...b }), equal);
        assert.match(priceVersion(a), /^[0-9a-f]{16}$/);
      }),
    );
  });

  it('does not change between releases, because old quotes are bound to it', () => {
    assert.equal(priceVersion({ kind: 'flat', amount: 6000n }), '13cf75321e74d0e4');
    assert.equal(priceVersion({ kind: 'free' }), 'ed305b6c3d16a6ab');
  });
});
