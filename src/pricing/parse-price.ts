import { formatUsd, MoneyFormatError, parseUsd } from '../core/money.ts';
import type { Price } from '../core/route.ts';

/** A price rule that cannot be used; `hint` says what to write instead. */
export class PriceFormatError extends Error {
  override readonly name = 'PriceFormatError';
  readonly hint: string;
  constructor(message: string, hint: string) {
    super(message);
    this.hint = hint;
  }
}

/** Reads a price as written in the config: `free` or dollars per call such as `$0.006`. Throws PriceFormatError. */
export function parsePrice(rule: unknown): Price {
  if (typeof rule === 'object' && rule !== null)
    throw new PriceFormatError(
      'metered prices are not available yet',
      'Write one price for every call, such as $0.006, or free.',
    );
  if (typeof rule === 'number')
    throw new PriceFormatError(
      `${rule} is a bare number, not dollars`,
      `Write it with a dollar sign, such as $${Number.isFinite(rule) ? rule : '0.006'}.`,
    );
  if (typeof rule !== 'string')
    throw new PriceFormatError('a price is missing', 'Write $0.006 or free.');
  if (rule === 'free') return { kind: 'free' };
  const amount = parseAmount(rule);
  if (amount === 0n)
    throw new PriceFormatError(
      `"${rule}" costs nothing`,
      'Write free: such a route needs no payment and no store.',
    );
  return { kind: 'flat', amount };
}

/** Writes a price as the config does. */
export function formatPrice(price: Price): string {
  return price.kind === 'free' ? 'free' : formatUsd(price.amount);
}

function parseAmount(text: string): bigint {
  try {
    return parseUsd(text);
  } catch (error) {
    if (!(error instanceof MoneyFormatError)) throw error;
    throw new PriceFormatError(
      error.message,
      'Write dollars with at most six decimals, such as $0.006, or free.',
    );
  }
}
