/** The money of one payment on its chain, whatever scheme the payer signed it by. */

import { type SignedTransfer, transferWithAuthorization } from '../../chains/evm/contract-calls.ts';
import { movedUpto } from '../../chains/evm/find-upto.ts';
import type { EvmChain } from '../../chains/evm/open-evm-chain.ts';
import { type SignedUptoPermit, settleUpto } from '../../chains/evm/permit2-calls.ts';
import { type ChainReceipt, effectOn } from '../../chains/evm/receipt.ts';
import type { Hex } from '../../chains/evm/sign.ts';
import { UPTO_PROXY } from '../../chains/evm/sign-permit2.ts';

export type Transfer = ExactTransfer | UptoTransfer;

/** An authorization of EIP-3009: the whole amount that was signed, submitted by anybody. */
export interface ExactTransfer {
  readonly scheme: 'exact';
  readonly asset: Hex;
  readonly signed: SignedTransfer;
}

/** A Permit2 permit of the scheme upto: a part of what was signed, taken by our own key alone. */
export interface UptoTransfer {
  readonly scheme: 'upto';
  readonly signed: SignedUptoPermit;
  /** Atoms to take, at most what is permitted. */
  readonly amount: bigint;
}

/** Where and when to look for a transfer. */
export interface Search {
  /** A block in which the signature was unused. */
  readonly fromBlock: bigint;
  readonly confirmations: number;
}

export type TransferFate =
  /** Exactly this transfer was made. */
  | { readonly fate: 'transferred'; readonly receipt: ChainReceipt; readonly confirmed: boolean }
  /** It can never be made. */
  | { readonly fate: 'lost'; readonly reason: string; readonly confirmed: boolean }
  /** What was signed is used, and by what does not show: it was lost unless our own transaction did it. */
  | {
      readonly fate: 'used_unseen';
      readonly reason: string;
      readonly confirmed: boolean;
      readonly timestampMs: number;
    }
  /** Not used up to a block that counts as confirmed, and that block's time. */
  | { readonly fate: 'unused'; readonly timestampMs: number }
  | { readonly fate: 'unclear' };

/** Whose money moves. */
export function payerOf({ signed }: Transfer): Hex {
  return signed.from;
}

/** Atoms that are to move. */
export function amountOf(transfer: Transfer): bigint {
  return transfer.scheme === 'exact' ? transfer.signed.value : transfer.amount;
}

/** Afterwards the signature is worth nothing. */
export function validBeforeMsOf({ scheme, signed }: Transfer): number {
  return Number(scheme === 'exact' ? signed.validBefore : signed.deadline) * 1000;
}

/** What our own key sends to make it. */
export function callOf(transfer: Transfer): { readonly to: Hex; readonly data: Hex } {
  if (transfer.scheme === 'exact')
    return { to: transfer.asset, data: `0x${transferWithAuthorization(transfer.signed)}` };
  return { to: UPTO_PROXY, data: `0x${settleUpto(transfer.signed, transfer.amount)}` };
}

/** Whether a transaction made exactly this transfer; of upto, one of our own for it. */
export function isMadeBy(transfer: Transfer, receipt: ChainReceipt): boolean {
  if (transfer.scheme === 'upto')
    return movedUpto(receipt, { permit: transfer.signed, amount: transfer.amount });
  const { asset, signed } = transfer;
  return effectOn(receipt, { asset, ...signed }) === 'transferred';
}

/** What became of it, as the chain itself tells. Rejects with RpcUnavailable. */
export async function findTransfer(
  transfer: Transfer,
  chain: EvmChain,
  search: Search,
): Promise<TransferFate> {
  return transfer.scheme === 'exact'
    ? await findExact(transfer, chain, search)
    : await findUpto(transfer, chain, search);
}

async function findExact(
  { asset, signed }: ExactTransfer,
  chain: EvmChain,
  search: Search,
): Promise<TransferFate> {
  const { from, to, value, nonce } = signed;
  const found = await chain.findAuthorization({
    transfer: { asset, from, to, value, nonce },
    ...search,
  });
  switch (found.fate) {
    case 'cancelled':
      return { fate: 'lost', reason: 'authorization_cancelled', confirmed: found.confirmed };
    case 'used_otherwise':
      return { fate: 'lost', reason: 'authorization_used_otherwise', confirmed: found.confirmed };
    default:
      return found;
  }
}

async function findUpto(
  { signed, amount }: UptoTransfer,
  chain: EvmChain,
  search: Search,
): Promise<TransferFate> {
  const found = await chain.upto.find({ permit: signed, amount, ...search });
  if (found.fate !== 'used') return found;
  const reason = found.cancelled ? 'permit_cancelled' : 'permit_used_otherwise';
  const { confirmed, timestampMs } = found;
  return { fate: 'used_unseen', reason, confirmed, timestampMs };
}
