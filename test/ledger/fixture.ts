/** What the ledger's tests share: engines, throw-away databases, and short ways to make claims. */

import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { newTimedId } from '../../src/core/id.ts';
import type { PaymentClaim } from '../../src/core/payment.ts';
import type { Capture, Ledger } from '../../src/core/ports/ledger.ts';
import type { SettlementJob } from '../../src/core/ports/settlement.ts';
import { CommitQueue } from '../../src/ledger/commit-queue.ts';
import { ledgerOverQueue } from '../../src/ledger/ledger-over-queue.ts';
import { openLedger } from '../../src/ledger/open-ledger.ts';
import { batchesOn } from '../../src/ledger/run-batch.ts';
import { openSqlite } from '../../src/storage/sqlite/open-sqlite.ts';
import type { Database } from '../../src/storage/transaction.ts';

export interface Engine {
  readonly name: string;
  /** The URL of a fresh database that is removed when the test ends. */
  freshUrl(t: TestContext): string;
}

/** Every ledger test runs on every engine. */
export const engines: readonly Engine[] = [
  { name: 'sqlite', freshUrl: (t) => `sqlite:${join(freshFolder(t), 'ledger.db')}` },
];

export function freshFolder(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'coinslot-ledger-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

export interface OpenOptions {
  readonly url: string;
  readonly exclusive?: boolean;
  readonly nowMs?: () => number;
  readonly waitingMax?: number;
  readonly busyTimeoutMs?: number;
  readonly onFatal?: (error: Error) => void;
}

/** Opens a ledger that is closed, if it is still open, when the test ends. */
export async function open(t: TestContext, options: OpenOptions): Promise<Ledger> {
  const { url, waitingMax, busyTimeoutMs } = options;
  const ledger = await openLedger({
    url,
    clock: { now: options.nowMs ?? (() => NOW) },
    exclusive: options.exclusive ?? true,
    onFatal: options.onFatal ?? ((error) => Promise.reject(error)),
    ...(waitingMax === undefined ? {} : { waitingMax }),
    ...(busyTimeoutMs === undefined ? {} : { busyTimeoutMs }),
  });
  t.after(() => ledger.close());
  return ledger;
}

/** A ledger in this thread, with its database in reach so that a test can break it. */
export async function openInThread(path: string): Promise<{ ledger: Ledger; database: Database }> {
  const database = openSqlite({ path, exclusive: false, busyTimeoutMs: 50 });
  await database.migrate();
  const queue = new CommitQueue({
    send: batchesOn(database),
    waitingMax: 10_000,
    batchMax: 512,
  });
  const ledger = ledgerOverQueue(queue, { now: () => NOW }, async () => {
    await queue.close();
    await database.close();
  });
  return { ledger, database };
}

export const NOW = Date.UTC(2026, 10, 21, 12);
export const DAY = '2026-11-21';
export const HASH = 'ab'.repeat(32);
export const SECRET = 'cd'.repeat(32);
export const ROUTE = 'POST /summarize';
export const OWNER = 'proc_a';

export const NETWORK = 'eip155:8453';
export const USDC = `${NETWORK}/erc20:0x833589fcd6edb6e08f4c7c32d4f71b54bda02913`;
export const WALLET = `wallet:${NETWORK}:0x00000000000000000000000000000000000000aa`;

function claimOf(over: Partial<PaymentClaim>): PaymentClaim {
  const id = over.id ?? newTimedId('pay', randomBytes, over.createdAtMs ?? NOW);
  return {
    id,
    rail: 'prepaid',
    route: ROUTE,
    payer: 'key:key_1',
    network: null,
    asset: 'USD',
    max: 1_000n,
    quoteMax: 1_000n,
    // As the gateway names a request that is a credential of its own.
    credentialKey: `${over.rail ?? 'prepaid'}:${id}`,
    credentialHash: HASH,
    digest: HASH,
    owner: OWNER,
    replay: 'always',
    createdAtMs: NOW,
    expiresAtMs: NOW + 60_000,
    ...over,
  };
}

export function prepaidHold(keyId: string, max: bigint, over: Partial<PaymentClaim> = {}) {
  const claim = claimOf({ payer: `key:${keyId}`, max, quoteMax: max, ...over });
  return { claim, keyId, secretHash: SECRET, day: DAY };
}

export function walletClaim(max: bigint, over: Partial<PaymentClaim> = {}): PaymentClaim {
  const rest = { network: NETWORK, asset: USDC, payer: WALLET, ...over };
  return claimOf({ rail: 'x402', max, quoteMax: max, ...rest });
}

export function freeHold(scope: string, perDay: number, totalPerDay: bigint | null = null) {
  const claim = claimOf({ rail: 'free', payer: scope, max: 0n, quoteMax: 2_000n });
  return { claim, quota: { scope, day: DAY, perDay, totalPerDay }, key: null };
}

export function captureOf(paymentId: string, amount: bigint, over: Partial<Capture> = {}): Capture {
  return {
    paymentId,
    owner: OWNER,
    amount,
    cost: amount,
    usage: [{ unit: 'calls', count: 1, price: '0.001', cost: '0.001' }],
    answer: null,
    job: null,
    ...over,
  };
}

export function releaseOf(paymentId: string, owner: string = OWNER) {
  return { paymentId, owner, state: 'released', reason: 'upstream_failed', answer: null } as const;
}

export function jobOf(nonce?: number, over: Partial<SettlementJob> = {}): SettlementJob {
  const transaction = {
    sender: '0xsender',
    nonce: nonce ?? 0,
    hash: `0xhash${nonce}`,
    raw: '0xraw',
  };
  return {
    network: NETWORK,
    scheme: 'exact',
    payload: '{"signature":"0x1"}',
    via: nonce === undefined ? 'https://facilitator.example' : 'embedded',
    validBeforeMs: NOW + 600_000,
    ...(nonce === undefined ? {} : { transaction }),
    ...over,
  };
}

export function settledFact(paymentId: string, amount: bigint, block = 10n, gasNano = 0n) {
  return { paymentId, transaction: '0xsettled', block, amount, gasNano };
}

export async function createKey(ledger: Ledger, id: string, topUp: bigint, over: object = {}) {
  return await ledger.createKey({
    id,
    prefix: `cs_test_${id}`,
    secretHash: SECRET,
    mode: 'test',
    perDay: null,
    routes: null,
    name: null,
    topUp,
    nowMs: NOW,
    ...over,
  });
}

/** Claims and holds one wallet payment whose wallet has enough. */
export async function holdWallet(
  ledger: Ledger,
  max: bigint,
  over: Partial<PaymentClaim> = {},
): Promise<string> {
  const claim = walletClaim(max, over);
  await ledger.claim(claim);
  const hold = { paymentId: claim.id, owner: claim.owner, balance: 10n ** 15n, block: 1_000n };
  const held = await ledger.holdExposure(hold);
  if (held.outcome !== 'held') throw new Error(`The wallet was not held: ${held.outcome}`);
  return claim.id;
}

/** Claims, holds and captures one wallet payment with its settlement job. */
export async function captureWallet(
  ledger: Ledger,
  amount: bigint,
  over: Partial<PaymentClaim> = {},
  job: SettlementJob = jobOf(),
): Promise<string> {
  const id = await holdWallet(ledger, amount, over);
  await ledger.capture(captureOf(id, amount, { job }));
  return id;
}

export async function balanceOf(ledger: Ledger, account: string, asset = 'USD'): Promise<bigint> {
  const rows = await ledger.balances();
  return rows.find((row) => row.account === account && row.asset === asset)?.balance ?? 0n;
}
