/** Asks the outside to move the money: our own transaction to a node, or the payment to its facilitator. */

import { RpcUnavailable } from '../../chains/evm/json-rpc.ts';
import type { Hex } from '../../chains/evm/sign.ts';
import type { SignedTransaction } from '../../chains/evm/transaction.ts';
import { CoinslotError } from '../../core/errors.ts';
import type { Payment } from '../../core/payment.ts';
import { FacilitatorUnavailable } from './facilitator.ts';
import type { Effort } from './parts.ts';
import { concludeBy, effortOf, noteWaste, type OpenSettlement } from './settled-on-chain.ts';
import { resignSettlement, type SignedSettlement, signSettlement } from './sign-settlement.ts';

/** While it waits, a transaction that the nodes lost is sent again. */
const HEAL_AFTER_MS = 2_000;
const PUSH_EVERY_MIN_MS = 1_000;
const PUSH_EVERY_MAX_MS = 60_000;
const TRANSACTION_HASH = /^0x[0-9a-fA-F]{64}$/;

/** Sends what is stored and waits for it: the settled payment, or why it is still open. */
export async function sendAndWait(
  open: OpenSettlement,
  timeoutMs: number,
): Promise<Payment | string> {
  const deadlineMs = performance.now() + timeoutMs;
  const { settlement, network } = open;
  const sending = settlement.facilitator === null ? send(open) : ask(open, timeoutMs);
  // In the very request that sends it: where blocks come at once, it is mined by then.
  const ours = settlement.transaction && network.watcher.look(settlement.transaction.hash);
  const { hash, reason } = await sending;
  if (hash === null) return reason;
  const receipt =
    (await (ours ?? network.watcher.look(hash))) ?? (await waitFor(open, hash, deadlineMs));
  if (receipt === null) return reason;
  if (settlement.transaction?.hash === receipt.transaction)
    network.submitter?.mined(settlement.transaction);
  return (await concludeBy(open, receipt)) ?? reason;
}

/**
 * Pushes a settlement on that the chain does not decide: its facilitator is asked again with the same
 * bytes, its stored transaction is sent again, or replaced when it can't be mined any more. At most
 * once a second at first, once a minute in the end.
 */
export async function push(open: OpenSettlement): Promise<Payment | string> {
  const { parts, settlement } = open;
  const effort = effortOf(open);
  if (!isTime(effort, parts.clock.now())) return 'pending';
  if (settlement.facilitator !== null) return await sendAndWait(open, parts.resolveMs);
  const current = await currentTransaction(open);
  if (current.outcome === 'blocked') return current.reason;
  const { transaction } = current;
  return await sendAndWait(
    { ...open, settlement: { ...settlement, transaction } },
    parts.resolveMs,
  );
}

/** Whether it is time for another try; if so, the next one comes later. */
export function isTime(effort: Effort, nowMs: number): boolean {
  if (nowMs < effort.nextPushAtMs) return false;
  effort.nextPushAtMs = nowMs + Math.min(PUSH_EVERY_MIN_MS * 2 ** effort.pushes, PUSH_EVERY_MAX_MS);
  effort.pushes++;
  return true;
}

/** Why a settlement stays open when something threw. Rethrows what is not about the outside. */
export function reasonToWait(error: unknown): string {
  if (error instanceof RpcUnavailable) return 'rpc_unavailable';
  if (error instanceof FacilitatorUnavailable) return 'facilitator_silent';
  throw error;
}

interface Sent {
  /** The transaction to wait for; null when there is none. */
  readonly hash: Hex | null;
  /** Why it is open if the wait brings nothing. */
  readonly reason: string;
}

async function send({ network, settlement, parts }: OpenSettlement): Promise<Sent> {
  const { transaction } = settlement;
  if (transaction === null) return { hash: null, reason: 'pending' };
  const { submitter, chain, liveness } = network;
  if (submitter === null) {
    // The config names no key any more; what an earlier key signed is still good.
    await chain.broadcast(transaction.raw).catch((error: unknown) => {
      parts.log.warn({ hash: transaction.hash, error }, 'a stored transaction was not taken');
    });
    return { hash: transaction.hash, reason: 'pending' };
  }
  const outcome = await submitter.broadcast(transaction);
  if (outcome === 'no_coin') {
    liveness.report(`the settlement key ${submitter.address} cannot pay gas: send it some coin`);
    return { hash: null, reason: 'settlement_key_without_gas' };
  }
  if (outcome === 'unavailable') return { hash: transaction.hash, reason: 'rpc_unavailable' };
  return { hash: transaction.hash, reason: 'pending' };
}

/** What the facilitator says names at most a transaction to look at. */
async function ask(open: OpenSettlement, timeoutMs: number): Promise<Sent> {
  const { parts, payment, settlement, network } = open;
  if (settlement.facilitator === null) return { hash: null, reason: 'pending' };
  const { url, request } = settlement.facilitator;
  try {
    const answer = await parts.facilitators.settle(url, request, timeoutMs);
    if (!answer.success) {
      parts.log.warn({ payment: payment.id, reason: answer.reason }, 'a facilitator refused');
      return { hash: null, reason: answer.reason };
    }
    const isHash = TRANSACTION_HASH.test(answer.transaction);
    const hash = isHash ? (answer.transaction as Hex) : null;
    return { hash, reason: 'facilitator_unconfirmed' };
  } catch (error) {
    if (!(error instanceof FacilitatorUnavailable)) throw error;
    network.facilitatorFailed(url);
    network.liveness.report(error.message);
    return { hash: null, reason: 'facilitator_silent' };
  }
}

async function waitFor({ parts, network }: OpenSettlement, hash: Hex, deadlineMs: number) {
  while (!parts.closing.aborted) {
    const leftMs = deadlineMs - performance.now();
    if (leftMs <= 0) return null;
    const receipt = await network.watcher.wait(hash, Math.min(leftMs, HEAL_AFTER_MS));
    if (receipt !== null) return receipt;
    await network.submitter?.heal().catch((error: unknown) => {
      parts.log.warn({ network: network.id, error }, 'nonces could not be looked after');
    });
  }
  return null;
}

/** The transaction that can still be mined: the stored one, one with higher fees, or the first or next one. */
async function currentTransaction(open: OpenSettlement): Promise<SignedSettlement> {
  const { network, settlement, parts } = open;
  const { transaction } = settlement;
  if (transaction === null) return await signNext(open);
  const [receipt, mined] = await Promise.all([
    network.chain.receipt(transaction.hash),
    network.chain.transactionCount(transaction.sender, 'latest'),
  ]);
  // Its nonce is used up and the authorization is not: it reverted, or the key was used elsewhere.
  if (receipt !== null || mined > transaction.nonce) {
    if (receipt !== null) noteWaste(open, receipt);
    return receipt?.succeeded === true ? { outcome: 'signed', transaction } : await signNext(open);
  }
  const isStuck = parts.clock.now() - effortOf(open).signedAtMs >= parts.bumpAfterMs;
  if (isStuck && network.submitter?.address === transaction.sender)
    return await bump(open, transaction);
  return { outcome: 'signed', transaction };
}

async function signNext(open: OpenSettlement): Promise<SignedSettlement> {
  const { network, settlement, parts, payment } = open;
  const { submitter } = network;
  if (submitter === null) return { outcome: 'blocked', reason: 'simulation_failed' };
  const signed = await signSettlement(network, submitter, settlement.transfer);
  if (signed.outcome === 'blocked') return signed;
  const { transaction } = signed;
  try {
    const spentNonce = settlement.transaction?.nonce;
    await parts.ledger.replaceTransaction(payment.id, transaction, spentNonce);
  } catch (error) {
    parts.log.error({ payment: payment.id, error }, 'a signed transaction could not be stored');
    // What the ledger refuses for good was not stored; after any other failure nobody knows.
    if (error instanceof CoinslotError && !error.retryable) submitter.giveBack(transaction);
    else
      submitter.doubt(transaction, async () => {
        const job = await parts.ledger.findJob(payment.id);
        return job?.transaction?.hash === transaction.hash;
      });
    return { outcome: 'blocked', reason: 'not_stored' };
  }
  submitter.keep(transaction);
  effortOf(open).signedAtMs = parts.clock.now();
  return signed;
}

async function bump(open: OpenSettlement, stuck: SignedTransaction): Promise<SignedSettlement> {
  const { network, settlement, parts, payment } = open;
  const { submitter } = network;
  if (submitter === null) return { outcome: 'signed', transaction: stuck };
  const effort = effortOf(open);
  const { transfer } = settlement;
  const signed = await resignSettlement(network, submitter, transfer, stuck, effort.bumps + 1);
  if (signed.outcome === 'blocked') return signed;
  await parts.ledger.replaceTransaction(payment.id, signed.transaction);
  submitter.keep(signed.transaction);
  effort.replaced.add(stuck.hash);
  effort.bumps++;
  effort.signedAtMs = parts.clock.now();
  parts.log.warn(
    { payment: payment.id, nonce: stuck.nonce, bumps: effort.bumps },
    'raised the fees of a transaction that is not mined',
  );
  return signed;
}
