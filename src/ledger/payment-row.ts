/** Payments as rows: how one is written, found and read. */

import { USD } from '../core/money.ts';
import type { Payment, PaymentClaim, PaymentState, RailName } from '../core/payment.ts';
import type { UsageLine } from '../core/usage.ts';
import type { Awaitable, Transaction, Values } from '../storage/transaction.ts';
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
  credentialKey: string | null,
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
    credentialKey: credentialKey ?? ownKey(rail, id),
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

const SELECT_BY_ID = `SELECT ${COLUMNS} FROM payment WHERE id = ?`;
const SELECT_BY_CREDENTIAL = `SELECT ${COLUMNS} FROM payment WHERE credential_key = ?`;

export async function selectPayment(tx: Transaction, id: string): Promise<PaymentRow | null> {
  const values = await tx.values(SELECT_BY_ID, [id]);
  return values === undefined ? null : readPaymentRow(values);
}

/**
 * The key of a request that is a credential of its own: made of its payment's id, it is unique because that
 * is, so that it is not stored and no second index is kept of it.
 */
function ownKey(rail: RailName, id: string): string {
  return `${rail}:${id}`;
}

function isOwnKey({ credentialKey, rail, id }: PaymentClaim): boolean {
  // The same as being equal to `ownKey`, without making one for each request.
  return (
    credentialKey.length === rail.length + 1 + id.length &&
    credentialKey.startsWith(rail) &&
    credentialKey[rail.length] === ':' &&
    credentialKey.endsWith(id)
  );
}

const OWN_KEY = /^[a-z0-9]+:pay_[^:]*$/;

/** Throws MoneyLawBroken where the key is that of a payment's own request: nobody else may claim it. */
export function assertShareable(credentialKey: string): void {
  if (OWN_KEY.test(credentialKey))
    throw new MoneyLawBroken(`The credential ${credentialKey} is that of another payment`);
}

export async function selectByCredential(
  tx: Transaction,
  credentialKey: string,
): Promise<PaymentRow | null> {
  const values = await tx.values(SELECT_BY_CREDENTIAL, [credentialKey]);
  if (values !== undefined) return readPaymentRow(values);
  const own = await selectPayment(tx, credentialKey.slice(credentialKey.indexOf(':') + 1));
  return own?.payment.credentialKey === credentialKey ? own : null;
}

export interface NewPayment {
  readonly claim: PaymentClaim;
  readonly state: 'claimed' | 'running';
  readonly day: string | null;
  readonly quotaScope: string | null;
}

/** Inserts a payment unless its credential was used before; returns its row number, or null then. */
export function insertPayment(tx: Transaction, fresh: NewPayment): Awaitable<bigint | null> {
  const { claim } = fresh;
  assertAtoms('The maximum', claim.max);
  assertAtoms('The maximum in USD', claim.quoteMax);
  if (isPlainPrepaid(fresh))
    return tx.insert(INSERT_PLAIN_PREPAID, [
      ...[claim.id, claim.route, claim.payer, claim.max, claim.quoteMax],
      ...[claim.credentialHash, claim.digest, claim.owner],
      ...[claim.createdAtMs, claim.createdAtMs, claim.expiresAtMs],
    ]);
  const isOwn = isOwnKey(claim);
  if (!isOwn) assertShareable(claim.credentialKey);
  return tx.insert(isOwn ? INSERT_OWN : INSERT_CLAIMED, [
    ...[claim.id, fresh.state, claim.rail, claim.route, claim.payer, claim.network, claim.asset],
    ...[claim.max, claim.quoteMax, claim.credentialHash, claim.digest, claim.owner],
    ...[claim.replay, fresh.day, fresh.quotaScope],
    ...[claim.createdAtMs, claim.createdAtMs, claim.expiresAtMs],
    ...(isOwn ? [] : [claim.credentialKey]),
  ]);
}

/** A call by API key as most are: what all of these have in common is in the statement, because each value costs. */
function isPlainPrepaid({ claim, state, day, quotaScope }: NewPayment): boolean {
  return (
    claim.rail === 'prepaid' &&
    state === 'running' &&
    claim.network === null &&
    claim.asset === USD.id &&
    claim.replay === 'always' &&
    day === null &&
    quotaScope === null &&
    isOwnKey(claim)
  );
}

const INSERT_PLAIN_PREPAID = `INSERT INTO payment (id, state, rail, route, payer, asset, amount_max,
    cost_max, credential_hash, digest, owner, replay, created_at_ms, updated_at_ms, expires_at_ms)
  VALUES (?, 'running', 'prepaid', ?, ?, '${USD.id}', ?, ?, ?, ?, ?, 'always', ?, ?, ?)
  ON CONFLICT (id) DO NOTHING`;
const INSERTED = `id, state, rail, route, payer, network, asset, amount_max, cost_max, credential_hash,
  digest, owner, replay, day, quota_scope, created_at_ms, updated_at_ms, expires_at_ms`;
const INSERT_OWN = `INSERT INTO payment (${INSERTED})
  VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
  ON CONFLICT (id) DO NOTHING`;
const INSERT_CLAIMED = `INSERT INTO payment (${INSERTED}, credential_key)
  VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
  ON CONFLICT (credential_key) WHERE credential_key IS NOT NULL DO NOTHING`;

/** The payment that `insertPayment` has written. */
export function paymentOf({ claim, state }: Pick<NewPayment, 'claim' | 'state'>): Payment {
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
