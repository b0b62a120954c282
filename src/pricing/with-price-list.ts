import type { Price, PriceList, UnitBase, UnitRate } from '../core/price.ts';
import { type Ratio, ratioOf } from '../core/ratio.ts';
import { parsePrice } from './parse-price.ts';
import type { PriceRuleInput } from './price-input.ts';
import { PriceFormatError } from './price-problems.ts';

/** One entry of a price list, from its rates: `{ per: { inputToken: $0.15/1M } }`. Throws PriceFormatError. */
export function listedPrice(
  pattern: string,
  rule: Pick<PriceRuleInput, 'per' | 'tiers'>,
): PriceList[number] {
  // A maximum keeps even dollars per call in the form of rates; it is not part of the entry.
  const price = parsePrice({ ...rule, max: '$1' }, { isCapped: true });
  if (price.kind !== 'metered' || price.base.kind === 'by' || price.base.kind === 'costPlus')
    throw new PriceFormatError([
      { at: [], message: 'is no list of rates', hint: 'Write per or tiers.' },
    ]);
  return { pattern, base: price.base };
}

/** A price whose `costPlus` knows the list prices: each multiplied by its markup. Other prices are unchanged. */
export function withPriceList(price: Price, list: PriceList): Price {
  if (price.kind !== 'metered') return price;
  const { base } = price;
  if (base.kind === 'by') {
    const variants = base.variants.map((variant) => ({
      ...variant,
      price: variant.price && withPriceList(variant.price, list),
    }));
    return { ...price, base: { ...base, variants } };
  }
  if (base.kind !== 'costPlus') return price;
  const marked = list.map((listed) => ({ ...listed, base: multiply(listed.base, base.factor) }));
  return { ...price, base: { ...base, list: marked } };
}

function multiply(base: UnitBase, factor: Ratio): UnitBase {
  const rates = (ones: readonly UnitRate[]): UnitRate[] =>
    ones.map((one) => ({
      ...one,
      rate: {
        ...one.rate,
        value: ratioOf(one.rate.value.n * factor.n, one.rate.value.d * factor.d),
      },
    }));
  return base.kind === 'per'
    ? { ...base, rates: rates(base.rates) }
    : { ...base, tiers: base.tiers.map((tier) => ({ ...tier, rates: rates(tier.rates) })) };
}
