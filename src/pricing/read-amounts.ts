/** The small values inside a price: money, rates, factors, percentages and counts. */

import { ATOMS_MAX, USD } from '../core/money.ts';
import type { Money } from '../core/price.ts';
import { ceilAt, decimalOf, isLess, ONE, parseRatio, type Ratio, ratioOf } from '../core/ratio.ts';
import { type Place, quoted } from './price-problems.ts';

const MONEY =
  /^(?:\$(\d{1,30}(?:\.\d{1,24})?)|(\d{1,30}(?:\.\d{1,24})?) ?([A-Za-z][A-Za-z0-9]{1,11}))$/;
const RATE_HINT = 'Write money and how many units it buys, such as $0.15/1M, 15 sat/1k or $0.006.';
const MONEY_HINT = 'Write an amount such as $0.05, 50 sat or 0.05 EURC.';

/** `$0.05`, `50 sat`, `0.05 EURC`. */
export function readMoney(value: unknown, place: Place, hint = MONEY_HINT): Money | null {
  if (typeof value !== 'string') return place.refuse(notText(value), hint);
  const match = MONEY.exec(value);
  if (!match) return place.refuse(`${quoted(value)} is not an amount of money`, hint);
  const currency = match[3] ?? 'USD';
  if (currency !== 'USD' && currency !== 'sat' && !/^[A-Z][A-Z0-9]+$/.test(currency))
    return place.refuse(
      `${quoted(currency)} is not a currency`,
      'Write $, sat, or the symbol of an asset such as EURC.',
    );
  const money = { currency, value: parseRatio(match[1] ?? match[2] ?? '') };
  const tooLarge = currency === 'USD' && ceilAt(money.value, USD.decimals) > ATOMS_MAX;
  return tooLarge ? place.refuse(`${quoted(value)} is too large`, hint) : money;
}

/** As `readMoney`, more than nothing, and in dollars not finer than an atom, in which everybody pays. */
export function readPayable(value: unknown, place: Place): Money | null {
  const money = readMoney(value, place);
  if (money === null) return null;
  if (money.value.n === 0n)
    return place.refuse(`${quoted(value)} is nothing`, 'Remove it, or write an amount.');
  if (money.currency === 'USD' && decimalOf(money.value, USD.decimals) === null)
    return place.refuse(
      `${quoted(value)} has more than ${USD.decimals} decimal places`,
      'Write at most six decimals, such as $0.000001.',
    );
  return money;
}

const SCALES: Readonly<Record<string, bigint>> = { '': 1n, k: 1000n, M: 1_000_000n };

const FINEST = 10n ** 24n;

/** `$0.15/1M` is the price of one unit where a million cost $0.15; `$0.006` is that of one. */
export function readRate(value: unknown, place: Place): Money | null {
  if (typeof value !== 'string') return place.refuse(notText(value), RATE_HINT);
  const slash = value.indexOf('/');
  if (slash < 0) return readMoney(value, place, RATE_HINT);
  const units = /^(\d{1,25})(k|M)?$/.exec(value.slice(slash + 1));
  const count = BigInt(units?.[1] ?? 0) * (SCALES[units?.[2] ?? ''] ?? 0n);
  if (count === 0n) return place.refuse(`${quoted(value)} is not a rate`, RATE_HINT);
  const money = readMoney(value.slice(0, slash), place, RATE_HINT);
  if (money === null) return null;
  const ratio = ratioOf(money.value.n, money.value.d * count);
  // So that every rate can be written down again.
  return ratio.d > FINEST
    ? place.refuse(`${quoted(value)} is too fine`, RATE_HINT)
    : { ...money, value: ratio };
}

/** `20%` is 1/5. */
export function readPercent(value: unknown, place: Place, max: Ratio, min = ratioOf(0n)) {
  const hint = 'Write a percentage, such as 20%.';
  const match = typeof value === 'string' ? /^(\d{1,6}(?:\.\d{1,6})?)%$/.exec(value) : null;
  if (!match) return place.refuse(`${quoted(value)} is not a percentage`, hint);
  const part = parseRatio(match[1] ?? '');
  const ratio = ratioOf(part.n, part.d * 100n);
  if (isLess(max, ratio) || isLess(ratio, min))
    return place.refuse(
      `${quoted(value)} is not between ${percentText(min)} and ${percentText(max)}`,
      hint,
    );
  return ratio;
}

/** A fraction as the percentage that `readPercent` reads. */
export function percentText({ n, d }: Ratio): string {
  return `${decimalOf({ n: n * 100n, d }, 6) ?? '?'}%`;
}

const FACTOR_MAX = ratioOf(1000n);

/** `1.5`, as a number or as text: more than 0, at most 1000. */
export function readFactor(value: unknown, place: Place): Ratio | null {
  const hint = 'Write what the price is multiplied by, such as 1.5 or 0.8.';
  const text = typeof value === 'number' ? String(value) : value;
  if (typeof text !== 'string' || !/^\d{1,4}(\.\d{1,6})?$/.test(text))
    return place.refuse(`${quoted(value)} is not a factor`, hint);
  const factor = parseRatio(text);
  if (factor.n === 0n || isLess(FACTOR_MAX, factor))
    return place.refuse(`${quoted(text)} is not above 0 and up to 1000`, hint);
  return factor.n === factor.d ? ONE : factor;
}

/** A number of units: `1000`, `8k`, `1M`. */
export function readCount(value: unknown, place: Place, min = 1): number | null {
  const count = countOfText(value);
  const hint = 'Write a whole number, such as 1000, 8k or 1M.';
  if (count === null) return place.refuse(`${quoted(value)} is not a whole number`, hint);
  if (count < min || count > 1e12)
    return place.refuse(`${quoted(value)} is not between ${min} and a trillion`, hint);
  return count;
}

/** Null for what is no count. */
export function countOfText(value: unknown): number | null {
  if (typeof value === 'number') return Number.isSafeInteger(value) ? value : null;
  const match = typeof value === 'string' ? /^(\d{1,12})(k|M)?$/.exec(value) : null;
  const count = Number(match?.[1] ?? Number.NaN) * Number(SCALES[match?.[2] ?? ''] ?? 0);
  return Number.isSafeInteger(count) ? count : null;
}

function notText(value: unknown): string {
  if (value === undefined) return 'is missing';
  return typeof value === 'number'
    ? `${value} is a bare number, not money`
    : 'must be text, such as $0.006';
}
