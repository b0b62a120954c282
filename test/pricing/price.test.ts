import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { parseDecimal } from '../../src/core/money.ts';
import type { Price } from '../../src/core/price.ts';
import type { Measured } from '../../src/core/work.ts';
import { costOf } from '../../src/pricing/cost-of.ts';
import { FLAT_MEASURED, FLAT_WORK, flatTerms } from '../../src/pricing/flat-work.ts';
import { formatPrice } from '../../src/pricing/format-price.ts';
import { parsePrice } from '../../src/pricing/parse-price.ts';
import { PriceFormatError } from '../../src/pricing/price-problems.ts';
import { quoteMax } from '../../src/pricing/quote-max.ts';

const prices: fc.Arbitrary<Price> = fc.oneof(
  fc.constant<Price>({ kind: 'free' }),
  fc.bigInt({ min: 1n, max: 2n ** 63n - 1n }).map((amount): Price => ({ kind: 'flat', amount })),
);
const measured = fc
  .dictionary(fc.string(), fc.double())
  .map((units): Measured => ({ units, by: 'upstream' }));
const terms = flatTerms(0);

describe('a price', () => {
  it('reads dollars exactly and free as free', () => {
    assert.deepEqual(parsePrice('$0.006'), { kind: 'flat', amount: 6000n });
    assert.deepEqual(parsePrice('$12'), { kind: 'flat', amount: 12_000_000n });
    assert.deepEqual(parsePrice('free'), { kind: 'free' });
  });

  it('refuses a bare number and shows it with its dollar sign', () => {
    assert.throws(() => parsePrice(0.006), { message: /bare number/, hint: /\$0\.006/ });
  });

  it('refuses a price of nothing, a negative one and one finer than an atom', () => {
    for (const text of [
      '$0',
      '$0.0000000',
      '-$1',
      '$-1',
      '$0.0000001',
      '$1e3',
      '',
      '$',
      'Free',
      '$1 ',
    ])
      assert.throws(() => parsePrice(text), PriceFormatError, text);
  });

  it('throws nothing but PriceFormatError, whatever it is given', () => {
    fc.assert(
      fc.property(
        fc.oneof(
          fc.anything(),
          fc.string().map((text) => `$${text}`),
        ),
        (rule) => {
          try {
            parsePrice(rule);
          } catch (error) {
            assert.ok(error instanceof PriceFormatError);
          }
        },
      ),
    );
  });

  it('is written as it is read', () => {
    fc.assert(
      fc.property(prices, (price) => {
        assert.deepEqual(parsePrice(formatPrice(price)), price);
      }),
    );
  });
});

describe('the cost of a request', () => {
  it('lies between nothing and the most that the quote allows, whatever was measured', () => {
    fc.assert(
      fc.property(prices, measured, (price, usage) => {
        const { cost } = costOf(price, FLAT_WORK, terms, usage);
        assert.ok(cost >= 0n && cost <= quoteMax(price, FLAT_WORK, terms));
      }),
    );
  });

  it('is the sum of its usage lines', () => {
    fc.assert(
      fc.property(prices, measured, (price, usage) => {
        const { cost, usage: lines } = costOf(price, FLAT_WORK, terms, usage);
        assert.equal(
          lines.reduce((sum, line) => sum + parseDecimal(line.cost, 6), 0n),
          cost,
        );
      }),
    );
  });

  it('of a flat price is one call', () => {
    const measured: Measured = { units: { calls: 7, inputTokens: 1e9 }, by: 'upstream' };
    assert.deepEqual(costOf({ kind: 'flat', amount: 6000n }, FLAT_WORK, terms, measured), {
      cost: 6000n,
      usage: [{ unit: 'calls', count: 1, price: '0.006', cost: '0.006' }],
    });
  });

  it('of a free price is nothing, in no lines', () => {
    assert.deepEqual(costOf({ kind: 'free' }, FLAT_WORK, terms, FLAT_MEASURED), {
      cost: 0n,
      usage: [],
    });
  });
});
