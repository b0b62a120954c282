/** What the chain shows about an open settlement, and what follows for the payment. */

import type { ChainReceipt } from '../../chains/evm/receipt.ts';
import type { Hex } from '../../chains/evm/sign.ts';
import type { Payment, PaymentState } from '../../core/payment.ts';
import type { Transition } from '../../core/ports/ledger.ts';
import type { X402Network } from './network.ts';
import type { Effort, X402Parts } from './parts.ts';
import type { Settlement } from './settlement-job.ts';
import { amountOf, findTransfer, isMadeBy } from './transfer.ts';

/** A payment whose money is asked for and was not seen yet. */
export interface OpenSettlement {
  readonly parts: X402Parts;
  readonly network: X402Network;
  readonly payment: Payment;
  readonly settlement: Settlement;
}

/** Ended without capture. One whose claim a facilitator was shown may be settled by it all the same. */
export const ENDED_UNPAID: ReadonlySet<PaymentState> = new Set<PaymentState>([
  'released',
  'rejected',
  'expired',
]);

/**
 * Settles or fails the payment when the chain decides it; null while it does not. Failed only when the
 * authorization is cancelled, used for another transfer, or expired in a confirmed block: whatever a
 * transaction of ours or a facilitator did, anybody may have submitted it. Rejects with RpcUnavailable.
 */
export async function conclude(open: OpenSettlement): Promise<Payment | null> {
  const { network, settlement } = open;
  const { fromBlock, transfer } = settlement;
  const { confirmations } = network;
  const found = await findTransfer(transfer, network.chain, { fromBlock, confirmations });
  switch (found.fate) {
    case 'transferred':
      return found.confirmed ? await settle(open, found.receipt) : null;
    case 'lost':
      return found.confirmed ? await fail(open, found.reason) : null;
    case 'used_unseen':
      return found.confirmed && (await isLost(open, found.timestampMs))
        ? await fail(open, found.reason)
        : null;
    case 'unused': {
      // By the chain's time and by ours: one node that lies about the time must not make us give up money.
      const nowMs = Math.min(found.timestampMs, open.parts.clock.now());
      return nowMs >= settlement.validBeforeMs ? await fail(open, 'authorization_expired') : null;
    }
    case 'unclear':
      return null;
  }
}

/** Nobody but our own key can take by this permit: lost once it has not, and will not any more. */
async function isLost(
  { network, settlement, parts }: OpenSettlement,
  timestampMs: number,
): Promise<boolean> {
  const { transaction, validBeforeMs } = settlement;
  if (transaction === null) return true;
  const receipt = await network.chain.receipt(transaction.hash);
  if (receipt !== null) return !receipt.succeeded;
  return Math.min(timestampMs, parts.clock.now()) >= validBeforeMs;
}

/** Settles by a confirmed receipt if it made exactly this transfer; else null, which decides nothing. */
export async function concludeBy(
  open: OpenSettlement,
  receipt: ChainReceipt,
): Promise<Payment | null> {
  if (isMadeBy(open.settlement.transfer, receipt)) return await settle(open, receipt);
  noteWaste(open, receipt);
  return null;
}

/** The payment as unknown, unless somebody concluded it meanwhile. */
export async function leaveUnknown(open: OpenSettlement, reason: string): Promise<Payment> {
  const { parts, payment } = open;
  if (payment.state !== 'captured') return payment;
  return paymentAfter(open, await parts.ledger.settlementUnknown(payment.id, reason));
}

/** Gas that an own transaction used up without paying belongs to the payment that it was for. */
export function noteWaste(open: OpenSettlement, receipt: ChainReceipt): void {
  if (receipt.succeeded || receipt.sender !== open.network.submitter?.address) return;
  effortOf(open).wastedGasNano.set(receipt.transaction, receipt.gasNano);
}

/** All that own transactions used up, also those that reverted while nobody looked; `paying` is not one of them. */
async function wastedGas(open: OpenSettlement, paying: Hex | null): Promise<bigint> {
  const { network, settlement } = open;
  const { replaced, wastedGasNano } = effortOf(open);
  const sent = [...replaced, ...(settlement.transaction ? [settlement.transaction.hash] : [])];
  for (const hash of sent) {
    if (hash === paying || wastedGasNano.has(hash)) continue;
    const receipt = await network.chain.receipt(hash).catch(() => null);
    if (receipt !== null) noteWaste(open, receipt);
  }
  let all = 0n;
  for (const gasNano of wastedGasNano.values()) all += gasNano;
  return all;
}

export function effortOf({ parts, payment }: Pick<OpenSettlement, 'parts' | 'payment'>): Effort {
  let effort = parts.efforts.get(payment.id);
  if (effort === undefined) {
    effort = {
      pushes: 0,
      nextPushAtMs: 0,
      bumps: 0,
      signedAtMs: payment.updatedAtMs,
      replaced: new Set(),
      wastedGasNano: new Map(),
    };
    parts.efforts.set(payment.id, effort);
  }
  return effort;
}

async function settle(open: OpenSettlement, receipt: ChainReceipt): Promise<Payment> {
  const { parts, network, payment, settlement } = open;
  const ownGas = receipt.sender === network.submitter?.address ? receipt.gasNano : 0n;
  const settled = await parts.ledger.settled({
    paymentId: payment.id,
    transaction: receipt.transaction,
    block: receipt.block,
    ...(receipt.blockHash === null ? {} : { blockHash: receipt.blockHash }),
    amount: amountOf(settlement.transfer),
    gasNano: ownGas + (await wastedGas(open, receipt.transaction)),
  });
  if (payment.state !== 'refund_due' && settled.payment?.state === 'refund_due')
    parts.log.warn({ payment: payment.id }, 'paid without an answer: the money is owed back');
  parts.efforts.delete(payment.id);
  return paymentAfter(open, settled);
}

async function fail(open: OpenSettlement, reason: string): Promise<Payment> {
  const { parts, payment } = open;
  if (ENDED_UNPAID.has(payment.state)) {
    await parts.ledger.closeShown(payment.id);
    parts.efforts.delete(payment.id);
    return payment;
  }
  const gasNano = await wastedGas(open, null);
  const failed = await parts.ledger.settlementFailed(payment.id, reason, gasNano);
  parts.efforts.delete(payment.id);
  parts.log.warn({ payment: payment.id, reason }, 'a settlement failed for good');
  return paymentAfter(open, failed);
}

function paymentAfter(open: OpenSettlement, transition: Transition): Payment {
  return transition.payment ?? open.payment;
}
