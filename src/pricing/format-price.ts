/** A price in the form of the config, and in words. Both come from the same data that is charged by. */

import { formatUsd } from '../core/money.ts';
import type {
  Discount,
  MeteredPrice,
  Money,
  Price,
  PriceBase,
  ScheduleWindow,
  UnitRate,
} from '../core/price.ts';
import { decimalOf, minus, ONE, type Ratio } from '../core/ratio.ts';
import type { PriceInput, PriceRuleInput } from './price-input.ts';
import { percentText } from './read-amounts.ts';
import { DAY_NAMES } from './read-changes.ts';
import { singularOf } from './units.ts';

/** A price as the config writes it, in one line of YAML: `$0.006`, or `{ per: { inputToken: $0.15/1M }, max: $0.05 }`. */
export function formatPrice(price: Price): string {
  return flowOf(priceInput(price));
}

/** A price as it is written in a config: what `parsePrice` reads. */
export function priceInput(price: Price): PriceInput {
  switch (price.kind) {
    case 'free':
      return 'free';
    case 'flat':
      return formatUsd(price.amount);
    case 'service':
      return {
        service: { url: price.url, timeout: `${price.timeoutMs}ms` },
        max: formatMoney(price.max),
      };
    case 'metered':
      return perCallText(price) ?? { ...baseInput(price.base), ...changesInput(price) };
  }
}

/** `10 sat`, where that is all there is to a price. */
function perCallText(price: MeteredPrice): string | null {
  const { base } = price;
  if (base.kind !== 'per' || base.rates.length !== 1) return null;
  if (Object.keys({ ...base.freeUnits, ...changesInput(price) }).length > 0) return null;
  const [only] = base.rates;
  if (only?.unit !== 'calls' || only.rate.currency === 'USD') return null;
  const text = formatRate(only.rate);
  return text.includes('/') ? null : text;
}

function baseInput(base: PriceBase): PriceRuleInput {
  switch (base.kind) {
    case 'per':
      return { per: ratesInput(base.rates), ...freeInput(base.freeUnits) };
    case 'tiers': {
      const tiers = base.tiers.map(({ upTo, rates }) => [
        upTo === null ? 'above' : `upTo ${upTo}`,
        { per: ratesInput(rates) },
      ]);
      return { tiers: { [base.unit]: Object.fromEntries(tiers) }, ...freeInput(base.freeUnits) };
    }
    case 'by': {
      const cases = base.variants.map(({ patterns, price }) => [
        patterns.join(' | '),
        price === null ? 'refuse' : priceInput(price),
      ]);
      return { by: { [base.place]: Object.fromEntries(cases) } };
    }
    case 'costPlus':
      return { costPlus: { markup: percentText(minus(base.factor, ONE)) } };
  }
}

function ratesInput(rates: readonly UnitRate[]): Record<string, string> {
  return Object.fromEntries(rates.map(({ unit, rate }) => [singularOf(unit), formatRate(rate)]));
}

function freeInput(freeUnits: Readonly<Record<string, number>>): PriceRuleInput {
  return Object.keys(freeUnits).length === 0 ? {} : { freeUnits };
}

function changesInput(price: MeteredPrice): PriceRuleInput {
  const { min, max, schedule, surge, volume, balance } = price;
  return {
    ...(min && { min: formatMoney(min) }),
    ...(max && { max: formatMoney(max) }),
    ...(schedule.length > 0 && { schedule: schedule.map(windowInput) }),
    ...(surge.length > 0 && {
      surge: surge.map(({ aboveLoad, factor }) => ({
        aboveLoad: percentText(aboveLoad),
        factor: factorText(factor),
      })),
    }),
    ...(volume.length > 0 && { volume: volume.map(discountInput) }),
    ...(balance.length > 0 && { balance: balance.map(discountInput) }),
  };
}

function windowInput({ days, fromMinute, toMinute, zone, factor }: ScheduleWindow) {
  return {
    ...(days.length < 7 && { days: formatDays(days) }),
    ...(fromMinute > 0 && { from: formatTime(fromMinute) }),
    ...(toMinute < 24 * 60 && { to: formatTime(toMinute) }),
    ...{ zone, factor: factorText(factor) },
  };
}

/** `mon-fri`, or `mon,wed`. */
export function formatDays(days: readonly number[]): string {
  const [first = 0] = days;
  const last = days.at(-1) ?? first;
  const name = (day: number): string => DAY_NAMES[day] ?? '?';
  return days.length > 2 && last - first === days.length - 1
    ? `${name(first)}-${name(last)}`
    : days.map(name).join(',');
}

export function formatTime(minute: number): string {
  const two = (part: number): string => String(part).padStart(2, '0');
  return `${two(Math.floor(minute / 60))}:${two(minute % 60)}`;
}

function discountInput({ above, off }: Discount): { above: string; off: string } {
  return { above: formatUsd(above), off: percentText(off) };
}

export function factorText(factor: Ratio): string {
  return decimalOf(factor, 12) ?? '?';
}

/** `$0.05`, `50 sat`. */
export function formatMoney({ currency, value }: Money): string {
  return withCurrency(decimalOf(value, 24) ?? '?', currency);
}

function withCurrency(decimal: string, currency: string): string {
  return currency === 'USD' ? `$${decimal}` : `${decimal} ${currency}`;
}

const MILLION = 1_000_000n;

/** `$0.15/1M`: by the million where one costs next to nothing; `$1/3` where no decimal says it. */
export function formatRate({ currency, value }: Money): string {
  if (value.n === 0n || value.n * 10_000n >= value.d) {
    const one = decimalOf(value, 6);
    if (one !== null) return withCurrency(one, currency);
  }
  const million = decimalOf({ n: value.n * MILLION, d: value.d }, 24);
  if (million !== null) return `${withCurrency(million, currency)}/1M`;
  return `${withCurrency(value.n.toString(), currency)}/${value.d}`;
}

const PLAIN = /^[A-Za-z$][A-Za-z0-9$./%_+-]*( [A-Za-z0-9$./%_+-]+)*$/;
const RESERVED = /^(true|false|null)$/i;
/** A factor, a time, a percentage or an amount: no key looks like this without its quotes. */
const VALUE = /^(\d{1,4}(\.\d+)?|\d{2}:\d{2}|\d[\d.]*%|\d[\d.]* [A-Za-z]+)$/;

/** Plain data as flow YAML. */
function flowOf(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(flowOf).join(', ')}]`;
  if (typeof value === 'object' && value !== null)
    return `{ ${Object.entries(value)
      .map(([key, item]) => `${isPlain(key) ? key : JSON.stringify(key)}: ${flowOf(item)}`)
      .join(', ')} }`;
  if (typeof value !== 'string') return String(value);
  return isPlain(value) || VALUE.test(value) ? value : JSON.stringify(value);
}

function isPlain(text: string): boolean {
  return PLAIN.test(text) && !RESERVED.test(text);
}
