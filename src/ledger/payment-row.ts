/** Payments as rows: how one is written, found and read. */

import type { Payment, PaymentClaim, PaymentState, RailName } from '../core/payment.ts';
import type { UsageLine } from '../core/usage.ts';
import type { Row, Transaction } from '../storage/transaction.ts';
import { MoneyLawBroken } from './errors.ts';
import { assertAtoms } from './post-entries.ts';

// The conditions of the partial indexes: a query uses the index only if it repeats them word for word.

/** Not finished: some process must end it. */
export const OPEN = "state IN ('claimed', 'held', 'running', 'captured', 'settlement_unknown')";
/** The wallet's money is asked for and was not seen yet. */
export const UNSETTLED =
  "network IS NOT NULL AND settled_block IS NULL AND state IN ('held', 'running', 'captured', 'settlement_unknown', 'refund_due')";
/** An answer went out and its money was not seen yet. */
export const SERVED_UNSETTLED =
  "served = 1 AND settled_block IS NULL AND state IN ('held', 'running', 'captured', 'settlement_unknown', 'refund_due')";

/** A payment with what only the ledger knows of it. */
export interface PaymentRow {
  readonly seq: bigint;
  readonly payment: Payment;
  readonly day: string | null;
  readonly quotaScope: string | null;
  readonly settledBlock: bigint | null;
  readonly served: boolean;
}

export const COLUMNS = `seq, id, state, rail, route, payer, network, asset, amount_max, amount, cost_max,
  cost, usage, credential_key, credential_hash, digest, owner, replay, reason, day, quota_scope,
  chain_transaction, settled_block, served, created_at_ms, updated_at_ms, expires_at_ms`;

export function readPayment(row: Row): Payment {
  const usage = row.usage as string;
  return {
    id: row.id as string,
    state: row.state as PaymentState,
    rail: row.rail as RailName,
    route: row.route as string,
    payer: row.payer as string,
    network: row.network as string | null,
    asset: row.asset as string,
    max: row.amount_max as bigint,
    amount: row.amount as bigint,
    quoteMax: row.cost_max as bigint,
    cost: row.cost as bigint,
    usage: usage === '[]' ? [] : (JSON.parse(usage) as UsageLine[]),
    credentialKey: row.credential_key as string,
    credentialHash: row.credential_hash as string,
    digest: row.digest as string,
    owner: row.owner as string,
    transaction: row.chain_transaction as string | null,
    reason: row.reason as string | null,
    replay: row.replay as Payment['replay'],
    createdAtMs: Number(row.created_at_ms),
    updatedAtMs: Number(row.updated_at_ms),
    expiresAtMs: Number(row.expires_at_ms),
  };
}

export function readPaymentRow(row: Row): PaymentRow {
  return {
    seq: row.seq as bigint,
    payment: readPayment(row),
    day: row.day as string | null,
    quotaScope: row.quota_scope as string | null,
    settledBlock: row.settled_block as bigint | null,
    served: row.served === 1n,
  };
}

export async function selectPayment(tx: Transaction, id: string): Promise<PaymentRow | null> {
  const row = await tx.get(`SELECT ${COLUMNS} FROM payment WHERE id = ?`, [id]);
  return row === undefined ? null : readPaymentRow(row);
}

export async function selectByCredential(
  tx: Transaction,
  credentialKey: string,
): Promise<PaymentRow | null> {
  const row = await tx.get(`SELECT ${COLUMNS} FROM payment WHERE credential_key = ?`, [
    credentialKey,
  ]);
  return row === undefined ? null : readPaymentRow(row);
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
