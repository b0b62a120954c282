/**
 * The ledger: the only writer of money. Every method is one durable transaction of its own; when it
 * has answered, what it did survives a crash. Outcomes are named, never booleans.
 *
 * Every method may reject with StoreUnavailable (the store is down or its queue is full).
 */

import type { Payment, PaymentClaim, PaymentState, RailName, StoredAnswer } from '../payment.ts';
import type { UsageLine } from '../usage.ts';
import type { SettledBlock, SettledFact, SettlementJob, StoredJob } from './settlement.ts';
import type { RouteDay, ShadowDay } from './usage-days.ts';

/** A prepaid API key as stored: the secret itself is never kept, only its SHA-256. */
export interface ApiKey {
  readonly id: string;
  /** Visible start of the key, such as `cs_live_7Yk…`. */
  readonly prefix: string;
  readonly mode: Mode;
  /** USD atoms available to spend. */
  readonly balance: bigint;
  /** USD atoms per UTC day, or null for no cap. */
  readonly perDay: bigint | null;
  /** Route ids that the key may use, or null for all. */
  readonly routes: readonly string[] | null;
  readonly name: string | null;
  readonly createdAtMs: number;
  readonly revokedAtMs: number | null;
}

/** Test money and live money never share a ledger. */
export type Mode = 'test' | 'live';

export interface Entry {
  readonly id: number;
  readonly transactionId: number;
  readonly kind: string;
  readonly paymentId: string | null;
  readonly account: string;
  readonly asset: string;
  /** Atoms; the entries of one transaction sum to zero per asset. */
  readonly amount: bigint;
  readonly createdAtMs: number;
}

export interface AccountBalance {
  readonly account: string;
  readonly asset: string;
  readonly balance: bigint;
}

/** One difference that the audit found, in words and numbers. */
export interface Difference {
  readonly kind: string;
  readonly subject: string;
  readonly expected: string;
  readonly found: string;
}

export type PrepaidHold =
  | { readonly outcome: 'held'; readonly payment: Payment; readonly balance: bigint }
  | { readonly outcome: 'exists'; readonly payment: Payment }
  | { readonly outcome: 'unknown_key' }
  | { readonly outcome: 'route_forbidden' }
  | { readonly outcome: 'insufficient'; readonly balance: bigint }
  | { readonly outcome: 'cap_reached'; readonly perDay: bigint };

export type FreeHold =
  | { readonly outcome: 'held'; readonly payment: Payment; readonly remaining: number }
  | { readonly outcome: 'exhausted'; readonly by: 'payer' | 'total' }
  | { readonly outcome: 'unknown_key' };

export type ClaimOutcome =
  | { readonly outcome: 'claimed'; readonly payment: Payment }
  | { readonly outcome: 'exists'; readonly payment: Payment };

export type ExposureHold =
  | { readonly outcome: 'held'; readonly payment: Payment }
  /** The wallet's balance minus all its open amounts does not cover the payment. */
  | { readonly outcome: 'insufficient'; readonly open: bigint }
  /** An earlier payment of this wallet failed to settle and is unpaid. */
  | { readonly outcome: 'barred'; readonly paymentId: string }
  | { readonly outcome: 'not_claimed' };

/** A transition found the payment in another state or with another owner: somebody else finished it. */
export type Transition =
  | { readonly outcome: 'done'; readonly payment: Payment }
  | { readonly outcome: 'lost'; readonly payment: Payment | null };

export interface Capture {
  readonly paymentId: string;
  readonly owner: string;
  /** Atoms of the payment's asset, at most its `max`. */
  readonly amount: bigint;
  /** USD atoms, at most its `quoteMax`. */
  readonly cost: bigint;
  readonly usage: readonly UsageLine[];
  readonly answer: StoredAnswer | null;
  /** Null where no outside money moves: captured and settled are then one. */
  readonly job: SettlementJob | null;
  /** True when the answer is not kept and leaves only now: until `delivered`, a crash makes the payment refund_due. */
  readonly delivering?: boolean;
}

export interface FreeQuota {
  /** `ip:2001:db8::/64` or `key:key_…`. */
  readonly scope: string;
  readonly day: string;
  readonly perDay: number;
  /** USD atoms that all free calls of a day may be worth together; null for no ceiling. */
  readonly totalPerDay: bigint | null;
}

export interface PaymentFilter {
  readonly limit: number;
  readonly state?: PaymentState;
  readonly rail?: RailName;
  readonly payer?: string;
  readonly sinceMs?: number;
}

export interface Ledger {
  /** Claims, checks and holds in one: the key, its routes, its daily cap and its balance. */
  holdPrepaid(hold: {
    readonly claim: PaymentClaim;
    readonly keyId: string;
    readonly secretHash: string;
    readonly day: string;
  }): Promise<PrepaidHold>;
  /** Claims and takes one of the quota in one; with `key`, only if that key is known and not revoked. */
  holdFree(hold: {
    readonly claim: PaymentClaim;
    readonly quota: FreeQuota;
    readonly key: { readonly id: string; readonly secretHash: string } | null;
  }): Promise<FreeHold>;
  /** How many free calls are left; takes none. */
  freeRemaining(quota: FreeQuota): Promise<number>;

  /** Inserts the credential's key under its unique constraint. */
  claim(claim: PaymentClaim): Promise<ClaimOutcome>;
  /** Gives a provisional claim its final key once the credential is authentic; `exists` when that key is taken. */
  promoteClaim(paymentId: string, credentialKey: string): Promise<ClaimOutcome>;
  /** Deletes a claim that never ran and never reached anybody; with its job, if it was to be shown. */
  abandonClaim(paymentId: string): Promise<void>;
  /** Stores, before a remote facilitator is shown a claim, what it is shown and to whom: it could settle it at any time. */
  showClaim(show: {
    readonly paymentId: string;
    readonly owner: string;
    readonly job: SettlementJob;
  }): Promise<Transition>;
  /** The facilitator said nothing: the claim waits until the same credential comes again. */
  parkClaim(paymentId: string, owner: string): Promise<Transition>;
  /** Takes a waiting claim over, to show it to the same facilitator again; `lost` for all callers but one. */
  resumeClaim(resume: {
    readonly paymentId: string;
    readonly owner: string;
    readonly expiresAtMs: number;
  }): Promise<Transition>;
  /** Jobs of shown claims that wait, or ended without capture: whoever saw them may settle them all the same. */
  shownJobs(): Promise<StoredJob[]>;
  /** The authorization of a shown claim that ended can't be used any more: its job is deleted. */
  closeShown(paymentId: string): Promise<void>;
  /**
   * Holds a claimed wallet payment: atomically checks `balance` (as of `block`) minus every open amount of
   * the wallet and asset, counting as open what settled after that block.
   */
  holdExposure(hold: {
    readonly paymentId: string;
    readonly owner: string;
    readonly balance: bigint;
    readonly block: bigint;
  }): Promise<ExposureHold>;

  capture(capture: Capture): Promise<Transition>;
  /** An answer that was captured as `delivering` has reached its end, or its reader left it. */
  delivered(paymentId: string, owner: string): Promise<void>;
  /** Gives everything back; a stored answer lets the same credential see the same failure again. */
  release(release: {
    readonly paymentId: string;
    readonly owner: string;
    readonly state: 'released' | 'expired' | 'rejected';
    readonly reason: string;
    readonly answer: StoredAnswer | null;
  }): Promise<Transition>;

  /**
   * Outside money was seen: captured, unknown or failed becomes settled. What had ended without capture, and a
   * failed payment whose answer nobody got, is refund_due.
   */
  settled(fact: SettledFact): Promise<Transition>;
  /** Blocks of a network from `sinceBlock` on in which payments settled, newest first. */
  settledBlocks(network: string, sinceBlock: bigint): Promise<SettledBlock[]>;
  /** A block is no longer on the chain: what settled in it is captured again (refund_due stays so), its entries are reversed. */
  unsettle(network: string, block: SettledBlock): Promise<Payment[]>;
  settlementUnknown(paymentId: string, reason: string): Promise<Transition>;
  /**
   * Asks to hand out an answer whose money is not final: counts it as served when the served and
   * not final costs (USD atoms) of the payer and of the network stay within the limits.
   */
  expose(expose: {
    readonly paymentId: string;
    readonly perPayer: bigint;
    readonly perNetwork: bigint;
  }): Promise<'within' | 'beyond'>;
  /**
   * Definitely not paid and never will be: the capture is reversed; the wallet is barred if the answer was
   * served. `gasNano` is what our own reverted transactions cost, as in SettledFact.
   */
  settlementFailed(paymentId: string, reason: string, gasNano?: bigint): Promise<Transition>;
  /** The operator writes off what was served and never paid: the wallet is no longer barred for it. */
  forgive(paymentId: string): Promise<Transition>;
  /** The work failed after its money moved: captured or settled becomes refund_due, never silently. */
  refundDue(paymentId: string, reason: string): Promise<Transition>;
  /**
   * Stores another signed transaction for an open job of our own key: its first, one with the same sender
   * and nonce (fee bump), or, when the stored one was mined without effect (`spentNonce` is its nonce), one
   * with a later nonce. Rejects with NonceTaken, and with MoneyLawBroken on anything else.
   */
  replaceTransaction(
    paymentId: string,
    transaction: NonNullable<SettlementJob['transaction']>,
    spentNonce?: number,
  ): Promise<void>;

  findPayment(id: string): Promise<Payment | null>;
  findByCredential(credentialKey: string): Promise<Payment | null>;
  findAnswer(paymentId: string): Promise<StoredAnswer | null>;
  listPayments(filter: PaymentFilter): Promise<Payment[]>;
  /**
   * What a payer's charged calls since then came to. Looks at `limit` payments after `after` (null: from the start),
   * so that nobody waits for long behind it; `next` is where to go on, null at the end.
   */
  usageOf(filter: {
    readonly payer: string;
    readonly sinceMs: number;
    readonly after: number | null;
    readonly limit: number;
  }): Promise<{ readonly days: readonly RouteDay[]; readonly next: number | null }>;
  /** Adds to what was counted of shadow routes. */
  addShadow(days: readonly ShadowDay[]): Promise<void>;
  /** What was counted from that UTC day on, oldest first. */
  shadowDays(sinceDay: string): Promise<ShadowDay[]>;
  findJob(paymentId: string): Promise<StoredJob | null>;
  /** Jobs whose payment is captured or settlement_unknown, oldest first. */
  openJobs(): Promise<StoredJob[]>;
  /** The next nonce never used in a stored transaction of this sender, or null if there is none. */
  nextNonce(network: string, sender: string): Promise<number | null>;

  createKey(key: {
    readonly id: string;
    readonly prefix: string;
    readonly secretHash: string;
    readonly mode: Mode;
    readonly perDay: bigint | null;
    readonly routes: readonly string[] | null;
    readonly name: string | null;
    /** USD atoms that the operator gives at once. */
    readonly topUp: bigint;
    readonly nowMs: number;
  }): Promise<ApiKey>;
  findKey(id: string): Promise<ApiKey | null>;
  /** The key if the secret's hash is right (compared in constant time) and it is not revoked. */
  authenticateKey(id: string, secretHash: string): Promise<ApiKey | null>;
  listKeys(): Promise<ApiKey[]>;
  /** New secret, same balance; the old secret stops working at once. */
  rotateKey(id: string, prefix: string, secretHash: string): Promise<ApiKey | null>;
  revokeKey(id: string, nowMs: number): Promise<ApiKey | null>;
  topUpKey(id: string, amount: bigint, source: string, nowMs: number): Promise<ApiKey | null>;

  balances(): Promise<AccountBalance[]>;
  entries(filter: {
    readonly limit: number;
    readonly paymentId?: string;
    readonly account?: string;
  }): Promise<Entry[]>;
  /** Recomputes every balance, hold and quota from the entries and names each difference. */
  audit(): Promise<Difference[]>;

  /** Renews this process's lease. */
  heartbeat(owner: string, leaseUntilMs: number): Promise<void>;
  /** Open payments whose owner's lease has lapsed; they become ours. An answer that was being delivered becomes refund_due. */
  takeLapsed(owner: string, nowMs: number): Promise<Payment[]>;
  /** Payments of this process that are claimed, held or running and should have ended by then. */
  overdue(owner: string, expiredBeforeMs: number): Promise<Payment[]>;
  /** Deletes answers older than their time to live. Returns how many. */
  forgetAnswers(olderThanMs: number): Promise<number>;

  /** A secret that all processes on this database share; made once. */
  sharedSecret(name: string, candidate: string): Promise<string>;
  /** Marks a new database as test or live; afterwards tells what it is. */
  stampMode(mode: Mode): Promise<Mode>;
  close(): Promise<void>;
}
