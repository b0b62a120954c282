/** Exact fractions: prices per unit, factors and percentages, where a decimal would have to be rounded. */

import { MoneyFormatError } from './money.ts';

export interface Ratio {
  readonly n: bigint;
  /** Greater than zero. */
  readonly d: bigint;
}

export const ZERO: Ratio = { n: 0n, d: 1n };
export const ONE: Ratio = { n: 1n, d: 1n };

/** A fraction in lowest terms, so that equal fractions look equal. */
export function ratioOf(n: bigint, d = 1n): Ratio {
  let [a, b] = [n < 0n ? -n : n, d];
  while (b !== 0n) [a, b] = [b, a % b];
  return a === 0n ? ZERO : { n: n / a, d: d / a };
}

const DECIMAL = /^(\d{1,30})(?:\.(\d{1,30}))?$/;

/** Reads a plain non-negative decimal such as `0.15` exactly; throws MoneyFormatError. */
export function parseRatio(text: string): Ratio {
  const match = DECIMAL.exec(text);
  if (!match) throw new MoneyFormatError(`"${text}" is not a plain decimal number such as 0.15`);
  const fraction = match[2] ?? '';
  return ratioOf(BigInt((match[1] ?? '0') + fraction), 10n ** BigInt(fraction.length));
}

// The operations below do not reduce: a price is a handful of them, and only its end is looked at.

export function plus(a: Ratio, b: Ratio): Ratio {
  return a.d === b.d ? { n: a.n + b.n, d: a.d } : { n: a.n * b.d + b.n * a.d, d: a.d * b.d };
}

export function minus(a: Ratio, b: Ratio): Ratio {
  return plus(a, { n: -b.n, d: b.d });
}

export function times(a: Ratio, b: Ratio): Ratio {
  return { n: a.n * b.n, d: a.d * b.d };
}

export function isLess(a: Ratio, b: Ratio): boolean {
  return a.n * b.d < b.n * a.d;
}

/** The value times 10^decimals as an integer, rounded towards plus infinity. */
export function ceilAt(value: Ratio, decimals: number): bigint {
  return -floorDivide(-value.n * 10n ** BigInt(decimals), value.d);
}

/** The value times 10^decimals as an integer, rounded towards minus infinity. */
export function floorAt(value: Ratio, decimals: number): bigint {
  return floorDivide(value.n * 10n ** BigInt(decimals), value.d);
}

function floorDivide(n: bigint, d: bigint): bigint {
  const quotient = n / d;
  return n < 0n && quotient * d !== n ? quotient - 1n : quotient;
}

/** The plain decimal of a fraction that has one of at most `decimals` places; null for others, such as 1/3. */
export function decimalOf(value: Ratio, decimals: number): string | null {
  const scale = 10n ** BigInt(decimals);
  if ((value.n * scale) % value.d !== 0n) return null;
  const digits = ((value.n * scale) / value.d).toString().padStart(decimals + 1, '0');
  const whole = digits.slice(0, digits.length - decimals);
  const fraction = digits.slice(digits.length - decimals).replace(/0+$/, '');
  return fraction === '' ? whole : `${whole}.${fraction}`;
}
