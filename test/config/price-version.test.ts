import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { priceVersion } from '../../src/config/price-version.ts';
import type { Price } from '../../src/core/price.ts';
import { FLAT_WORK, flatTerms } from '../../src/pricing/flat-work.ts';
import { parsePrice } from '../../src/pricing/parse-price.ts';
import { quoteMax } from '../../src/pricing/quote-max.ts';

const prices: fc.Arbitrary<Price> = fc.oneof(
  fc.constant<Price>({ kind: 'free' }),
  fc.bigInt({ min: 1n, max: 2n ** 63n - 1n }).map((amount): Price => ({ kind: 'flat', amount })),
);

describe('the version of a price rule', () => {
  it('is the same for equal rules and different for different ones', () => {
    fc.assert(
      fc.property(prices, prices, (a, b) => {
        const [amountA, amountB] = [a, b].map((one) => quoteMax(one, FLAT_WORK, flatTerms(0)));
        const equal = a.kind === b.kind && amountA === amountB;
        assert.equal(priceVersion({ ...a }) === priceVersion({ ...b }), equal);
        assert.match(priceVersion(a), /^[0-9a-f]{16}$/);
      }),
    );
  });

  it('does not change between releases, because old quotes are bound to it', () => {
    assert.equal(priceVersion({ kind: 'flat', amount: 6000n }), '13cf75321e74d0e4');
    assert.equal(priceVersion({ kind: 'free' }), 'ed305b6c3d16a6ab');
  });

  it('of a metered price does not change either', () => {
    const metered = parsePrice({ per: { inputToken: '$0.15/1M' }, max: '$0.05' });
    assert.equal(priceVersion(metered), '1a8617d93b521ea3');
  });
});
