/** What became of an EIP-3009 authorization, as the chain itself tells it. */

import { AUTHORIZATION_CANCELED, AUTHORIZATION_USED, wordOfHex } from './contract-calls.ts';
import { RpcUnavailable } from './json-rpc.ts';
import { type ChainReceipt, type ExpectedTransfer, effectOn } from './receipt.ts';
import type { Hex } from './sign.ts';

export interface AuthorizationQuery {
  readonly transfer: ExpectedTransfer;
  /** A block in which the authorization was still unused. */
  readonly fromBlock: bigint;
  /** A block counts once this many blocks, itself included, are on the chain. */
  readonly confirmations: number;
}

export type AuthorizationFate =
  /** Used for exactly the expected transfer. */
  | {
      readonly fate: 'transferred';
      readonly receipt: ChainReceipt;
      readonly confirmed: boolean;
    }
  /** Used for another transfer, or cancelled: it can never pay. */
  | { readonly fate: 'used_otherwise' | 'cancelled'; readonly confirmed: boolean }
  /** Not used up to a block that counts as confirmed, and that block's time. */
  | { readonly fate: 'unused'; readonly timestampMs: number }
  /** The chain says used, and the node does not show where. */
  | { readonly fate: 'unclear' };

export interface AuthorizationReader {
  authorizationState(
    asset: Hex,
    from: Hex,
    nonce: Hex,
    at: string,
  ): Promise<{ readonly block: bigint; readonly timestampMs: number; readonly used: boolean }>;
  logs(filter: object): Promise<unknown>;
  receipt(transaction: Hex): Promise<ChainReceipt | null>;
}

/** Blocks in one query for logs; public nodes refuse long ranges. */
const RANGE_BLOCKS = 2_000n;
/** The node that answered then may have been this far ahead of the one that answers now. */
const MARGIN_BLOCKS = 64n;

/**
 * Asks for the state first: while it is false, no log can exist, so an honest node that answers `unused`
 * cannot have skipped a log. It is true after cancellation too, so only the logs tell what happened.
 */
export async function findFate(
  query: AuthorizationQuery,
  reader: AuthorizationReader,
): Promise<AuthorizationFate> {
  const { transfer, confirmations } = query;
  const depth = BigInt(confirmations - 1);
  const newest = await reader.authorizationState(
    transfer.asset,
    transfer.from,
    transfer.nonce,
    'latest',
  );
  if (!newest.used) {
    const confirmed = depth === 0n ? newest : await stateAt(query, reader, newest.block - depth);
    return { fate: 'unused', timestampMs: confirmed.timestampMs };
  }
  const receipt = await findReceipt(query, reader, newest.block);
  if (receipt === null) return { fate: 'unclear' };
  const confirmed = receipt.block + depth <= newest.block;
  const effect = effectOn(receipt, transfer);
  if (effect === 'transferred') return { fate: effect, receipt, confirmed };
  if (effect === 'none') return { fate: 'unclear' };
  return { fate: effect, confirmed };
}

async function stateAt(query: AuthorizationQuery, reader: AuthorizationReader, block: bigint) {
  const { asset, from, nonce } = query.transfer;
  const number = block < 0n ? 0n : block;
  return await reader.authorizationState(asset, from, nonce, `0x${number.toString(16)}`);
}

async function findReceipt(
  query: AuthorizationQuery,
  reader: AuthorizationReader,
  newest: bigint,
): Promise<ChainReceipt | null> {
  const { asset, from, nonce } = query.transfer;
  const first = query.fromBlock > MARGIN_BLOCKS ? query.fromBlock - MARGIN_BLOCKS : 0n;
  for (let start = first; start <= newest; start += RANGE_BLOCKS) {
    const end = start + RANGE_BLOCKS - 1n;
    const logs = await reader.logs({
      address: asset,
      topics: [
        [AUTHORIZATION_USED, AUTHORIZATION_CANCELED],
        `0x${wordOfHex(from)}`,
        nonce.toLowerCase(),
      ],
      fromBlock: `0x${start.toString(16)}`,
      toBlock: `0x${(end < newest ? end : newest).toString(16)}`,
    });
    if (!Array.isArray(logs)) throw new RpcUnavailable('a node returned no list of logs');
    const hash: unknown = logs[0]?.transactionHash;
    if (typeof hash === 'string') return await reader.receipt(hash as Hex);
  }
  return null;
}
