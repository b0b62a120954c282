import { formatUsd } from '../core/money.ts';
import type { MeteredPrice, Price, PriceBase, UnitRate } from '../core/price.ts';
import { minus, ONE } from '../core/ratio.ts';
import { factorText, formatDays, formatMoney, formatRate, formatTime } from './format-price.ts';
import { percentText } from './read-amounts.ts';
import { unitWords } from './units.ts';

/** A price in words, for people and agents who read the offers: `$0.15 per 1M input tokens, at most $0.05 a call`. */
export function describePrice(price: Price): string {
  switch (price.kind) {
    case 'free':
      return 'free';
    case 'flat':
      return `${formatUsd(price.amount)} per call`;
    case 'service':
      return `as quoted for each call, at most ${formatMoney(price.max)}`;
    case 'metered':
      return [describeBase(price.base), ...changesOf(price)].join('; ');
  }
}

function describeBase(base: PriceBase): string {
  switch (base.kind) {
    case 'per':
      return describeRates(base.rates) + describeFree(base.freeUnits);
    case 'tiers':
      return (
        base.tiers
          .map(({ upTo, rates }) => {
            const size = upTo === null ? 'above' : `up to ${upTo}`;
            return `${size} ${unitWords(base.unit, 'many')}: ${describeRates(rates)}`;
          })
          .join('; ') + describeFree(base.freeUnits)
      );
    case 'by': {
      const place = base.place.replace(/^(body|header)\./, '');
      const cases = base.variants.map(({ patterns, price }) => {
        const named = patterns.includes('*') ? 'any other' : `${place} ${patterns.join(' or ')}`;
        return `${named}: ${price === null ? 'not served' : describePrice(price)}`;
      });
      return cases.join('; ');
    }
    case 'costPlus':
      return `list price of the model plus ${percentText(minus(base.factor, ONE))}`;
  }
}

/** `$0.15 per 1M input tokens, $0.60 per 1M output tokens`. */
function describeRates(rates: readonly UnitRate[]): string {
  return rates
    .map(({ unit, rate }) => {
      const [money = '', units] = formatRate(rate).split('/');
      return units === undefined
        ? `${money} per ${unitWords(unit, 1)}`
        : `${money} per ${units} ${unitWords(unit, 'many')}`;
    })
    .join(', ');
}

function describeFree(freeUnits: Readonly<Record<string, number>>): string {
  return Object.entries(freeUnits)
    .map(([unit, count]) => `, first ${count} ${unitWords(unit, 'many')} of each call free`)
    .join('');
}

function changesOf({ min, max, schedule, surge, volume, balance }: MeteredPrice): string[] {
  return [
    ...(min ? [`at least ${formatMoney(min)} a call`] : []),
    ...(max ? [`at most ${formatMoney(max)} a call`] : []),
    ...schedule.map(({ days, fromMinute, toMinute, zone, factor }) => {
      const hours = `${formatTime(fromMinute)}-${formatTime(toMinute)}`;
      return `× ${factorText(factor)} on ${formatDays(days)} ${hours} ${zone}`;
    }),
    ...surge.map(
      ({ aboveLoad, factor }) => `× ${factorText(factor)} above ${percentText(aboveLoad)} load`,
    ),
    ...volume.map(({ above, off }) => `${percentText(off)} off above ${formatUsd(above)} a month`),
    ...balance.map(
      ({ above, off }) => `${percentText(off)} off with a balance above ${formatUsd(above)}`,
    ),
  ];
}
