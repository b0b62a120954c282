/** What the steps of the rail share. */

import type { Hex } from '../../chains/evm/sign.ts';
import type { Clock } from '../../core/clock.ts';
import type { Random } from '../../core/id.ts';
import type { Log } from '../../core/log.ts';
import type { Payment } from '../../core/payment.ts';
import type { Ledger } from '../../core/ports/ledger.ts';
import type { Route } from '../../core/route.ts';
import type { Deadlines } from './deadlines.ts';
import type { FacilitatorClient } from './facilitator.ts';
import type { X402Network } from './network.ts';
import type { Sponsoring } from './sponsoring.ts';
import type { Transfer } from './transfer.ts';

export type VerifyQuote = (
  id: string,
  route: Route,
  nowMs: number,
) => 'ok' | 'expired' | 'unknown' | 'other_route';

export interface X402Parts {
  /** By CAIP-2 id, in the order of the config. */
  readonly networks: ReadonlyMap<string, X402Network>;
  readonly ledger: Ledger;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly verifyQuote: VerifyQuote;
  readonly deadlines: Deadlines;
  readonly facilitators: FacilitatorClient;
  /** Authorized payments by id, until their capture: what settles them is only in memory. */
  readonly authorized: Map<string, AuthorizedTransfer>;
  /** What was tried for open settlements, by payment id; lost with the process, and only pace depends on it. */
  readonly efforts: Map<string, Effort>;
  /** Claims whose end could not be written, by payment id, and how to write it. */
  readonly orphans: Map<string, (payment: Payment) => Promise<unknown>>;
  /** Whose first permit is paid for; null when nobody's. */
  readonly sponsoring: Sponsoring | null;
  /** Aborts when the gateway closes. */
  readonly closing: AbortSignal;
  /** How long an answer waits for its settlement. */
  readonly settleMs: number;
  /** How long one later look at an open settlement takes at most. */
  readonly resolveMs: number;
  /** A transaction that waits this long gets higher fees. */
  readonly bumpAfterMs: number;
  /** Time beyond the route's own after which a forgotten hold is given back. */
  readonly marginMs: number;
}

/** A verified payment, ready to be settled. */
export interface AuthorizedTransfer {
  readonly network: X402Network;
  readonly transfer: Transfer;
  /** A block in which the authorization was unused. */
  readonly fromBlock: bigint;
  /** The one facilitator that may see it; null when our own key settles. */
  readonly facilitator: { readonly url: string; readonly request: string } | null;
  /** The hold is gone by then, and this record with it. */
  readonly expiresAtMs: number;
}

/** How often and when an open settlement was pushed on. */
export interface Effort {
  pushes: number;
  nextPushAtMs: number;
  /** How often the fees of its transaction were raised, and when it was last signed. */
  bumps: number;
  signedAtMs: number;
  /** Own transactions that others with higher fees replaced: one of them may have been mined. */
  readonly replaced: Set<Hex>;
  /** Gas of own transactions that reverted, in 10^-9 of the coin, by their hash. */
  readonly wastedGasNano: Map<Hex, bigint>;
}

/** Gas that one settlement may use; contract wallets decide how dear their signature check is. */
export const GAS_LIMIT_MAX = 400_000n;
