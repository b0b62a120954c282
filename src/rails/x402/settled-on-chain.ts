/** What the chain shows about an open settlement, and what follows for the payment. */

import { type ChainReceipt, type ExpectedTransfer, effectOn } from '../../chains/evm/receipt.ts';
import type { Payment } from '../../core/payment.ts';
import type { Transition } from '../../core/ports/ledger.ts';
import type { X402Network } from './network.ts';
import type { Effort, X402Parts } from './parts.ts';
import type { Settlement } from './settlement-job.ts';

/** A payment whose money is asked for and was not seen yet. */
export interface OpenSettlement {
  readonly parts: X402Parts;
  readonly network: X402Network;
  readonly payment: Payment;
  readonly settlement: Settlement;
}

/**
 * Settles or fails the payment when the chain decides it; null while it does not. Failed only when the
 * authorization is cancelled, used for another transfer, or expired in a confirmed block: whatever a
 * transaction of ours or a facilitator did, anybody may have submitted it. Rejects with RpcUnavailable.
 */
export async function conclude(open: OpenSettlement): Promise<Payment | null> {
  const { network, settlement } = open;
  const found = await network.chain.findAuthorization({
    transfer: expectedTransfer(settlement),
    fromBlock: settlement.fromBlock,
    confirmations: network.confirmations,
  });
  switch (found.fate) {
    case 'transferred':
      return found.confirmed ? await settle(open, found.receipt) : null;
    case 'cancelled':
      return found.confirmed ? await fail(open, 'authorization_cancelled') : null;
    case 'used_otherwise':
      return found.confirmed ? await fail(open, 'authorization_used_otherwise') : null;
    case 'unused': {
      // By the chain's time and by ours: one node that lies about the time must not make us give up money.
      const nowMs = Math.min(found.timestampMs, open.parts.clock.now());
      return nowMs >= settlement.validBeforeMs ? await fail(open, 'authorization_expired') : null;
    }
    case 'unclear':
      return null;
  }
}

/** Settles by a confirmed receipt if it made exactly this transfer; else null, which decides nothing. */
export async function concludeBy(
  open: OpenSettlement,
  receipt: ChainReceipt,
): Promise<Payment | null> {
  if (effectOn(receipt, expectedTransfer(open.settlement)) === 'transferred')
    return await settle(open, receipt);
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
  effortOf(open).wastedGasNano += receipt.gasNano;
}

export function effortOf({ parts, payment }: Pick<OpenSettlement, 'parts' | 'payment'>): Effort {
  let effort = parts.efforts.get(payment.id);
  if (effort === undefined) {
    effort = {
      pushes: 0,
      nextPushAtMs: 0,
      bumps: 0,
      signedAtMs: payment.updatedAtMs,
      wastedGasNano: 0n,
    };
    parts.efforts.set(payment.id, effort);
  }
  return effort;
}

async function settle(open: OpenSettlement, receipt: ChainReceipt): Promise<Payment> {
  const { parts, network, payment, settlement } = open;
  const ownGas = receipt.sender === network.submitter?.address ? receipt.gasNano : 0n;
  const wasted = parts.efforts.get(payment.id)?.wastedGasNano ?? 0n;
  const settled = await parts.ledger.settled({
    paymentId: payment.id,
    transaction: receipt.transaction,
    block: receipt.block,
    amount: settlement.transfer.value,
    gasNano: ownGas + wasted,
  });
  parts.efforts.delete(payment.id);
  return paymentAfter(open, settled);
}

async function fail(open: OpenSettlement, reason: string): Promise<Payment> {
  const { parts, payment } = open;
  const failed = await parts.ledger.settlementFailed(payment.id, reason);
  parts.efforts.delete(payment.id);
  parts.log.warn({ payment: payment.id, reason }, 'a settlement failed for good');
  return paymentAfter(open, failed);
}

function paymentAfter(open: OpenSettlement, transition: Transition): Payment {
  return transition.payment ?? open.payment;
}

function expectedTransfer({ asset, transfer }: Settlement): ExpectedTransfer {
  const { from, to, value, nonce } = transfer;
  return { asset, from, to, value, nonce };
}
