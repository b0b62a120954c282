/** What an operator says about the models behind a route, as far as a request alone does not tell. */

import type { RouteUnit } from '../core/route.ts';
import type { Tokenizer } from './tokens.ts';

export interface DialectOptions {
  /** Null: bounds are UTF-8 bytes, and missing usage is counted at four bytes a token. */
  readonly tokenizer: Tokenizer | null;
  /**
   * The most input tokens that the models take. It bounds what a request does not carry itself, such as an
   * earlier response; null: such requests are refused.
   */
  readonly contextTokensMax: number | null;
  /** The most input tokens of one image; null: by the known rules of the model. */
  readonly imageTokensMax: number | null;
  /** The longest audio that is taken, in seconds; null: only formats whose length can be told are. */
  readonly audioSecondsMax: number | null;
  /** Searches of the web that one request may cause; 0: none. */
  readonly webSearchesMax: number;
  /** Which field tells the limit to the upstream where the client names none; null: by the model's name. */
  readonly outputTokensField: 'max_tokens' | 'max_completion_tokens' | null;
  /** False for an upstream that refuses `stream_options`. */
  readonly asksForUsage: boolean;
  /** Fields that are refused for their cost, but that the operator vouches for: `store`, `service_tier`. */
  readonly allow: readonly string[];
  /** Units of the route's own. */
  readonly units: readonly RouteUnit[];
  /** The most compute that one request may use, in milliseconds; null: unknown. */
  readonly computeMsMax: number | null;
  /** Name of a header in lower case that states the compute in milliseconds; null: the upstream's time counts. */
  readonly computeMsHeader: string | null;
  /** Monotonic, on the scale of the `sentAtMs` that a meter is given. */
  readonly nowMs: () => number;
}

export const DIALECT_DEFAULTS: DialectOptions = {
  tokenizer: null,
  contextTokensMax: null,
  imageTokensMax: null,
  audioSecondsMax: null,
  webSearchesMax: 0,
  outputTokensField: null,
  asksForUsage: true,
  allow: [],
  units: [],
  computeMsMax: null,
  computeMsHeader: null,
  nowMs: () => performance.now(),
};
