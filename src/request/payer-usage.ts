/** What a payer's charged calls came to, added up page by page and kept for some seconds. */

import type { Ledger } from '../core/ports/ledger.ts';
import type { RouteDay } from '../core/ports/usage-days.ts';

/** So many payments are looked at in one go; others' money waits no longer behind it. */
const PAGE = 5_000;
/** More than this are forgotten together. */
const KEPT_MAX = 10_000;

interface Kept {
  readonly atMs: number;
  readonly days: Promise<readonly RouteDay[]>;
}

const kept = new WeakMap<Ledger, Map<string, Kept>>();

/** At most `freshMs` old: adding up anew costs more the more was used. Whoever asks meanwhile shares the answer. */
export async function payerUsage(
  ledger: Ledger,
  asked: { readonly payer: string; readonly sinceMs: number },
  nowMs: number,
  freshMs: number,
): Promise<readonly RouteDay[]> {
  const known = kept.get(ledger) ?? new Map<string, Kept>();
  kept.set(ledger, known);
  const name = `${asked.payer} ${asked.sinceMs}`;
  const found = known.get(name);
  if (found && Math.abs(nowMs - found.atMs) < freshMs) return await found.days;
  if (known.size >= KEPT_MAX) known.clear();
  const days = allPages(ledger, asked);
  known.set(name, { atMs: nowMs, days });
  days.catch(() => known.delete(name));
  return await days;
}

async function allPages(
  ledger: Ledger,
  asked: { readonly payer: string; readonly sinceMs: number },
): Promise<RouteDay[]> {
  const days = new Map<string, RouteDay>();
  let after: number | null = null;
  do {
    const page = await ledger.usageOf({ ...asked, after, limit: PAGE });
    for (const one of page.days) {
      const name = `${one.day} ${one.route}`;
      const { calls = 0, cost = 0n } = days.get(name) ?? {};
      days.set(name, { ...one, calls: one.calls + calls, cost: one.cost + cost });
    }
    after = page.next;
  } while (after !== null);
  return [...days.values()];
}
