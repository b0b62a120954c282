import type { Money, Price, PriceBase, UnitRate } from '../core/price.ts';
import { rateSymbol } from './price-terms.ts';

/** The symbols whose rates a price needs: `BTC` for one in sat; none for one in dollars. */
export function currenciesOf(price: Price): ReadonlySet<string> {
  const symbols = new Set<string>();
  for (const { currency } of moneyIn(price)) {
    const symbol = rateSymbol(currency);
    if (symbol !== null) symbols.add(symbol);
  }
  return symbols;
}

function moneyIn(price: Price): readonly Money[] {
  switch (price.kind) {
    case 'free':
    case 'flat':
      return [];
    case 'service':
      return [price.max];
    case 'metered':
      return [price.min, price.max, ...moneyInBase(price.base)].filter((money) => money !== null);
  }
}

function moneyInBase(base: PriceBase): readonly Money[] {
  switch (base.kind) {
    case 'per':
      return moneyInRates(base.rates);
    case 'tiers':
      return base.tiers.flatMap(({ rates }) => moneyInRates(rates));
    case 'by':
      return base.variants.flatMap(({ price }) => (price ? moneyIn(price) : []));
    case 'costPlus':
      return base.list.flatMap((listed) => moneyInBase(listed.base));
  }
}

function moneyInRates(rates: readonly UnitRate[]): readonly Money[] {
  return rates.map(({ rate }) => rate);
}
