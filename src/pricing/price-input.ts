/** A price as it is written in the config, for programs that write it. */

/** `free`, or money per call such as `$0.006`, `15 sat` or `0.01 EURC`. */
export type PriceText = string;

export type PriceInput = PriceText | PriceRuleInput;

/** One of `per`, `tiers`, `by`, `costPlus` and `service`, and what applies to it. */
export interface PriceRuleInput {
  readonly per?: RatesInput;
  readonly tiers?: Readonly<Record<string, Readonly<Record<string, PriceText | TierInput>>>>;
  readonly by?: Readonly<Record<string, Readonly<Record<string, PriceInput>>>>;
  readonly costPlus?: { readonly markup: string };
  readonly service?: { readonly url: string; readonly timeout?: string };
  readonly freeUnits?: Readonly<Record<string, number | string>>;
  readonly min?: string;
  readonly max?: string;
  readonly schedule?: readonly ScheduleInput[];
  readonly surge?: readonly { readonly aboveLoad: string; readonly factor: number | string }[];
  readonly volume?: readonly DiscountInput[];
  readonly balance?: readonly DiscountInput[];
}

/** Rates by unit: `{ inputToken: $0.15/1M }`. */
export type RatesInput = Readonly<Record<string, string>>;

interface TierInput {
  readonly per: RatesInput;
}

interface ScheduleInput {
  readonly days?: string;
  readonly from?: string;
  readonly to?: string;
  readonly zone?: string;
  readonly factor: number | string;
}

interface DiscountInput {
  readonly above: string;
  readonly off: string;
}
