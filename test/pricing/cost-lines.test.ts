import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { parse as parseYaml } from 'yaml';
import { canonicalPrice } from '../../src/pricing/canonical-price.ts';
import { costOf } from '../../src/pricing/cost-of.ts';
import { flatTerms } from '../../src/pricing/flat-work.ts';
import { formatPrice } from '../../src/pricing/format-price.ts';
import { parsePrice } from '../../src/pricing/parse-price.ts';
import type { PayerFacts } from '../../src/pricing/price-terms.ts';

interface Call {
  readonly bounds?: Readonly<Record<string, number>>;
  readonly units?: Readonly<Record<string, number>>;
  readonly load?: number;
  readonly payer?: PayerFacts;
}

/** The cost in atoms, and each line as `unit count cost`. */
function linesOf(rule: unknown, { bounds = {}, units = {}, load = 0, payer }: Call = {}) {
  const price = parsePrice(rule, { customUnits: { gpuMs: 1000 }, isCapped: true });
  const work = { model: null, bounds, value: () => null };
  const terms = { ...flatTerms(0), load };
  const { cost, usage } = costOf(price, work, terms, { units, by: 'upstream' }, payer);
  return [cost, ...usage.map((line) => `${line.unit} ${line.count} ${line.cost}`)];
}

const tokens = { inputToken: '$0.15/1M', outputToken: '$0.60/1M' };

describe('the lines of a receipt', () => {
  it('name what was used, and what the sum was rounded up by', () => {
    const call = { units: { inputTokens: 812, outputTokens: 77 } };
    assert.deepEqual(linesOf({ per: tokens }, call), [
      ...[168n, 'inputTokens 812 0.0001218', 'outputTokens 77 0.0000462'],
    ]);
    assert.deepEqual(linesOf({ per: tokens }, { units: { inputTokens: 1 } }), [
      ...[1n, 'inputTokens 1 0.00000015', 'rounding 1 0.00000085'],
    ]);
    assert.deepEqual(linesOf({ per: tokens }), [0n]);
  });

  it('show cached input tokens apart from the others, at their own rate where there is one', () => {
    const units = { inputTokens: 100, cachedInputTokens: 60 };
    const per = { inputToken: '$0.01', cachedInputToken: '$0.001' };
    assert.deepEqual(linesOf({ per }, { units }), [
      ...[460_000n, 'inputTokens 40 0.4', 'cachedInputTokens 60 0.06'],
    ]);
    assert.deepEqual(linesOf({ per: { inputToken: '$0.01' } }, { units }), [
      ...[1_000_000n, 'inputTokens 100 1'],
    ]);
    // More cached tokens than there are is one of the upstream's lies.
    const lie = { inputTokens: 10, cachedInputTokens: 60 };
    assert.deepEqual(linesOf({ per }, { units: lie }), [10_000n, 'cachedInputTokens 10 0.01']);
  });

  it('name every step that changed the sum, in the order of the rule', () => {
    const rule = {
      per: { call: '$1' },
      schedule: [{ factor: 2 }],
      surge: [{ aboveLoad: '50%', factor: 1.5 }],
      volume: [{ above: '$10', off: '10%' }],
      balance: [{ above: '$5', off: '50%' }],
      max: '$1.20',
    };
    const payer = { monthSpent: 10_000_001n, balance: 5_000_001n };
    assert.deepEqual(linesOf(rule, { load: 0.6, payer }), [
      1_200_000n,
      'calls 1 1',
      'schedule 1 1',
      'surge 1 1',
      'volume 1 -0.3',
      'balance 1 -1.35',
      'max 1 -0.15',
    ]);
    const atTheStep = { monthSpent: 10_000_000n, balance: 5_000_000n };
    assert.deepEqual(linesOf({ ...rule, max: '$9' }, { payer: atTheStep }), [
      ...[2_000_000n, 'calls 1 1', 'schedule 1 1'],
    ]);
    assert.deepEqual(linesOf({ per: tokens, min: '$0.0001' }, { units: { outputTokens: 1 } }), [
      ...[100n, 'outputTokens 1 0.0000006', 'min 1 0.0000994'],
    ]);
  });

  it('show what was really used beyond the bounds of the request, and take it off again', () => {
    const call = { bounds: { outputTokens: 100 }, units: { outputTokens: 102 } };
    assert.deepEqual(linesOf({ per: { outputToken: '$0.000001' } }, call), [
      ...[100n, 'outputTokens 102 0.000102', 'max 1 -0.000002'],
    ]);
    const byOne = { bounds: { outputTokens: 101 }, units: { outputTokens: 102 } };
    assert.equal(linesOf({ per: { outputToken: '$0.000001' } }, byOne)[0], 101n);
  });

  it("never count more of a route's own unit than it declares", () => {
    assert.deepEqual(linesOf({ per: { gpuMs: '$0.01', call: '$1' } }, { units: { gpuMs: 5000 } }), [
      ...[11_000_000n, 'calls 1 1', 'gpuMs 1000 10'],
    ]);
  });

  it('count a part of a unit as a whole one', () => {
    assert.deepEqual(
      linesOf({ per: { audioSecond: '$0.01' } }, { units: { audioSeconds: 1.01 } }),
      [...[20_000n, 'audioSeconds 2 0.02']],
    );
  });

  it('price the whole call by the tier that it falls into', () => {
    const tier = (rate: string) => ({ per: { inputToken: rate } });
    const rule = { tiers: { inputTokens: { 'upTo 10': tier('$0.01'), above: tier('$0.02') } } };
    assert.deepEqual(linesOf(rule, { units: { inputTokens: 10 } }), [
      100_000n,
      'inputTokens 10 0.1',
    ]);
    assert.deepEqual(linesOf(rule, { units: { inputTokens: 11 } }), [
      220_000n,
      'inputTokens 11 0.22',
    ]);
  });
});

describe('the text of a price', () => {
  it('keeps names that YAML would take for something else', () => {
    const cases = {
      true: '$1',
      null: '$2',
      '08': '$3',
      '1.50': '$4',
      '0x10': '$5',
      '# a: b': '$6',
    };
    const price = parsePrice({ by: { 'body.size': { ...cases, '*': 'refuse' } } });
    assert.deepEqual(parsePrice(parseYaml(formatPrice(price))), price);
  });

  it('does not depend on the order of keys', () => {
    assert.equal(
      canonicalPrice({ amount: 1n, kind: 'flat' }),
      canonicalPrice({ kind: 'flat', amount: 1n }),
    );
  });
});
