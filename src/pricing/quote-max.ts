import type { Price } from '../core/route.ts';

/** The most that one request may cost under this price, in USD atoms. */
export function quoteMax(price: Price): bigint {
  switch (price.kind) {
    case 'free':
      return 0n;
    case 'flat':
      return price.amount;
  }
}
