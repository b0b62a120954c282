/** What the request line is made of; the composition root fills it in once. */

import type { Clock } from '../core/clock.ts';
import type { Exchange } from '../core/exchange.ts';
import type { Log } from '../core/log.ts';
import type { Payment } from '../core/payment.ts';
import type { Dialect } from '../core/ports/dialect.ts';
import type { ApiKey, Ledger } from '../core/ports/ledger.ts';
import type { Rail } from '../core/ports/rail.ts';
import type { Upstream } from '../core/ports/upstream.ts';
import type { Route } from '../core/route.ts';
import type { Measured, Work } from '../core/work.ts';
import type { InFlight } from './in-flight.ts';
import type { MatchRoute } from './match-route.ts';
import type { Quotes } from './quote-price.ts';
import type { RateLimits } from './rate-limits.ts';
import type { Running } from './running.ts';
import type { ServicePrices } from './service-prices.ts';
import type { ShadowCounts } from './shadow-counts.ts';

/** Ends a payment as it stands now; doing so twice changes nothing. */
export type EndPayment = (payment: Payment) => Promise<unknown>;

export interface RequestParts {
  readonly matchRoute: MatchRoute;
  readonly quotes: Quotes;
  /** How requests and answers of a metered route are read. */
  readonly dialectOf: (route: Route, path: string) => Dialect;
  /** In the order in which they are tried. */
  readonly rails: readonly Rail[];
  readonly upstreams: ReadonlyMap<string, Upstream>;
  readonly ledger: Ledger;
  readonly rateLimits: RateLimits;
  readonly inFlight: InFlight;
  readonly running: Running;
  readonly clock: Clock;
  readonly log: Log;
  /** Owner of the payments made here: this process. */
  readonly owner: string;
  /** Headers of a client that never reach an upstream, in lower case. */
  readonly withheldHeaders: ReadonlySet<string>;
  /** The same, and those that would keep a meter from reading the answer. */
  readonly withheldFromMeters: ReadonlySet<string>;
  readonly limits: {
    readonly bodyBytes: number;
    /** Answers up to this size are withheld until their money moved. */
    readonly bufferBytes: number;
    /** Answers up to this size are kept for replay. */
    readonly replayBytes: number;
  };
  /** Web origins whose pages may read our answers; null for all. */
  readonly corsOrigins: ReadonlySet<string> | null;
  readonly exposure: { readonly perPayer: bigint; readonly perNetwork: bigint };
  /** The API key that a request shows, authenticated; null when it shows none. Throws KeyUnknown. */
  readonly keyOf: (exchange: Exchange) => Promise<ApiKey | null>;
  /** What price services named. */
  readonly servicePrices: ServicePrices;
  /** What calls of shadow routes would have come to. */
  readonly shadow: ShadowCounts;
  /** What a call to an upstream cost at list prices, in USD atoms; null where that is not known. */
  readonly listCost: (upstream: string, work: Work, measured: Measured) => bigint | null;
  /** How to end payments whose end could not be written; the settlement worker tries again. */
  readonly orphans: Map<string, EndPayment>;
}
