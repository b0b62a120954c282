/**
 * What a price written in the config comes to, worked out a second time and another way: from its text, step
 * by step over fractions in lowest terms. Shares no code with the source.
 */

import type { PriceInput, PriceRuleInput } from '../../src/pricing/price-input.ts';

export type Fraction = readonly [top: bigint, bottom: bigint];

export interface OracleRequest {
  readonly model: string | null;
  readonly values: Readonly<Record<string, string>>;
  readonly counts: Readonly<Record<string, number>>;
  /** UTC. */
  readonly atMs: number;
  readonly loadPercent: number;
  /** Dollars per whole unit, in cents. */
  readonly centsPer: Readonly<Record<string, number>>;
  readonly payer: { readonly monthSpent: bigint; readonly balance: bigint | null } | null;
}

const ZERO: Fraction = [0n, 1n];

function lowest(top: bigint, bottom: bigint): Fraction {
  const gcd = (a: bigint, b: bigint): bigint => (b === 0n ? a : gcd(b, a % b));
  const divisor = gcd(top < 0n ? -top : top, bottom);
  return [top / divisor, bottom / divisor];
}
const add = (a: Fraction, b: Fraction) => lowest(a[0] * b[1] + b[0] * a[1], a[1] * b[1]);
const mul = (a: Fraction, b: Fraction) => lowest(a[0] * b[0], a[1] * b[1]);
const over = (a: Fraction, b: Fraction) => a[0] * b[1] > b[0] * a[1];

function decimal(text: string): Fraction {
  const [whole = '', part = ''] = text.split('.');
  return lowest(BigInt(whole + part), 10n ** BigInt(part.length));
}

/** Dollars for `$0.15/1M`, `3 sat/1k`, `0.5 EURC`. */
function dollars(text: string, request: OracleRequest): Fraction {
  const [money = '', per = '1'] = text.split('/');
  const units = decimal(per.replace('k', '000').replace('M', '000000'));
  const one: Fraction = [units[1], units[0]];
  if (money.startsWith('$')) return mul(decimal(money.slice(1)), one);
  const [amount = '', currency = ''] = money.split(' ');
  const cents = request.centsPer[currency === 'sat' ? 'BTC' : currency] ?? 0;
  const worth = lowest(BigInt(cents), currency === 'sat' ? 10_000_000_000n : 100n);
  return mul(mul(decimal(amount), worth), one);
}

const PLURAL: Readonly<Record<string, string>> = {
  call: 'calls',
  inputToken: 'inputTokens',
  cachedInputToken: 'cachedInputTokens',
  outputToken: 'outputTokens',
  image: 'images',
  byteOut: 'bytesOut',
};

function perSum(rule: PriceRuleInput, per: Readonly<Record<string, string>>, r: OracleRequest) {
  const count = (unit: string): bigint => BigInt(r.counts[unit] ?? (unit === 'calls' ? 1 : 0));
  const free = (unit: string): bigint => BigInt(rule.freeUnits?.[unit] ?? 0);
  let sum = ZERO;
  for (const [name, text] of Object.entries(per)) {
    const unit = PLURAL[name] ?? name;
    let units = count(unit);
    let allowance = free(unit);
    const splits = per.cachedInputToken !== undefined;
    const input = count('inputTokens');
    const cached = count('cachedInputTokens') > input ? input : count('cachedInputTokens');
    if (unit === 'inputTokens' && splits) units = input - cached;
    if (unit === 'cachedInputTokens') {
      // Token by token: the allowance goes to the plain ones first.
      units = cached;
      allowance = free('inputTokens');
      for (let plain = input - cached; plain > 0n && allowance > 0n; plain--) allowance -= 1n;
    }
    for (; units > 0n && allowance > 0n; units--) allowance -= 1n;
    sum = add(sum, mul([units, 1n], dollars(text, r)));
  }
  return sum;
}

function baseSum(rule: PriceRuleInput, r: OracleRequest): Fraction {
  if (rule.per) return perSum(rule, rule.per, r);
  const [unit = '', tiers = {}] = Object.entries(rule.tiers ?? {})[0] ?? [];
  for (const [size, tier] of Object.entries(tiers)) {
    const fits = size === 'above' || (r.counts[unit] ?? 0) <= Number(size.slice('upTo '.length));
    if (!fits) continue;
    return typeof tier === 'string' ? dollars(tier, r) : perSum(rule, tier.per, r);
  }
  const [place = '', cases = {}] = Object.entries(rule.by ?? {})[0] ?? [];
  const value = place === 'model' ? r.model : (r.values[place] ?? null);
  for (const [key, price] of Object.entries(cases))
    for (const pattern of key.split(' | '))
      if (pattern === '*' || (value !== null && globRegExp(pattern).test(value)))
        return oracleCost(price, r);
  throw new Error('nothing matched');
}

function globRegExp(pattern: string): RegExp {
  const parts = pattern.split('*').map((part) => part.replace(/[^a-z0-9]/g, '\\$&'));
  return new RegExp(`^${parts.join('.*')}$`);
}

const DAYS = ['sun', 'mon', 'tue', 'wed', 'thu', 'fri', 'sat'];

function scheduleFactor(rule: PriceRuleInput, atMs: number): Fraction {
  for (const { days = DAYS.join(','), from = '00:00', to = '24:00', factor } of rule.schedule ??
    []) {
    // Every window as an interval of milliseconds, on each of the days around.
    for (let back = 0; back <= 1; back++) {
      const midnight = Math.floor(atMs / 86_400_000) * 86_400_000 - back * 86_400_000;
      if (!days.split(',').includes(DAYS[new Date(midnight).getUTCDay()] ?? '')) continue;
      const at = (time: string): number =>
        midnight + Number(time.slice(0, 2)) * 3_600_000 + Number(time.slice(3)) * 60_000;
      const end = at(to) > at(from) ? at(to) : at(to) + 86_400_000;
      if (atMs >= at(from) && atMs < end) return decimal(String(factor));
    }
  }
  return [1n, 1n];
}

function highest<T>(steps: readonly T[], isBelow: (step: T) => boolean, size: (step: T) => number) {
  return steps.filter(isBelow).sort((a, b) => size(b) - size(a))[0];
}

/** Dollars, exactly. */
export function oracleCost(rule: PriceInput, r: OracleRequest): Fraction {
  if (rule === 'free') return ZERO;
  if (typeof rule === 'string') return dollars(rule, r);
  let sum = mul(baseSum(rule, r), scheduleFactor(rule, r.atMs));
  const percent = (text: string): number => Number(text.slice(0, -1));
  const surge = highest(
    rule.surge ?? [],
    ({ aboveLoad }) => r.loadPercent > percent(aboveLoad),
    ({ aboveLoad }) => percent(aboveLoad),
  );
  if (surge) sum = mul(sum, decimal(String(surge.factor)));
  const discounts: [PriceRuleInput['volume'], bigint | null][] = r.payer
    ? [
        [rule.volume, r.payer.monthSpent],
        [rule.balance, r.payer.balance],
      ]
    : [];
  for (const [steps, amount] of discounts) {
    if (!steps || amount === null) continue;
    const above = (step: { above: string }): number => Number(step.above.slice(1));
    const step = highest(steps, (one) => Number(amount) / 1e6 > above(one), above);
    if (step) sum = mul(sum, [BigInt(100 - percent(step.off)), 100n]);
  }
  const min = rule.min === undefined ? sum : dollars(rule.min, r);
  if (over(min, sum)) sum = min;
  const max = rule.max === undefined ? sum : dollars(rule.max, r);
  return over(sum, max) ? max : sum;
}

/** Whole atoms of a dollar, rounded up. */
export function oracleAtoms([top, bottom]: Fraction): bigint {
  const atoms = (top * 1_000_000n) / bottom;
  return atoms * bottom === top * 1_000_000n ? atoms : atoms + 1n;
}
