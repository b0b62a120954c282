import { createHash } from 'node:crypto';
import type { Price } from '../core/price.ts';
import { canonicalPrice } from '../pricing/canonical-price.ts';

/** Names a price rule: 16 hex digits of the SHA-256 of its canonical JSON, so that equal rules have equal versions. */
export function priceVersion(price: Price): string {
  return createHash('sha256').update(canonicalPrice(price)).digest('hex').slice(0, 16);
}
