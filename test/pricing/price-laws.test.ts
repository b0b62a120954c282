import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { isDeepStrictEqual } from 'node:util';
import fc from 'fast-check';
import { parse as parseYaml } from 'yaml';
import { canonicalPrice } from '../../src/pricing/canonical-price.ts';
import { costOf } from '../../src/pricing/cost-of.ts';
import { describePrice } from '../../src/pricing/describe-price.ts';
import { formatPrice, priceInput } from '../../src/pricing/format-price.ts';
import { parsePrice } from '../../src/pricing/parse-price.ts';
import { quoteMax } from '../../src/pricing/quote-max.ts';
import { routeMax } from '../../src/pricing/route-max.ts';
import { anyMeasured, CAPPED, COUNTED, priceInputs, situations } from './price-arbitraries.ts';
import { type OracleRequest, oracleAtoms, oracleCost } from './price-oracle.ts';

const RUNS = { numRuns: 500 };

/** A signed decimal of up to 18 places in units of its last place. */
function tiny(text: string): bigint {
  const [whole = '', part = ''] = text.replace('-', '').split('.');
  const size = BigInt(whole + part.padEnd(18, '0'));
  return text.startsWith('-') ? -size : size;
}

describe('a cost', () => {
  it('is what an independent calculation makes it, to the atom', () => {
    fc.assert(
      fc.property(priceInputs, situations, (rule, { work, terms, within, oracle }) => {
        const { cost } = costOf(parsePrice(rule, CAPPED), work, terms, within, oracle.payer);
        assert.equal(cost, oracleAtoms(oracleCost(rule, oracle)));
      }),
      { numRuns: 2000 },
    );
  });

  it('never exceeds its hold, whatever was measured, and nothing that was measured makes it throw', () => {
    fc.assert(
      fc.property(priceInputs, situations, anyMeasured, (rule, situation, measured) => {
        const price = parsePrice(rule, CAPPED);
        const { work, terms, oracle } = situation;
        for (const units of [measured, situation.within]) {
          const { cost } = costOf(price, work, terms, units, oracle.payer);
          assert.ok(cost >= 0n && cost <= quoteMax(price, work, terms));
        }
      }),
      RUNS,
    );
  });

  it('never exceeds its hold where the request bounds only some units, or names bounds that are none', () => {
    const bounds = fc.dictionary(
      fc.constantFrom('calls', ...COUNTED),
      fc.oneof(fc.nat(50), fc.constantFrom(Number.NaN, Infinity, -1, 0.5)),
    );
    fc.assert(
      fc.property(
        priceInputs,
        situations,
        bounds,
        anyMeasured,
        (rule, situation, some, measured) => {
          const price = parsePrice(rule, CAPPED);
          const work = { ...situation.work, bounds: some };
          const { cost } = costOf(price, work, situation.terms, measured);
          assert.ok(cost <= quoteMax(price, work, situation.terms));
        },
      ),
      RUNS,
    );
  });

  it('never falls when a unit grows, except that input tokens turn out to be cached', () => {
    const growing = fc.constantFrom(...COUNTED.filter((unit) => unit !== 'cachedInputTokens'));
    fc.assert(
      fc.property(
        ...([priceInputs, situations, growing, fc.nat(100)] as const),
        (rule, { work, terms, within, oracle }, unit, more) => {
          const price = parsePrice(rule, CAPPED);
          const count = within.units[unit] ?? 0;
          const grown = { ...within, units: { ...within.units, [unit]: count + more } };
          const before = costOf(price, work, terms, within, oracle.payer).cost;
          assert.ok(costOf(price, work, terms, grown, oracle.payer).cost >= before);
        },
      ),
      RUNS,
    );
  });

  it('is the sum of its usage lines, each of which is its count times its price', () => {
    fc.assert(
      fc.property(priceInputs, situations, anyMeasured, (rule, situation, measured) => {
        const { work, terms, oracle } = situation;
        for (const units of [measured, situation.within]) {
          const price = parsePrice(rule, CAPPED);
          const { cost, usage } = costOf(price, work, terms, units, oracle.payer);
          const sum = usage.reduce((total, line) => total + tiny(line.cost), 0n);
          assert.equal(sum, cost * 10n ** 12n);
          for (const line of usage) {
            assert.ok(Number.isSafeInteger(line.count) && line.count > 0);
            // A price that no decimal of 18 places says is shown rounded down.
            const short = tiny(line.cost) - BigInt(line.count) * tiny(line.price);
            assert.ok(short >= 0n && short < BigInt(line.count));
          }
        }
      }),
      RUNS,
    );
  });
});

describe('a quote', () => {
  /** Every way in which the input tokens of this request could be cached, at full use of all else. */
  function dearest(rule: Parameters<typeof oracleCost>[0], request: OracleRequest): bigint {
    const input = request.counts.inputTokens ?? 0;
    const cachedMax = Math.min(input, request.counts.cachedInputTokens ?? 0);
    let most = 0n;
    for (let cachedInputTokens = 0; cachedInputTokens <= cachedMax; cachedInputTokens++) {
      const counts = { ...request.counts, cachedInputTokens };
      const atoms = oracleAtoms(oracleCost(rule, { ...request, counts }));
      if (atoms > most) most = atoms;
    }
    return most;
  }

  it('is the real maximum of the request: what full use of every unit costs', () => {
    fc.assert(
      fc.property(priceInputs, situations, (rule, { work, terms, oracle }) => {
        const request = { ...oracle, counts: work.bounds, payer: null };
        assert.equal(quoteMax(parsePrice(rule, CAPPED), work, terms), dearest(rule, request));
      }),
      RUNS,
    );
  });

  it('is never above the maximum that the price or the route names', () => {
    fc.assert(
      fc.property(priceInputs, situations, (rule, { work, terms, oracle }) => {
        const price = parsePrice(rule, CAPPED);
        const quote = quoteMax(price, work, terms);
        const most = routeMax(price, terms);
        assert.ok(most === null || quote <= most);
        if (typeof rule === 'string' || rule.max === undefined) return;
        const max = oracleAtoms(oracleCost(rule.max, oracle));
        assert.ok(quote <= max && most !== null && most <= max);
      }),
      RUNS,
    );
  });
});

describe('the text of a price', () => {
  it('is read as it was written', () => {
    fc.assert(
      fc.property(priceInputs, (rule) => {
        const price = parsePrice(rule, CAPPED);
        assert.deepEqual(parsePrice(parseYaml(formatPrice(price)), CAPPED), price);
        assert.deepEqual(parsePrice(priceInput(price), CAPPED), price);
        assert.notEqual(describePrice(price), '');
      }),
      RUNS,
    );
  });

  it('names equal rules equally, and only those', () => {
    fc.assert(
      fc.property(priceInputs, priceInputs, (first, second) => {
        const [a, b] = [parsePrice(first, CAPPED), parsePrice(second, CAPPED)];
        assert.equal(canonicalPrice(a) === canonicalPrice(b), isDeepStrictEqual(a, b));
        assert.equal(canonicalPrice(parsePrice(backwards(first), CAPPED)), canonicalPrice(a));
      }),
      RUNS,
    );
  });

  it('names rules differently that differ in one number only', () => {
    const one = (changes: object) =>
      canonicalPrice(
        parsePrice({ per: { call: '$1', inputToken: '$1/1M' }, max: '$2', ...changes }),
      );
    const texts = [
      {},
      { max: '$3' },
      { max: '2 EURC' },
      { min: '$2' },
      { per: { call: '$1', inputToken: '$1/1k' } },
      { per: { call: '$1', outputToken: '$1/1M' } },
      { freeUnits: { inputTokens: 1 } },
      { schedule: [{ factor: 2 }] },
      { schedule: [{ factor: 2, zone: 'Europe/Berlin' }] },
      { schedule: [{ factor: 2, days: 'mon' }] },
      { surge: [{ aboveLoad: '50%', factor: 2 }] },
      { volume: [{ above: '$1', off: '10%' }] },
      { balance: [{ above: '$1', off: '10%' }] },
    ].map(one);
    assert.equal(new Set(texts).size, texts.length);
  });
});

/** The same rule with its keys the other way round, where their order means nothing. */
function backwards(rule: unknown): unknown {
  if (Array.isArray(rule)) return rule.map(backwards);
  if (typeof rule !== 'object' || rule === null) return rule;
  const entries = Object.entries(rule).map(([key, item]) => {
    if (key !== 'by' && key !== 'tiers') return [key, backwards(item)];
    const [place = '', cases] = Object.entries(item)[0] ?? [];
    const inside = Object.entries(cases ?? {}).map(([name, price]) => [name, backwards(price)]);
    return [key, { [place]: Object.fromEntries(inside) }];
  });
  return Object.fromEntries(entries.reverse());
}
