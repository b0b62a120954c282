/** What is known of a payer, for prices with discounts: what it spent this month, and what it keeps here. */

import { utcDay } from '../core/clock.ts';
import type { Payment } from '../core/payment.ts';
import type { Ledger } from '../core/ports/ledger.ts';
import type { Price } from '../core/price.ts';
import { needsPayerFacts } from '../pricing/needs-payer-facts.ts';
import type { PayerFacts } from '../pricing/price-terms.ts';
import type { RequestParts } from './parts.ts';
import { payerUsage } from './payer-usage.ts';

/** Discounts follow what was spent by this much at most. */
const TODAY_FRESH_MS = 5_000;
/** Days that are over change by late ends of streams only. */
const EARLIER_FRESH_MS = 600_000;

/** Null where the price has no discounts. Never throws: a payer about whom nothing can be read gets none. */
export async function readPayerFacts(
  { ledger, clock, log }: RequestParts,
  price: Price,
  payment: Payment,
): Promise<PayerFacts | null> {
  if (!needsPayerFacts(price)) return null;
  try {
    const [monthSpent, balance] = await Promise.all([
      spentThisMonth(ledger, payment.payer, clock.now()),
      balanceBefore(ledger, payment),
    ]);
    return { monthSpent, balance };
  } catch (error) {
    log.warn({ error, payment: payment.id }, 'a discount could not be looked up');
    return null;
  }
}

async function spentThisMonth(ledger: Ledger, payer: string, nowMs: number): Promise<bigint> {
  const today = utcDay(nowMs);
  const monthMs = Date.parse(`${today.slice(0, 7)}-01T00:00:00Z`);
  const todayMs = Date.parse(`${today}T00:00:00Z`);
  const [month, day] = await Promise.all([
    monthMs === todayMs
      ? []
      : payerUsage(ledger, { payer, sinceMs: monthMs }, nowMs, EARLIER_FRESH_MS),
    payerUsage(ledger, { payer, sinceMs: todayMs }, nowMs, TODAY_FRESH_MS),
  ]);
  const earlier = month.filter((one) => one.day < today);
  return [...earlier, ...day].reduce((sum, one) => sum + one.cost, 0n);
}

/** As it was before this call was held. */
async function balanceBefore(
  ledger: Ledger,
  { payer, rail, max }: Payment,
): Promise<bigint | null> {
  if (!payer.startsWith('key:')) return null;
  const key = await ledger.findKey(payer.slice('key:'.length));
  return key === null ? null : key.balance + (rail === 'prepaid' ? max : 0n);
}
