/** Quotes as a gateway at rest makes them: no load, no rates, no reload. */

import { randomBytes } from 'node:crypto';
import { PriceHistory } from '../../src/request/price-history.ts';
import { createQuotes, type Quotes } from '../../src/request/quote-price.ts';

export function testQuotes(secret: string, ttlMs: number, graceMs = 0): Quotes {
  return createQuotes({
    ...{ secret, ttlMs, graceMs, random: randomBytes },
    history: new PriceHistory(ttlMs + graceMs),
    load: () => 0,
    rates: () => ({}),
  });
}
