/** Money: integer atoms of a named asset. Decimals exist only in the parse and format functions below. */

export interface Asset {
  /** `USD`, or a CAIP-19 id such as `eip155:8453/erc20:0x8335…`. */
  readonly id: string;
  readonly symbol: string;
  /** How many decimal places one whole unit has; 1 USD is 10^6 atoms. */
  readonly decimals: number;
}

/** Prices and prepaid balances: US dollars with six decimals. */
export const USD: Asset = { id: 'USD', symbol: 'USD', decimals: 6 };

/** Atoms beyond this do not fit the storage engines' 64-bit integers. */
export const ATOMS_MAX: bigint = 2n ** 63n - 1n;

export class MoneyFormatError extends Error {
  override readonly name = 'MoneyFormatError';
}

const DECIMAL = /^(\d{1,30})(?:\.(\d{1,30}))?$/;

/** Parses a plain non-negative decimal such as `0.006` into atoms, exactly; throws when it does not fit the decimals. */
export function parseDecimal(text: string, decimals: number): bigint {
  const match = DECIMAL.exec(text);
  if (!match) throw new MoneyFormatError(`"${text}" is not a plain decimal number such as 0.006`);
  const whole = match[1] ?? '0';
  const fraction = (match[2] ?? '').replace(/0+$/, '');
  if (fraction.length > decimals)
    throw new MoneyFormatError(`"${text}" has more than ${decimals} decimal places`);
  const atoms = BigInt(whole + fraction.padEnd(decimals, '0'));
  if (atoms > ATOMS_MAX) throw new MoneyFormatError(`"${text}" is too large`);
  return atoms;
}

/** Parses `$0.006`; the dollar sign is required so that a bare number is never taken for dollars by accident. */
export function parseUsd(text: string): bigint {
  if (!text.startsWith('$')) throw new MoneyFormatError(`"${text}" must be dollars such as $0.006`);
  return parseDecimal(text.slice(1), USD.decimals);
}

const ZERO = '0'.charCodeAt(0);

/** Formats atoms as a plain decimal without trailing zeros: 6000 with 6 decimals is `0.006`. */
export function formatDecimal(atoms: bigint, decimals: number): string {
  const sign = atoms < 0n ? '-' : '';
  const digits = (atoms < 0n ? -atoms : atoms).toString().padStart(decimals + 1, '0');
  const point = digits.length - decimals;
  let end = digits.length;
  while (end > point && digits.charCodeAt(end - 1) === ZERO) end -= 1;
  const whole = sign + digits.slice(0, point);
  return end === point ? whole : `${whole}.${digits.slice(point, end)}`;
}

export function formatUsd(atoms: bigint): string {
  return atoms < 0n
    ? `-$${formatDecimal(-atoms, USD.decimals)}`
    : `$${formatDecimal(atoms, USD.decimals)}`;
}

/** Restates atoms at other decimals, rounding up so that the operator is never paid less than the price. */
export function rescaleUp(atoms: bigint, from: number, to: number): bigint {
  if (to >= from) return atoms * 10n ** BigInt(to - from);
  const divisor = 10n ** BigInt(from - to);
  return (atoms + divisor - 1n) / divisor;
}
