/** What the steps of the rail share. */

import type { SignedTransfer } from '../../chains/evm/contract-calls.ts';
import type { Clock } from '../../core/clock.ts';
import type { Random } from '../../core/id.ts';
import type { Log } from '../../core/log.ts';
import type { Ledger } from '../../core/ports/ledger.ts';
import type { VerifyQuote } from './check-offer.ts';
import type { Deadlines } from './deadlines.ts';
import type { FacilitatorClient } from './facilitator.ts';
import type { X402Network } from './network.ts';

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
  readonly transfer: SignedTransfer;
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
  /** Gas of own transactions that reverted, in 10^-9 of the coin. */
  wastedGasNano: bigint;
}

/** Gas that one settlement may use; contract wallets decide how dear their signature check is. */
export const GAS_LIMIT_MAX = 400_000n;
