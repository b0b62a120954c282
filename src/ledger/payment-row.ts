/** Payments as rows: how one is written, found and read. */

import type { Payment, PaymentClaim, PaymentState, RailName } from '../core/payment.ts';
import type { UsageLine } from '../core/usage.ts';
import type { Transaction, Values } from '../storage/transaction.ts';
import { MoneyLawBroken } from './errors.ts';
import { assertAtoms } from './post-entries.ts';

// The conditions of the partial indexes: a query uses the index only if it repeats them word for word.

/** Not finished: some process must end it. */
export const OPEN = `(state = 'running' OR state = 'captured' OR state = 'claimed' OR state = 'held'
  OR state = 'settlement_unknown')`;

const MAY_STILL_PAY = `(state = 'running' OR state = 'captured' OR state = 'held'
  OR state = 'settlement_unknown' OR state = 'refund_due')`;
/** The wallet's money is asked for and was not seen yet. */
export const UNSETTLED = `network IS NOT NULL AND settled_block IS NULL AND ${MAY_STILL_PAY}`;
/** An answer went out and its money was not seen yet. */
export const SERVED_UNSETTLED = `served = 1 AND settled_block IS NULL AND ${MAY_STILL_PAY}`;

/** A payment with what only the ledger knows of it. */
export interface PaymentRow {
  readonly seq: bigint;
  readonly payment: Payment;
  readonly day: string | null;
  readonly quotaScope: string | null;
  readonly settledBlock: bigint | null;
  readonly served: boolean;
}

/** In the order in which `readPaymentRow` takes them. */
export const COLUMNS = `seq, id, state, rail, route, payer, network, asset, amount_max, amount, cost_max,
  cost, usage, credential_key, credential_hash, digest, owner, replay, reason, day, quota_scope,
  chain_transaction, settled_block, served, created_at_ms, updated_at_ms, expires_at_ms`;

type Columns = readonly [
  seq: bigint,
  id: string,
  state: PaymentState,
  rail: RailName,
  route: string,
  payer: string,
  network: string | null,
  asset: string,
  max: bigint,
  amount: bigint,
  quoteMax: bigint,
  cost: bigint,
  usage: string,
  credentialKey: string,
  credentialHash: string,
  digest: string,
  owner: string,
  replay: Payment['replay'],
  reason: string | null,
  day: string | null,
  quotaScope: string | null,
  transaction: string | null,
  settledBlock: bigint | null,
  served: bigint,
  createdAtMs: bigint,
  updatedAtMs: bigint,
  expiresAtMs: bigint,
];

/** By position: to read so many columns by name costs more than to find the row. */
export function readPaymentRow(values: Values): PaymentRow {
  const [
    seq,
    id,
    state,
    rail,
    route,
    payer,
    network,
    asset,
    max,
    amount,
    quoteMax,
    cost,
    usage,
    credentialKey,
    credentialHash,
    digest,
    owner,
    replay,
    reason,
    day,
    quotaScope,
    transaction,
    settledBlock,
    served,
    createdAtMs,
    updatedAtMs,
    expiresAtMs,
  ] = values as unknown as Columns;
  const payment: Payment = {
    id,
    state,
    rail,
    route,
    payer,
    network,
    asset,
    max,
    amount,
    quoteMax,
    cost,
    usage: usage === '[]' ? [] : (JSON.parse(usage) as UsageLine[]),
    credentialKey,
    credentialHash,
    digest,
    owner,
    transaction,
    reason,
    replay,
    createdAtMs: Number(createdAtMs),
    updatedAtMs: Number(updatedAtMs),
    expiresAtMs: Number(expiresAtMs),
  };
  return { seq, payment, day, quotaScope, settledBlock, served: served === 1n };
}

export function readPayment(values: Values): Payment {
  return readPaymentRow(values).payment;
}

export async function selectPayment(tx: Transaction, id: string): Promise<PaymentRow | null> {
  const values = await tx.values(`SELECT ${COLUMNS} FROM payment WHERE id = ?`, [id]);
  return values === undefined ? null : readPaymentRow(values);
}

export async function selectByCredential(
  tx: Transaction,
  credentialKey: string,
): Promise<PaymentRow | null> {
  const values = await tx.values(`SELECT ${COLUMNS} FROM payment WHERE credential_key = ?`, [
    credentialKey,
  ]);
  return values === undefined ? null : readPaymentRow(values);
}

export interface NewPayment {
  readonly claim: PaymentClaim;
  readonly state: 'claimed' | 'running';
  readonly day: string | null;
  readonly quotaScope: string | null;
}

/** Inserts a payment unless its credential was used before; returns its row number, or null then. */
export async function insertPayment(tx: Transaction, fresh: NewPayment): Promise<bigint | null> {
  const { claim } = fresh;
  assertAtoms('The maximum', claim.max);
  assertAtoms('The maximum in USD', claim.quoteMax);
  return await tx.insert(
    `INSERT INTO payment (id, state, rail, route, payer, network, asset, amount_max, cost_max,
       credential_key, credential_hash, digest, owner, replay, day, quota_scope,
       created_at_ms, updated_at_ms, expires_at_ms)
     VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
     ON CONFLICT (credential_key) DO NOTHING`,
    [
      ...[claim.id, fresh.state, claim.rail, claim.route, claim.payer, claim.network, claim.asset],
      ...[claim.max, claim.quoteMax, claim.credentialKey, claim.credentialHash, claim.digest],
      ...[claim.owner, claim.replay, fresh.day, fresh.quotaScope],
      ...[claim.createdAtMs, claim.createdAtMs, claim.expiresAtMs],
    ],
  );
}

/** The payment that `insertPayment` has written. */
export function paymentOf({ claim, state }: NewPayment): Payment {
  return {
    ...claim,
    state,
    amount: 0n,
    cost: 0n,
    usage: [],
    transaction: null,
    reason: null,
    updatedAtMs: claim.createdAtMs,
  };
}

/** The payment whose credential made an insert do nothing. */
export async function existingPayment(tx: Transaction, claim: PaymentClaim): Promise<Payment> {
  const found = await selectByCredential(tx, claim.credentialKey);
  if (found === null) throw new MoneyLawBroken(`The credential of ${claim.id} vanished`);
  return found.payment;
}
