import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { calcPrice, findProvider } from '@pydantic/genai-prices';
import { loadListPrices, type PriceSource } from '../../src/config/load-list-prices.ts';
import type { MeteredPrice, Price } from '../../src/core/price.ts';
import { parseRatio, plus, ratioOf } from '../../src/core/ratio.ts';
import { costOf } from '../../src/pricing/cost-of.ts';
import { type PublishedModel, PublishedPrices } from '../../src/pricing/list-prices.ts';
import { matchGlob } from '../../src/pricing/match-glob.ts';
import { priceOfModel } from '../../src/pricing/price-of-model.ts';
import { withPriceList } from '../../src/pricing/with-price-list.ts';

const NOW_MS = Date.parse('2026-09-01T05:00:00Z');
const TERMS = { atMs: NOW_MS, load: 0, rates: {} };
const source: PriceSource = await loadListPrices();

function published(id: string): readonly PublishedModel[] {
  return source.findProvider({ providerId: id })?.models ?? [];
}

function priceOf(base: MeteredPrice['base']): Price {
  const changes = { min: null, max: null, schedule: [], surge: [], volume: [], balance: [] };
  return { kind: 'metered', base, ...changes };
}

/** USD atoms. */
function cost(price: Price, units: Readonly<Record<string, number>>): bigint {
  const work = { model: 'p/m', bounds: units, value: () => null };
  return costOf(price, work, TERMS, { units, by: 'upstream' }).cost;
}

function costOfModel(models: readonly PublishedModel[], name: string, units: object): bigint {
  const found = new PublishedPrices('p', models, NOW_MS).find(name);
  assert.ok(found, name);
  return cost(priceOf(found.base), { ...units });
}

/** One made-up model. */
function model(prices: PublishedModel['prices']): readonly PublishedModel[] {
  return [{ id: 'm', match: { equals: 'm' }, prices }];
}

describe('list prices', () => {
  it('are those of hand-computed calls', () => {
    const openai = published('openai');
    // gpt-4o-mini: $0.15 input, $0.075 cached, $0.60 output for a million.
    const usual = { inputTokens: 1_000_000, cachedInputTokens: 400_000, outputTokens: 200_000 };
    assert.equal(costOfModel(openai, 'gpt-4o-mini', usual), 90_000n + 30_000n + 120_000n);
    assert.equal(
      costOfModel(openai, 'gpt-4o-mini', { ...usual, webSearches: 3 }),
      240_000n + 30_000n,
      'searches are $10 for a thousand',
    );
    // claude-haiku-4-5: $1 input, $0.10 read from the cache, $1.25 written to it, $5 output.
    const cached = {
      ...{ inputTokens: 1_000_000, cachedInputTokens: 500_000, cacheWriteInputTokens: 200_000 },
      outputTokens: 10_000,
    };
    assert.equal(
      costOfModel(published('anthropic'), 'claude-haiku-4-5-20251001', cached),
      300_000n + 50_000n + 250_000n + 50_000n,
    );
    // text-embedding-3-small: $0.02, and the same tokens are not charged twice.
    const embedded = { inputTokens: 1_000_000, embeddingTokens: 1_000_000 };
    assert.equal(costOfModel(openai, 'text-embedding-3-small', embedded), 20_000n);
    // whisper-1: $0.36 an hour.
    assert.equal(costOfModel(openai, 'whisper-1', { audioSeconds: 90 }), 9_000n);
  });

  it('price the whole call by the tier that its input falls into', () => {
    // gpt-5.4: $2.50 and $15 up to 271,999 input tokens, $5 and $22.50 above.
    const at = (inputTokens: number): bigint =>
      costOfModel(published('openai'), 'gpt-5.4', { inputTokens, outputTokens: 1_000 });
    assert.equal(at(271_999), 679_998n + 15_000n);
    assert.equal(at(272_000), 1_360_000n + 22_500n);
  });

  it('are what the package itself calculates, for every model of the big companies', () => {
    let compared = 0;
    for (const providerId of ['openai', 'anthropic', 'google', 'mistral', 'groq', 'x-ai']) {
      const prices = new PublishedPrices('p', published(providerId), NOW_MS);
      for (const { id, isDeprecated } of prices.models) {
        const pattern = prices.list.find((one) => matchGlob(one.pattern, `p/${id}`))?.pattern ?? '';
        const byName = prices.find(id);
        if (byName?.id === id && !isDeprecated)
          assert.ok(byName.patterns.includes(pattern), `${id} is taken for ${pattern}`);
        const usage = { input_tokens: 300_000, output_tokens: 70_000, cache_read_tokens: 90_000 };
        const expected = calcPrice(usage, id, { providerId, timestamp: new Date(NOW_MS) });
        const found = prices.find(id);
        if (found === null || expected === null || Array.isArray(expected.model.prices)) continue;
        const { model_price: rates } = expected;
        if ('audio_hours' in rates || 'requests_kcount' in rates) continue;
        const atoms = cost(priceOf(found.base), {
          ...{ inputTokens: 300_000, cachedInputTokens: 90_000, outputTokens: 70_000 },
        });
        const difference = Math.abs(Number(atoms) / 1e6 - expected.total_price);
        assert.ok(difference < 2e-6, `${id}: ${atoms} is not ${expected.total_price}`);
        compared++;
      }
    }
    assert.ok(compared > 100, `${compared} compared`);
  });

  it('are exact, with the markup in them', () => {
    const prices = new PublishedPrices('p', published('openai'), NOW_MS);
    const sum = plus(parseRatio('1'), parseRatio('0.2'));
    const costPlus = priceOf({ kind: 'costPlus', factor: ratioOf(sum.n, sum.d), list: [] });
    const found = priceOfModel(withPriceList(costPlus, prices.list), 'p/gpt-4o-mini');
    assert.ok(found?.price.kind === 'metered' && found.price.base.kind === 'per');
    const [input] = found.price.base.rates;
    assert.deepEqual(input?.rate, { currency: 'USD', value: parseRatio('0.00000018') });
  });

  it('follow dates, and take the dearest hours of the day', () => {
    const prices = [
      { prices: { input_mtok: 1 } },
      {
        constraint: { type: 'start_date' as const, start_date: '2026-08-01' },
        prices: { input_mtok: 3 },
      },
      {
        constraint: { type: 'start_date' as const, start_date: '2026-10-01' },
        prices: { input_mtok: 9 },
      },
      { constraint: { type: 'time_of_date' as const }, prices: { input_mtok: 2 } },
    ];
    assert.equal(costOfModel(model(prices), 'm', { inputTokens: 1_000_000 }), 3_000_000n);
    const dearer = [...prices, { ...prices[3], prices: { input_mtok: 4 } }] as typeof prices;
    assert.equal(costOfModel(model(dearer), 'm', { inputTokens: 1_000_000 }), 4_000_000n);
  });

  it('are unknown for what no meter reads, for nothing, and for what is no amount', () => {
    const find = (prices: PublishedModel['prices']) =>
      new PublishedPrices('p', model(prices), NOW_MS).find('m');
    assert.equal(find({}), null);
    assert.equal(find({ input_mtok: 1, output_image_mtok: 30 }), null);
    assert.equal(find({ input_mtok: 1, pages_kcount: 3 }), null);
    assert.equal(find({ input_mtok: -1 }), null);
    assert.equal(find({ input_mtok: Number.NaN }), null);
    assert.ok(find({ input_mtok: 1, input_image_mtok: 1 }), 'images that are no dearer');
    assert.ok(find({ input_mtok: 2e-7 }));
  });

  it('of a dated name are those of its model, and a wider pattern is not enough', () => {
    const prices = new PublishedPrices('p', published('openai'), NOW_MS);
    assert.equal(prices.find('gpt-6-sol-2026-08-01')?.id, 'gpt-6-sol');
    const opus = new PublishedPrices('p', published('anthropic'), NOW_MS);
    const dated = 'claude-opus-5-5-20260801';
    const first = opus.list.find((one) => matchGlob(one.pattern, `p/${dated}`))?.pattern ?? '';
    assert.equal(opus.find(dated)?.id, 'claude-opus-5-5');
    assert.ok(opus.find(dated)?.patterns.includes(first), first);
    assert.equal(prices.find('gpt-6-sol-preview'), null);
    assert.equal(prices.find('gpt-4o-nonsense'), null);
    assert.ok(findProvider({ providerId: 'openai' }));
  });
});
