/** Random prices as the config writes them, and requests for them. */

import fc from 'fast-check';
import { ratioOf } from '../../src/core/ratio.ts';
import type { Measured, Work } from '../../src/core/work.ts';
import type { PriceInput, PriceRuleInput } from '../../src/pricing/price-input.ts';
import type { PriceTerms } from '../../src/pricing/price-terms.ts';
import type { OracleRequest } from './price-oracle.ts';

export const CUSTOM_UNITS = { gpuMs: 60 };
/** Anything that is metered is bounded here, if by nothing else. */
export const CAPPED = { customUnits: CUSTOM_UNITS, isCapped: true };

const UNITS = [
  'call',
  'inputToken',
  'cachedInputToken',
  'outputToken',
  'image',
  'byteOut',
  'gpuMs',
];
export const COUNTED = [
  ...['inputTokens', 'cachedInputTokens', 'outputTokens', 'images', 'bytesOut', 'gpuMs'],
];

const number = fc
  .tuple(fc.integer({ min: 1, max: 20_000 }), fc.nat(4))
  .map(([digits, places]) => String(digits / 10 ** places));
const scale = fc.constantFrom('', '/1k', '/1M', '/7');
const currency = fc.constantFrom('$', '$', '$', 'sat', 'EURC');

const money = (text: string, unit: string): string =>
  unit === '$' ? `$${text}` : `${text} ${unit}`;
const rate = fc.tuple(number, currency, scale).map(([n, unit, per]) => money(n, unit) + per);
const amount = fc
  .tuple(fc.integer({ min: 1, max: 100_000 }), currency)
  .map(([n, unit]) => money(String(n / 10_000), unit));
const per = fc.dictionary(fc.constantFrom(...UNITS), rate, { minKeys: 1, maxKeys: 4 });
const freeUnits = fc.dictionary(
  fc.constantFrom('inputTokens', 'outputTokens', 'gpuMs'),
  fc.integer({ min: 1, max: 20 }),
  { maxKeys: 2 },
);
const perRule: fc.Arbitrary<PriceRuleInput> = fc.record(
  { per, freeUnits },
  { requiredKeys: ['per'] },
);

/** Tiers whose rates never fall: each is the one before it, times a whole number. */
const tiersRule: fc.Arbitrary<PriceRuleInput> = fc
  .record({
    unit: fc.constantFrom('inputTokens', 'outputTokens', 'gpuMs'),
    rates: fc.dictionary(fc.constantFrom(...UNITS), fc.integer({ min: 1, max: 500 }), {
      minKeys: 1,
      maxKeys: 3,
    }),
    steps: fc.uniqueArray(fc.integer({ min: 1, max: 40 }), { minLength: 1, maxLength: 3 }),
    growth: fc.integer({ min: 1, max: 3 }),
    currency,
  })
  .map(({ unit, rates, steps, growth, currency }) => {
    const tier = (index: number) => ({
      per: Object.fromEntries(
        Object.entries(rates).map(([name, n]) => [
          name,
          `${money(String(n * growth ** index), currency)}/1k`,
        ]),
      ),
    });
    const sizes = [...steps].sort((a, b) => a - b).map((size) => `upTo ${size}`);
    const tiers = [...sizes, 'above'].map((size, index) => [size, tier(index)]);
    return { tiers: { [unit]: Object.fromEntries(tiers) } };
  });

const factor = fc.constantFrom(0.5, 0.75, 1, 1.5, '2', 3.25);
const time = fc
  .tuple(fc.nat(23), fc.nat(59))
  .map(([h, m]) => `${String(h).padStart(2, '0')}:${String(m).padStart(2, '0')}`);
const day = fc.constantFrom('mon', 'tue', 'wed', 'thu', 'fri', 'sat', 'sun');
const window = fc
  .record(
    {
      days: fc.uniqueArray(day, { minLength: 1 }).map((days) => days.join(',')),
      from: time,
      to: time,
      factor,
    },
    { requiredKeys: ['factor'] },
  )
  .filter(({ from = '00:00', to = '24:00' }) => from !== to && to !== '00:00');
const percent = fc.integer({ min: 1, max: 100 }).map((n) => `${n}%`);
const discounts = fc.uniqueArray(
  fc.record({ above: fc.nat(300).map((n) => `$${n}`), off: percent }),
  { selector: ({ above }) => above, minLength: 1, maxLength: 3 },
);
const changes = fc.record(
  {
    min: amount,
    max: amount,
    schedule: fc.array(window, { minLength: 1, maxLength: 2 }),
    surge: fc.uniqueArray(fc.record({ aboveLoad: percent, factor }), {
      ...{ selector: ({ aboveLoad }: { aboveLoad: string }) => aboveLoad },
      ...{ minLength: 1, maxLength: 3 },
    }),
    volume: discounts,
    balance: discounts,
  },
  { requiredKeys: [] },
);

const MODELS = ['gpt-4o', 'gpt-4o-mini', 'llama3', 'x'];
const patterns = fc.uniqueArray(
  fc.constantFrom('gpt-4o', 'gpt-4o*', '*mini', 'l*a*3', 'llama3 | x', 'big', '1024x1024'),
  { minLength: 1, maxLength: 3 },
);

/** Prices of every kind but `service` and `costPlus`, in which no variant refuses. */
export const priceInputs: fc.Arbitrary<PriceInput> = fc.letrec<{ price: PriceInput }>((tie) => ({
  price: fc.oneof(
    { maxDepth: 2, depthSize: 'small' },
    fc.constant<PriceInput>('free'),
    fc.integer({ min: 1, max: 1_000_000 }).map((n) => `$${n / 100_000}`),
    { weight: 4, arbitrary: withChanges(perRule) },
    { weight: 2, arbitrary: withChanges(tiersRule) },
    {
      weight: 2,
      arbitrary: withChanges(
        fc
          .tuple(
            fc.constantFrom('model', 'body.size', 'header.x-tier'),
            patterns,
            fc.array(tie('price'), { minLength: 4, maxLength: 4 }),
          )
          .map(([place, keys, prices]) => ({
            by: {
              [place]: Object.fromEntries([...keys, '*'].map((k, i) => [k, prices[i] ?? 'free'])),
            },
          })),
      ),
    },
  ),
})).price;

function withChanges(base: fc.Arbitrary<PriceRuleInput>): fc.Arbitrary<PriceInput> {
  return fc
    .tuple(base, fc.option(changes, { nil: {} }))
    .map(([rule, more]): PriceRuleInput => ({ ...rule, ...more }))
    .filter(
      ({ min, max }) => !(min && max) || value(min) <= value(max) || unitOf(min) !== unitOf(max),
    );
}

const value = (text: string): number => Number(text.replace(/[^0-9.]/g, ''));
const unitOf = (text: string): string => text.replace(/[0-9. ]/g, '');

export interface Situation {
  readonly work: Work;
  readonly terms: PriceTerms;
  readonly oracle: OracleRequest;
  /** A count per unit, none above the bound of its own. */
  readonly within: Measured;
}

/** A request whose every unit is bounded, and a measurement within the bounds. */
export const situations: fc.Arbitrary<Situation> = fc
  .record({
    model: fc.option(fc.constantFrom(...MODELS)),
    size: fc.option(fc.constantFrom('1024x1024', 'big', 'gpt-4o')),
    bounds: fc.tuple(...COUNTED.map(() => fc.nat(60))),
    parts: fc.tuple(...COUNTED.map(() => fc.double({ min: 0, max: 1, noNaN: true }))),
    atMs: fc.integer({ min: 0, max: 4_000_000_000_000 }),
    loadPercent: fc.nat(100),
    btc: fc.integer({ min: 1, max: 20_000_000 }),
    eurc: fc.integer({ min: 1, max: 200 }),
    payer: fc.option(
      fc.record({
        monthSpent: fc.bigInt({ min: 0n, max: 500_000_000n }),
        balance: fc.option(fc.bigInt({ min: 0n, max: 500_000_000n })),
      }),
    ),
  })
  .map(({ model, size, bounds, parts, atMs, loadPercent, btc, eurc, payer }) => {
    const counts = COUNTED.map((unit, i) => [unit, Math.round((bounds[i] ?? 0) * (parts[i] ?? 0))]);
    const values = size === null ? {} : { 'body.size': size };
    const cents = (n: number) => ({ usd: ratioOf(BigInt(n), 100n), staleAtMs: null });
    const within = Object.fromEntries(counts);
    return {
      work: {
        model,
        bounds: Object.fromEntries(COUNTED.map((unit, i) => [unit, bounds[i] ?? 0])),
        value: (place: string) =>
          Object.entries(values).find(([key]) => key === place)?.[1] ?? null,
      },
      terms: { atMs, load: loadPercent / 100, rates: { BTC: cents(btc), EURC: cents(eurc) } },
      within: { units: within, by: 'upstream' },
      oracle: {
        ...{ model, values, counts: within, atMs, loadPercent, payer },
        centsPer: { BTC: btc, EURC: eurc },
      },
    };
  });

/** What a broken or hostile meter could say. */
export const anyMeasured: fc.Arbitrary<Measured> = fc
  .dictionary(
    fc.oneof(fc.constantFrom('calls', ...COUNTED), fc.string()),
    fc.oneof(
      fc.double(),
      fc.integer(),
      fc.constantFrom(Number.NaN, Infinity, -Infinity, -1, 0.5, 1e308, Number.MAX_SAFE_INTEGER),
    ),
  )
  .map((units) => ({ units, by: 'upstream' }));
