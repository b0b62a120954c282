import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { RateUnavailable, RequestNotPriced } from '../../src/core/errors.ts';
import { parseRatio, type Ratio, ratioOf } from '../../src/core/ratio.ts';
import type { Work } from '../../src/core/work.ts';
import { costOf } from '../../src/pricing/cost-of.ts';
import { FLAT_MEASURED, FLAT_WORK, flatTerms } from '../../src/pricing/flat-work.ts';
import { matchGlob } from '../../src/pricing/match-glob.ts';
import { nextRate, type RateSource } from '../../src/pricing/next-rate.ts';
import { parsePrice } from '../../src/pricing/parse-price.ts';
import { quoteMax } from '../../src/pricing/quote-max.ts';
import { routeMax } from '../../src/pricing/route-max.ts';
import { listedPrice, withPriceList } from '../../src/pricing/with-price-list.ts';

const workOf = (model: string | null, values: Record<string, string> = {}): Work => ({
  ...{ model, bounds: {} },
  value: (place) => values[place] ?? null,
});

describe('a schedule', () => {
  const quoteAt = (window: object, time: string): bigint =>
    quoteMax(
      parsePrice({ per: { call: '$1' }, schedule: [{ factor: 2, ...window }] }),
      FLAT_WORK,
      flatTerms(Date.parse(time)),
    );
  const isIn = (window: object, time: string): boolean => quoteAt(window, time) === 2_000_000n;

  it('follows the clock on the wall, in winter and in summer', () => {
    const office = { days: 'mon-fri', from: '09:00', to: '18:00', zone: 'Europe/Berlin' };
    // 2026-01-05 and 2026-07-06 are Mondays; Berlin is an hour ahead of UTC in winter, two in summer.
    assert.equal(isIn(office, '2026-01-05T07:59:59Z'), false);
    assert.equal(isIn(office, '2026-01-05T08:00:00Z'), true);
    assert.equal(isIn(office, '2026-01-05T16:59:59Z'), true);
    assert.equal(isIn(office, '2026-01-05T17:00:00Z'), false);
    assert.equal(isIn(office, '2026-07-06T07:00:00Z'), true);
    assert.equal(isIn(office, '2026-07-06T16:00:00Z'), false);
    assert.equal(isIn(office, '2026-07-05T10:00:00Z'), false);
  });

  it('leaves out an hour that summer time skips, and counts twice the one that it repeats', () => {
    const night = { from: '02:00', to: '03:00', zone: 'Europe/Berlin' };
    const minutesIn = (day: string): number => {
      const start = Date.parse(day);
      const minutes = Array.from({ length: 24 * 60 }, (_, i) => new Date(start + i * 60_000));
      return minutes.filter((minute) => isIn(night, minute.toISOString())).length;
    };
    assert.equal(minutesIn('2026-03-29T00:00:00Z'), 0);
    assert.equal(minutesIn('2026-10-25T00:00:00Z'), 120);
    assert.equal(minutesIn('2026-06-01T00:00:00Z'), 60);
  });

  it('goes over midnight from the day that it names', () => {
    const friday = { days: 'fri', from: '22:00', to: '06:00' };
    assert.equal(isIn(friday, '2026-01-09T21:59:00Z'), false);
    assert.equal(isIn(friday, '2026-01-09T22:00:00Z'), true);
    assert.equal(isIn(friday, '2026-01-10T05:59:00Z'), true);
    assert.equal(isIn(friday, '2026-01-10T06:00:00Z'), false);
    assert.equal(isIn(friday, '2026-01-09T05:00:00Z'), false);
  });

  it('counts the first window that holds the time', () => {
    const price = parsePrice({
      per: { call: '$1' },
      schedule: [{ days: 'sat,sun', factor: 0.5 }, { factor: 3 }],
    });
    const at = (time: string) => quoteMax(price, FLAT_WORK, flatTerms(Date.parse(time)));
    assert.equal(at('2026-01-10T12:00:00Z'), 500_000n);
    assert.equal(at('2026-01-09T12:00:00Z'), 3_000_000n);
  });
});

describe('surge', () => {
  it('counts the highest step that the load is above, and no load that is no number', () => {
    const surge = [
      { aboveLoad: '90%', factor: 3 },
      { aboveLoad: '50%', factor: 2 },
    ];
    const price = parsePrice({ per: { call: '$1' }, surge, max: '$2.50' });
    const at = (load: number) => quoteMax(price, FLAT_WORK, { ...flatTerms(0), load });
    assert.deepEqual([0, 0.5, 0.51, 0.9, 0.91, 1, Number.NaN].map(at), [
      ...[1_000_000n, 1_000_000n, 2_000_000n, 2_000_000n, 2_500_000n, 2_500_000n, 1_000_000n],
    ]);
  });
});

describe('a price by a value of the request', () => {
  const price = parsePrice({
    by: { model: { 'gpt-4o-mini | o*-mini': '$0.01', 'gpt-4o*': '$0.02', '*': 'refuse' } },
  });
  const quote = (model: string | null) => quoteMax(price, workOf(model), flatTerms(0));

  it('takes the first pattern that matches', () => {
    assert.equal(quote('gpt-4o-mini'), 10_000n);
    assert.equal(quote('o3-mini'), 10_000n);
    assert.equal(quote('gpt-4o-2024'), 20_000n);
    assert.equal(routeMax(price, flatTerms(0)), 20_000n);
  });

  it('refuses a request that matches nothing, as wrong and free, and does not repeat it at length', () => {
    for (const model of ['llama', '', null, 'x'.repeat(100_000)])
      assert.throws(
        () => quote(model),
        (error) =>
          error instanceof RequestNotPriced && error.status === 400 && error.message.length < 200,
      );
  });

  it('reads bodies and headers by their place', () => {
    const both = parsePrice({
      by: {
        'body.size': {
          big: { by: { 'header.x-tier': { gold: '$1', '*': '$2' } } },
          '*': 'free',
        },
      },
    });
    const at = (values: Record<string, string>) =>
      quoteMax(both, workOf(null, values), flatTerms(0));
    assert.equal(at({ 'body.size': 'big', 'header.x-tier': 'gold' }), 1_000_000n);
    assert.equal(at({ 'body.size': 'big' }), 2_000_000n);
    assert.equal(at({}), 0n);
  });

  it('matches patterns as a regular expression would, in time that no text can blow up', () => {
    const texts = fc.string({ unit: fc.constantFrom('a', 'b', '*'), maxLength: 12 });
    fc.assert(
      fc.property(texts, texts, (pattern, text) => {
        const parts = pattern.split('*').map((part) => part);
        assert.equal(matchGlob(pattern, text), new RegExp(`^${parts.join('.*')}$`).test(text));
      }),
      { numRuns: 2000 },
    );
    assert.equal(matchGlob('*a*a*a*a*a*a*b', 'a'.repeat(20_000)), false);
  });
});

describe('a price in another currency', () => {
  const price = parsePrice({ per: { call: '10 sat' }, max: '1 EURC' });
  const termsWith = (rates: Record<string, [usd: string, staleAtMs: number | null]>, atMs = 0) => ({
    ...{ atMs, load: 0 },
    rates: Object.fromEntries(
      Object.entries(rates).map(([symbol, [usd, staleAtMs]]) => [
        symbol,
        { usd: parseRatio(usd), staleAtMs },
      ]),
    ),
  });

  it('is converted exactly and rounded up', () => {
    const terms = termsWith({ BTC: ['65432.1', null], EURC: ['1.08', 1] });
    assert.equal(quoteMax(price, FLAT_WORK, terms), 6544n);
    const { cost, usage } = costOf(price, FLAT_WORK, terms, FLAT_MEASURED);
    assert.deepEqual(
      [cost, usage.map(({ unit, cost }) => `${unit} ${cost}`)],
      [6544n, ['calls 0.00654321', 'rounding 0.00000079']],
    );
  });

  it('is refused as unavailable while a rate that it needs is missing or stale', () => {
    for (const terms of [
      termsWith({ BTC: ['65000', null] }),
      termsWith({ BTC: ['65000', null], EURC: ['1.08', 5] }, 5),
      termsWith({ BTC: ['65000', 9], EURC: ['1.08', 9] }, Number.NaN),
    ])
      assert.throws(
        () => quoteMax(price, FLAT_WORK, terms),
        (error) => error instanceof RateUnavailable && error.status === 503 && error.retryable,
      );
  });
});

describe('a reading of a rate', () => {
  const source: Extract<RateSource, { kind: 'read' }> = {
    ...{
      kind: 'read',
      url: 'https://a.example',
      json: ['data', 'usd'],
      everyMs: 1,
      staleAfterMs: 100,
    },
    tolerance: ratioOf(1n, 10n),
  };
  const read = (usd: unknown, previous: Ratio | null, staleAtMs = 50, atMs = 10) =>
    nextRate(source, { data: { usd } }, previous && { usd: previous, staleAtMs }, atMs);

  it('is believed as text or number, until it is stale', () => {
    assert.deepEqual(read('65000.5', null), { usd: ratioOf(130_001n, 2n), staleAtMs: 110 });
    assert.deepEqual(read(65_000, null)?.usd, ratioOf(65_000n));
  });

  it('is not believed when it is no positive decimal', () => {
    for (const usd of [0, '0', -1, '-1', '1e5', Number.NaN, Infinity, '', null, {}, [1], true])
      assert.equal(read(usd, null), null, String(usd));
    for (const body of [null, 'x', [], { data: null }, { data: { toString: 1 } }])
      assert.equal(nextRate(source, body, null, 0), null);
  });

  it('is not believed when it jumps away from one that still counts', () => {
    assert.notEqual(read('110', ratioOf(100n)), null);
    assert.notEqual(read('90', ratioOf(100n)), null);
    assert.equal(read('110.1', ratioOf(100n)), null);
    assert.equal(read('89.9', ratioOf(100n)), null);
    assert.notEqual(read('200', ratioOf(100n), 10), null);
  });
});

describe('a price above the list', () => {
  const price = parsePrice({ costPlus: { markup: '20%' }, max: '$1' });
  const entry = listedPrice('openai/gpt-4o*', {
    per: { inputToken: '$0.15/1M', outputToken: '$0.60/1M' },
  });
  const listed = withPriceList(price, [entry]);
  const work: Work = {
    ...workOf('openai/gpt-4o-mini'),
    bounds: { inputTokens: 1e6, outputTokens: 1e5 },
  };

  it('is the list price times the markup', () => {
    assert.equal(quoteMax(listed, work, flatTerms(0)), 180_000n + 72_000n);
  });

  it('refuses models that are not on the list, and all before there is one', () => {
    assert.throws(
      () => quoteMax(listed, { ...work, model: 'other' }, flatTerms(0)),
      RequestNotPriced,
    );
    assert.throws(() => quoteMax(price, work, flatTerms(0)), RequestNotPriced);
  });

  it('is the list price itself at a markup of nothing', () => {
    const plain = withPriceList(parsePrice({ costPlus: { markup: '0%' }, max: '$1' }), [
      { ...entry, pattern: '*' },
    ]);
    assert.equal(quoteMax(plain, work, flatTerms(0)), 150_000n + 60_000n);
  });
});

describe('what a payer has free', () => {
  it('comes on top of what every call has free', () => {
    const price = parsePrice({
      per: { inputToken: '$0.001' },
      freeUnits: { inputTokens: 10 },
      max: '$1',
    });
    const measured = { units: { inputTokens: 25 }, by: 'upstream' } as const;
    const facts = { monthSpent: 0n, balance: null, freeUnitsLeft: { inputTokens: 5 } };
    assert.equal(costOf(price, FLAT_WORK, flatTerms(0), measured).cost, 15_000n);
    const { cost, usage } = costOf(price, FLAT_WORK, flatTerms(0), measured, facts);
    assert.equal(cost, 10_000n);
    assert.deepEqual(usage, [
      { unit: 'inputTokens', count: 25, price: '0.001', cost: '0.025' },
      { unit: 'free:inputTokens', count: 15, price: '-0.001', cost: '-0.015' },
    ]);
  });
});
