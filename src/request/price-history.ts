/** Price rules that were shown and may still be paid: after a reload, and for v1 wallets, which echo no quote. */

import type { Price } from '../core/price.ts';
import type { Route } from '../core/route.ts';
import type { PriceTerms } from '../pricing/price-terms.ts';

/** A price rule of a route, by its version. */
export interface PriceRule {
  readonly version: string;
  readonly price: Price;
}

/** A rule as it stood in a 402. */
export interface ShownRule extends PriceRule {
  readonly terms: PriceTerms;
}

/** Offers of one route that differ; a price that moves faster than this is remembered by its newest ones. */
const SHOWN_MAX = 64;
const MINUTE_MS = 60_000;

export class PriceHistory {
  readonly #keepMs: number;
  readonly #retired = new Map<string, (PriceRule & { readonly untilMs: number })[]>();
  readonly #shown = new Map<string, ShownRule[]>();

  /** `keepMs`: how long an offer may be paid after it was shown. */
  constructor(keepMs: number) {
    this.#keepMs = keepMs;
  }

  /** The present rule of a route, and those of the past that quotes may still name. */
  rulesOf({ id, priceVersion: version, price }: Route, nowMs: number): readonly PriceRule[] {
    const retired = this.#retired.get(id);
    if (retired === undefined) return [{ version, price }];
    return [{ version, price }, ...retired.filter(({ untilMs }) => nowMs <= untilMs)];
  }

  /** Rules that a reload replaces. */
  retire(routes: readonly Route[], nowMs: number): void {
    const untilMs = nowMs + this.#keepMs;
    for (const { id, priceVersion: version, price } of routes) {
      const others = (this.#retired.get(id) ?? []).filter(
        (one) => one.untilMs >= nowMs && one.version !== version,
      );
      this.#retired.set(id, [{ version, price, untilMs }, ...others]);
    }
  }

  /** Remembers what a 402 showed, once a minute for each load. A flat price needs only its rule. */
  shown({ id, priceVersion: version, price }: Route, terms: PriceTerms): void {
    if (price.kind === 'flat') return;
    const list = this.#shown.get(id) ?? [];
    const last = list[0];
    const isSame =
      last?.version === version &&
      last.terms.load === terms.load &&
      last.terms.rates === terms.rates &&
      terms.atMs - last.terms.atMs < MINUTE_MS;
    if (isSame) return;
    this.#shown.set(id, [{ version, price, terms }, ...list].slice(0, SHOWN_MAX));
  }

  /** What may have been shown and is not too old, newest first. */
  shownOf(route: Route, now: PriceTerms): readonly ShownRule[] {
    const { atMs } = now;
    const shown = (this.#shown.get(route.id) ?? []).filter(
      ({ terms }) => atMs - terms.atMs <= this.#keepMs,
    );
    const rules = this.rulesOf(route, atMs).map((rule) => ({ ...rule, terms: now }));
    return [...rules, ...shown];
  }
}
