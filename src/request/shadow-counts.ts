/** What calls of shadow routes would have come to: counted in memory, kept in the ledger every few seconds. */

import { type Clock, utcDay } from '../core/clock.ts';
import type { Log } from '../core/log.ts';
import { formatDecimal, USD } from '../core/money.ts';
import type { Ledger } from '../core/ports/ledger.ts';
import type { ShadowDay } from '../core/ports/usage-days.ts';
import type { Units } from '../core/work.ts';

export interface ShadowCall {
  readonly route: string;
  /** USD atoms that the call would have cost its payer; null where the rule names no price. */
  readonly cost: bigint | null;
  /** USD atoms that it cost the operator at list prices; null where that is not known. */
  readonly listCost: bigint | null;
  readonly units: Units;
}

type Ledgers = Pick<Ledger, 'addShadow'>;

const KEEP_EVERY_MS = 5_000;
const LOG_EVERY_MS = 60_000;
/** The ledger's column ends there. */
const COUNT_MAX = Number.MAX_SAFE_INTEGER;

/** Its timer holds no process open. A crash loses the counts of a few seconds. */
export class ShadowCounts {
  readonly #ledger: Ledgers;
  readonly #clock: Clock;
  readonly #log: Log;
  #days = new Map<string, ShadowDay>();
  /** Since the log was written. */
  #unlogged = new Map<string, ShadowDay>();
  #loggedAtMs: number;
  #timer: NodeJS.Timeout | undefined;
  #keeping: Promise<void> = Promise.resolve();

  constructor(ledger: Ledgers, clock: Clock, log: Log) {
    this.#ledger = ledger;
    this.#clock = clock;
    this.#log = log;
    this.#loggedAtMs = clock.now();
  }

  add(call: ShadowCall): void {
    const one = dayOf(call, utcDay(this.#clock.now()));
    include(this.#days, one);
    include(this.#unlogged, one);
    this.#timer ??= setTimeout(() => void this.keep(), KEEP_EVERY_MS).unref();
  }

  /** Writes what was counted; what can't be written now is kept for the next time. Never rejects. */
  keep(): Promise<void> {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#keeping = this.#keeping.then(() => this.#keep());
    return this.#keeping;
  }

  async close(): Promise<void> {
    await this.keep();
    clearTimeout(this.#timer);
    this.#report();
  }

  async #keep(): Promise<void> {
    const days = this.#days;
    if (days.size === 0) return;
    this.#days = new Map();
    try {
      await this.#ledger.addShadow([...days.values()]);
    } catch (error) {
      for (const one of days.values()) include(this.#days, one);
      this.#timer ??= setTimeout(() => void this.keep(), KEEP_EVERY_MS).unref();
      this.#log.warn({ error }, 'counts of shadow routes could not be written yet');
    }
    if (this.#clock.now() - this.#loggedAtMs >= LOG_EVERY_MS) this.#report();
  }

  #report(): void {
    this.#loggedAtMs = this.#clock.now();
    for (const { route, calls, unpriced, cost, listed } of this.#unlogged.values()) {
      const would = { calls, unpriced, wouldEarn: formatDecimal(cost, USD.decimals) };
      const isUnderpriced = listed.earned < listed.cost;
      const fields = { route, ...would, listCost: formatDecimal(listed.cost, USD.decimals) };
      if (isUnderpriced) this.#log.warn(fields, 'a shadow route is priced below its list prices');
      else this.#log.info(fields, 'calls of a shadow route');
    }
    this.#unlogged = new Map();
  }
}

function dayOf({ route, cost, listCost, units }: ShadowCall, day: string): ShadowDay {
  const isListed = cost !== null && listCost !== null;
  return {
    ...{ day, route, calls: 1, unpriced: cost === null ? 1 : 0, cost: cost ?? 0n, units },
    listed: isListed
      ? { calls: 1, earned: cost, cost: listCost }
      : { calls: 0, earned: 0n, cost: 0n },
  };
}

function include(days: Map<string, ShadowDay>, one: ShadowDay): void {
  const name = `${one.day} ${one.route}`;
  const known = days.get(name);
  days.set(name, known === undefined ? one : added(known, one));
}

function added(a: ShadowDay, b: ShadowDay): ShadowDay {
  const units: Record<string, number> = { ...a.units };
  for (const [unit, count] of Object.entries(b.units))
    units[unit] = Math.min(COUNT_MAX, (units[unit] ?? 0) + count);
  return {
    ...{ day: a.day, route: a.route, units },
    calls: a.calls + b.calls,
    unpriced: a.unpriced + b.unpriced,
    cost: a.cost + b.cost,
    listed: {
      calls: a.listed.calls + b.listed.calls,
      earned: a.listed.earned + b.listed.earned,
      cost: a.listed.cost + b.listed.cost,
    },
  };
}
