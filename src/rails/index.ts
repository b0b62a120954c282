/** The list of rails. A new rail is one folder and one line here. */

import type { Clock } from '../core/clock.ts';
import type { Random } from '../core/id.ts';
import type { Log } from '../core/log.ts';
import type { RailName } from '../core/payment.ts';
import type { Ledger } from '../core/ports/ledger.ts';
import type { Rail } from '../core/ports/rail.ts';
import type { Route } from '../core/route.ts';
import type { FreeConfig } from './free/config.ts';
import { createFreeRail } from './free/server.ts';
import type { PrepaidConfig } from './prepaid/config.ts';
import { createPrepaidRail, readApiKey } from './prepaid/server.ts';
import type { X402Config } from './x402/config.ts';
import { createX402Rail } from './x402/server.ts';

export interface RailsOptions {
  readonly payments: {
    readonly order: readonly RailName[];
    readonly free: FreeConfig | null;
    readonly prepaid: PrepaidConfig | null;
    readonly x402: X402Config | null;
  };
  readonly confirmations: number | Readonly<Record<string, number>>;
  /** How long an answer waits for its settlement before it counts as unknown. */
  readonly settleMs: number;
  /** Time beyond the route's own after which a forgotten hold is given back. */
  readonly marginMs: number;
  readonly verifyQuote: (id: string, route: Route, nowMs: number) => 'ok' | 'expired' | 'unknown';
  readonly ledger: Ledger;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}

/** The configured rails in the order in which a request tries them. */
export function createRails(options: RailsOptions): Rail[] {
  const { free, prepaid, x402 } = options.payments;
  const make: Partial<Record<RailName, () => Rail>> = {
    ...(free && { free: () => createFreeRail({ ...options, ...free, readKey: readApiKey }) }),
    ...(prepaid && { prepaid: () => createPrepaidRail(options) }),
    ...(x402 && { x402: () => createX402Rail({ ...options, config: x402 }) }),
  };
  const order = [...options.payments.order];
  // A quota per key is spent before that key's balance.
  if (free?.per === 'key') order.sort((a, b) => Number(b === 'free') - Number(a === 'free'));
  return order.flatMap((name) => make[name]?.() ?? []);
}
