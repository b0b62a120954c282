/** A price: the rule on a route. It is data; what it comes to for one request is worked out in pricing. */

import type { Ratio } from './ratio.ts';
import type { Units } from './work.ts';

/** Whole units of a currency: 0.006 dollars, 15 sat, 0.5 EURC. Exact, and in lowest terms. */
export interface Money {
  /** `USD`, `sat`, or the symbol of an asset such as `EURC`. */
  readonly currency: string;
  readonly value: Ratio;
}

export type Price =
  | { readonly kind: 'free' }
  /** The same for every call, in USD atoms. */
  | { readonly kind: 'flat'; readonly amount: bigint }
  | MeteredPrice
  | ServicePrice;

/** What was used, times its rates, then factors, discounts, `min` and `max` in this order; rounded up once. */
export interface MeteredPrice {
  readonly kind: 'metered';
  readonly base: PriceBase;
  /** The least that an answered call costs. */
  readonly min: Money | null;
  /** The most that a call costs, whatever was used and whatever factors apply. */
  readonly max: Money | null;
  /** The first window that holds the time of the quote counts. */
  readonly schedule: readonly ScheduleWindow[];
  /** Ascending; the highest step below the load counts. */
  readonly surge: readonly SurgeStep[];
  /** By what the payer has spent this month. Ascending; the highest step below it counts. */
  readonly volume: readonly Discount[];
  /** By the payer's prepaid balance. Ascending; the highest step below it counts. */
  readonly balance: readonly Discount[];
}

export type PriceBase =
  | UnitBase
  | {
      readonly kind: 'by';
      /** `model`, `body.size`, `header.x-tier`. */
      readonly place: string;
      /** The first that matches counts; the last has the pattern `*`. */
      readonly variants: readonly Variant[];
    }
  | {
      readonly kind: 'costPlus';
      /** What list prices are multiplied by: 1.2 for a markup of 20 %. */
      readonly factor: Ratio;
      /** List prices with that factor in them; empty until somebody who knows them fills them in. */
      readonly list: PriceList;
    };

export type UnitBase =
  | { readonly kind: 'per'; readonly rates: readonly UnitRate[]; readonly freeUnits: Units }
  | {
      readonly kind: 'tiers';
      /** The unit that decides, such as `inputTokens`: the whole call is priced by the tier that it falls into. */
      readonly unit: string;
      /** What that unit is at most per call; null where the request decides. */
      readonly unitMax: number | null;
      /** Ascending, none cheaper than the one before it; `upTo` of the last is null. */
      readonly tiers: readonly Tier[];
      readonly freeUnits: Units;
    };

/** One rate of a price. Rates stand in the order of the units' table, own units last by name. */
export interface UnitRate {
  /** Full name as in usage: `inputTokens`. */
  readonly unit: string;
  /** For one of them. */
  readonly rate: Money;
  /** What one call uses at most, where the route declares it; null where only the request can tell. */
  readonly max: number | null;
}

export interface Tier {
  readonly upTo: number | null;
  readonly rates: readonly UnitRate[];
}

export interface Variant {
  /** `gpt-4o*`: a star stands for any characters. */
  readonly patterns: readonly string[];
  /** Null: refuse the request, free of charge. */
  readonly price: Price | null;
}

/** Prices by model; the first whose pattern matches counts. */
export type PriceList = readonly { readonly pattern: string; readonly base: UnitBase }[];

export interface ScheduleWindow {
  /** 0 is Sunday; ascending. A window over midnight belongs to the day on which it starts. */
  readonly days: readonly number[];
  /** Minutes since midnight by the clock of the zone: from, until right before. */
  readonly fromMinute: number;
  readonly toMinute: number;
  /** IANA name such as `Europe/Berlin`. */
  readonly zone: string;
  readonly factor: Ratio;
}

export interface SurgeStep {
  /** Applies above this part of the gateway's capacity, from 0 to 1. */
  readonly aboveLoad: Ratio;
  readonly factor: Ratio;
}

export interface Discount {
  /** Applies above this many USD atoms. */
  readonly above: bigint;
  /** The part that is taken off, from 0 to 1. */
  readonly off: Ratio;
}

/** An HTTP service names the price of each call, never above `max`. */
export interface ServicePrice {
  readonly kind: 'service';
  readonly url: string;
  readonly timeoutMs: number;
  readonly max: Money;
}
