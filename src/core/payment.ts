/** The durable record of one paid request, from claim to its end. */

import type { UsageLine } from './usage.ts';

export type RailName = 'free' | 'prepaid' | 'x402' | 'l402' | 'mpp' | 'transfer';

/**
 * `claimed → held → running → captured → settled` is the way of a good request; the others are exits.
 * Where no outside money moves, captured and settled are written together.
 */
export type PaymentState =
  | 'claimed'
  | 'held'
  | 'running'
  | 'captured'
  | 'settled'
  | 'rejected'
  | 'released'
  | 'expired'
  | 'settlement_unknown'
  | 'settlement_failed'
  | 'refund_due'
  | 'refunded';

/** States in which nothing more will happen by itself. */
export const FINAL_STATES: ReadonlySet<PaymentState> = new Set<PaymentState>([
  'settled',
  'rejected',
  'released',
  'expired',
  'settlement_failed',
  'refund_due',
  'refunded',
]);

export interface Payment {
  readonly id: string;
  readonly state: PaymentState;
  readonly rail: RailName;
  readonly route: string;
  /** `key:key_…`, `wallet:eip155:8453:0x…` (lower case) or `ip:203.0.113.7`. */
  readonly payer: string;
  /** CAIP-2 network of the outside money; null where none moves. */
  readonly network: string | null;
  /** Asset id of `max` and `amount`. */
  readonly asset: string;
  /** Atoms of `asset` held at most. */
  readonly max: bigint;
  /** Atoms of `asset` captured; 0 until then. */
  readonly amount: bigint;
  /** The same in USD atoms, for receipts. */
  readonly quoteMax: bigint;
  readonly cost: bigint;
  readonly usage: readonly UsageLine[];
  /** Unique: what makes this credential the same credential. */
  readonly credentialKey: string;
  /** SHA-256 (hex) of the credential's exact bytes. */
  readonly credentialHash: string;
  /** SHA-256 (hex) of method, matched path, raw query, content type and body. */
  readonly digest: string;
  readonly owner: string;
  /** Transaction on `network` that moved the money. */
  readonly transaction: string | null;
  /** Why it was released, rejected or failed. */
  readonly reason: string | null;
  /** Whether the answer may be replayed to the same credential, or only fetched by payment id. */
  readonly replay: 'always' | 'until-broadcast';
  readonly createdAtMs: number;
  readonly updatedAtMs: number;
  /** A hold that is not captured by then is given back. */
  readonly expiresAtMs: number;
}

/** What is written first: everything that is known when the credential is claimed. */
export type PaymentClaim = Pick<
  Payment,
  | 'id'
  | 'rail'
  | 'route'
  | 'payer'
  | 'network'
  | 'asset'
  | 'max'
  | 'quoteMax'
  | 'credentialKey'
  | 'credentialHash'
  | 'digest'
  | 'owner'
  | 'replay'
  | 'createdAtMs'
  | 'expiresAtMs'
>;

/** Bytes of an answer, headers as JSON included, beyond which it is never kept. */
export const STORED_ANSWER_BYTES_MAX = 1_048_576;

/** An upstream's answer, kept so that the same credential can fetch it again. */
export interface StoredAnswer {
  readonly status: number;
  readonly headers: readonly string[];
  readonly body: Uint8Array;
}
