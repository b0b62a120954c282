import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { describePrice } from '../../src/pricing/describe-price.ts';
import { formatPrice } from '../../src/pricing/format-price.ts';
import { type PriceSurroundings, parsePrice } from '../../src/pricing/parse-price.ts';
import { PriceFormatError, type PriceProblem } from '../../src/pricing/price-problems.ts';
import { priceInputs } from './price-arbitraries.ts';

function problemsOf(rule: unknown, around: PriceSurroundings = {}): readonly PriceProblem[] {
  try {
    parsePrice(rule, around);
  } catch (error) {
    if (error instanceof PriceFormatError) return error.problems;
    throw error;
  }
  throw new Error(`${JSON.stringify(rule)} has no problem`);
}

const pathsOf = (rule: unknown, around: PriceSurroundings = {}): string[] =>
  problemsOf(rule, around).map(({ at }) => at.join('.'));

describe('a metered price', () => {
  it('reads rates exactly, in dollars, sat or an asset, per one, thousand or million', () => {
    const rateOf = (text: string) => {
      const price = parsePrice({ per: { outputToken: text } }, { isCapped: true });
      assert.ok(price.kind === 'metered' && price.base.kind === 'per');
      return price.base.rates[0]?.rate;
    };
    assert.deepEqual(rateOf('$0.15/1M'), { currency: 'USD', value: { n: 3n, d: 20_000_000n } });
    assert.deepEqual(rateOf('$0.6/1k'), { currency: 'USD', value: { n: 3n, d: 5000n } });
    assert.deepEqual(rateOf('$1/3'), { currency: 'USD', value: { n: 1n, d: 3n } });
    assert.deepEqual(rateOf('15 sat/1k'), { currency: 'sat', value: { n: 3n, d: 200n } });
    assert.deepEqual(rateOf('0.5EURC'), { currency: 'EURC', value: { n: 1n, d: 2n } });
  });

  it('refuses what is no rate', () => {
    for (const text of [
      ...['0.15/1M', '$/1M', '$1/', '$1/0', '$1/1G', '$1/1.5', '$-1', '$1e3', '1 eur', '1 E', ''],
      ...['$1/1M ', ' $1', '$1/M', '$0.1/99999999999999999999999999'],
      ...[0.15, null, true, [], {}],
    ])
      assert.deepEqual(pathsOf({ per: { inputToken: text }, max: '$1' }), ['per.inputToken']);
  });

  it('that is nothing but dollars per call is the flat price', () => {
    assert.deepEqual(parsePrice({ per: { call: '$0.006' } }), parsePrice('$0.006'));
    assert.equal(parsePrice('10 sat').kind, 'metered');
    assert.equal(formatPrice(parsePrice('10 sat')), '10 sat');
  });

  it('needs a maximum unless every unit is bounded per call', () => {
    const customUnits = { gpuMs: 60_000 };
    assert.deepEqual(pathsOf({ per: { call: '$0.01', inputToken: '$1/1M' } }), ['max']);
    assert.deepEqual(pathsOf({ per: { gpuMs: '$1/1M', byteOut: '$1/1M' } }, { customUnits }), [
      'max',
    ]);
    assert.deepEqual(pathsOf({ costPlus: { markup: '20%' } }), ['max']);
    assert.deepEqual(pathsOf({ by: { model: { a: { per: { image: '$1' } }, '*': '$1' } } }), [
      'by.model.a.max',
    ]);
    parsePrice({ per: { call: '$0.01', gpuMs: '$1/1M' } }, { customUnits });
    parsePrice({ per: { call: '$0.01', inputToken: '$0' } });
    parsePrice({ by: { model: { a: { per: { image: '$1' } }, '*': '$1' } }, max: '$3' });
  });

  it('names every problem at once, each with its path and what to write', () => {
    const problems = problemsOf({
      per: { inputTokn: '$1/1M', outputToken: 3, call: 'free' },
      freeUnits: { inputToken: 5, cachedInputTokens: 5, outputTokens: 1.5 },
      min: '$0',
      max: '$0.0000001',
      schedule: [{ days: 'mon-fry', from: '9', zone: 'Mars/Base', factor: 0 }],
      surge: [{ aboveLoad: '80', factor: 2 }],
      volume: [
        { above: 100, off: '10%' },
        { above: '$1', off: '101%' },
      ],
      balance: {},
      maxx: '$1',
    });
    assert.deepEqual(problems.map(({ at }) => at.join('.')).sort(), [
      'balance',
      'freeUnits.cachedInputTokens',
      'freeUnits.inputToken',
      'freeUnits.outputTokens',
      'max',
      'maxx',
      'min',
      'per.call',
      'per.inputTokn',
      'per.outputToken',
      'schedule.0.days',
      'schedule.0.factor',
      'schedule.0.from',
      'schedule.0.zone',
      'surge.0.aboveLoad',
      'volume.0.above',
      'volume.1.off',
    ]);
    const hintAt = (path: string) => problems.find(({ at }) => at.join('.') === path)?.hint;
    assert.equal(hintAt('per.inputTokn'), 'Did you mean inputToken?');
    assert.equal(hintAt('freeUnits.inputToken'), 'Did you mean inputTokens?');
    assert.equal(hintAt('maxx'), 'Did you mean max?');
  });

  it('refuses rules that contradict themselves', () => {
    assert.deepEqual(pathsOf({}), ['']);
    assert.deepEqual(pathsOf({ max: '$1' }), ['']);
    assert.deepEqual(pathsOf({ per: { call: '$1' }, costPlus: { markup: '1%' }, max: '$1' }), ['']);
    assert.deepEqual(pathsOf({ per: { call: '$1' }, min: '$2', max: '$1' }), ['min']);
    assert.deepEqual(pathsOf({ per: { call: '$0', image: '$0' }, max: '$1' }), ['per']);
    assert.deepEqual(pathsOf({ per: {}, max: '$1' }), ['per']);
    assert.deepEqual(pathsOf({ by: { model: { '*': '$1' } }, freeUnits: {} }), ['freeUnits']);
    const twice = [
      { above: '$1', off: '10%' },
      { above: '$1.00', off: '20%' },
    ];
    assert.deepEqual(pathsOf({ per: { call: '$1' }, volume: twice }), ['volume']);
    assert.deepEqual(
      pathsOf({ per: { call: '$1' }, schedule: [{ from: '09:00', to: '09:00', factor: 2 }] }),
      ['schedule.0.to'],
    );
    assert.match(problemsOf('$0.15/1M')[0]?.hint ?? '', /per: \{ inputToken: \$0\.15\/1M \}/);
  });

  it('refuses variants that leave requests without a price, and places that are none', () => {
    const by = (place: string, cases: object) => pathsOf({ by: { [place]: cases } });
    assert.deepEqual(by('model', { a: '$1' }), ['by.model']);
    assert.deepEqual(by('model', { '*': '$1', a: '$2' }), ['by.model']);
    assert.deepEqual(by('model', { 'a | *': '$1', '*': '$1' }), ['by.model.a | *']);
    assert.deepEqual(by('model', {}), ['by.model']);
    assert.deepEqual(by('body', { '*': '$1' }), ['by.body']);
    assert.deepEqual(by('header.X-Tier', { '*': '$1' }), ['by.header.X-Tier']);
    assert.deepEqual(by('model', { a: 'refused', '*': 0.5 }), ['by.model.a', 'by.model.*']);
    assert.deepEqual(pathsOf({ by: { model: { '*': '$1' }, 'body.n': { '*': '$1' } } }), ['by']);
    assert.deepEqual(
      pathsOf({ by: { model: { '*': { service: { url: 'https://a.example' }, max: '$1' } } } }),
      ['by.model.*.service'],
    );
    let deep: unknown = '$1';
    for (let level = 0; level < 6; level++) deep = { by: { model: { '*': deep } } };
    assert.equal(problemsOf(deep)[0]?.message, 'is nested too deeply');
  });

  it('refuses tiers in which a larger call could cost less, or that leave one out', () => {
    const tiers = (steps: object) => pathsOf({ tiers: { inputTokens: steps }, max: '$1' });
    const per = (rate: string) => ({ per: { inputToken: rate } });
    assert.deepEqual(tiers({ 'upTo 8k': per('$2/1M'), above: per('$1/1M') }), [
      'tiers.inputTokens',
    ]);
    assert.deepEqual(tiers({ 'upTo 8k': per('$1/1M') }), ['tiers.inputTokens']);
    assert.deepEqual(tiers({ above: per('$1/1M') }), ['tiers.inputTokens']);
    assert.deepEqual(tiers({ 'upTo 8k': '$1', 'upTo 8000': '$2', above: '$3' }), [
      'tiers.inputTokens',
    ]);
    assert.deepEqual(tiers({ 'upTo 8k': '$1', above: '90 sat' }), ['tiers.inputTokens']);
    assert.deepEqual(tiers({ '8k': '$1', above: '$2' }), ['tiers.inputTokens.8k']);
    assert.deepEqual(
      pathsOf({ tiers: { inputToken: { 'upTo 1': '$1', above: '$2' } }, max: '$1' }),
      ['tiers.inputToken'],
    );
    const cheapCache = {
      'upTo 8k': per('$2/1M'),
      above: { per: { inputToken: '$2/1M', cachedInputToken: '$1/1M' } },
    };
    assert.deepEqual(tiers(cheapCache), ['tiers.inputTokens']);
  });

  it('takes a price service with the most that it may ask', () => {
    const service = { url: 'https://prices.example.com/quote', timeout: '500ms' };
    const price = parsePrice({ service, max: '$1' });
    assert.equal(price.kind, 'service');
    assert.deepEqual(parsePrice({ service: { ...service, timeout: '500ms' }, max: '$1' }), price);
    assert.deepEqual(pathsOf({ service: { url: 'ftp://a', timeout: '1h' }, min: '$1' }), [
      'min',
      'service.url',
      'service.timeout',
      'max',
    ]);
  });

  it('is described in words', () => {
    const words = (rule: unknown) => describePrice(parsePrice(rule));
    assert.equal(words('$0.006'), '$0.006 per call');
    assert.equal(
      words({
        per: { inputToken: '$0.15/1M', outputToken: '$0.60/1M' },
        min: '$0.0001',
        max: '$0.05',
      }),
      '$0.15 per 1M input tokens, $0.6 per 1M output tokens; at least $0.0001 a call; at most $0.05 a call',
    );
    assert.equal(
      words({ by: { 'body.size': { '1024x1024': '$0.04', '*': 'refuse' } } }),
      'size 1024x1024: $0.04 per call; any other: not served',
    );
  });

  it('throws nothing but PriceFormatError with a hint, whatever a rule is made of', () => {
    const odd = fc.oneof(
      fc.anything({ maxDepth: 3 }),
      fc.constantFrom('$1', '10%', 'refuse', 'free', '__proto__', {}, [], [{}], '$1/1M', 1),
    );
    const broken = fc
      .tuple(priceInputs, fc.array(fc.nat(6), { maxLength: 4 }), odd)
      .map(([rule, path, value]) => replaceAt(rule, path, value));
    fc.assert(
      fc.property(fc.oneof(odd, broken), (rule) => {
        try {
          parsePrice(rule);
        } catch (error) {
          assert.ok(error instanceof PriceFormatError, String(error));
          assert.ok(error.problems.length > 0);
          for (const { message, hint } of error.problems) assert.ok(message !== '' && hint !== '');
        }
      }),
      { numRuns: 2000 },
    );
  });
});

/** The rule in which the value at one place is replaced by another. */
function replaceAt(node: unknown, [first, ...rest]: readonly number[], value: unknown): unknown {
  if (first === undefined || typeof node !== 'object' || node === null) return value;
  const keys = Object.keys(node);
  const chosen = keys[first % Math.max(1, keys.length)];
  return Object.fromEntries(
    Object.entries(node).map(([key, item]) => [
      key,
      key === chosen ? replaceAt(item, rest, value) : item,
    ]),
  );
}
