/** What became of an upto permit, as the chain itself tells it. */

import { TRANSFER, wordOfHex } from './contract-calls.ts';
import { RpcUnavailable } from './json-rpc.ts';
import { isNonceUsed, NONCES_INVALIDATED, settlesUpto } from './permit2-calls.ts';
import { type ChainReceipt, quantity } from './receipt.ts';
import type { Hex } from './sign.ts';
import { PERMIT2, UPTO_PROXY, type UptoPermit } from './sign-permit2.ts';

/** The settlement that is expected: a permit, and what was to be taken of it. */
export interface ExpectedUpto {
  readonly permit: UptoPermit;
  /** Atoms, at most what is permitted. */
  readonly amount: bigint;
}

export interface UptoQuery extends ExpectedUpto {
  /** A block in which the nonce was still unused. */
  readonly fromBlock: bigint;
  /** A block counts once this many blocks, itself included, are on the chain. */
  readonly confirmations: number;
}

export type UptoFate =
  /** The proxy moved exactly the expected amount under this permit. */
  | { readonly fate: 'transferred'; readonly receipt: ChainReceipt; readonly confirmed: boolean }
  /** Used, and no settlement of ours shows: cancelled or used by the owner, or the node does not show all. */
  | {
      readonly fate: 'used';
      /** Whether the owner made the nonce useless, as far as the node shows. */
      readonly cancelled: boolean;
      readonly confirmed: boolean;
      readonly timestampMs: number;
    }
  /** Not used up to a block that counts as confirmed, and that block's time. */
  | { readonly fate: 'unused'; readonly timestampMs: number };

/** The answer of the chain at one block to `nonceBitmap`. */
export interface NonceState {
  readonly block: bigint;
  readonly timestampMs: number;
  readonly bitmap: bigint;
}

export interface UptoReader {
  nonceState(owner: Hex, nonce: bigint, at: string): Promise<NonceState>;
  logs(filter: object): Promise<unknown>;
  receipt(transaction: Hex): Promise<ChainReceipt | null>;
  /** To whom a transaction was sent, with which calldata; null when the node does not know it. */
  call(transaction: Hex): Promise<{ readonly to: string; readonly data: string } | null>;
}

/** Blocks in one query for logs; public nodes refuse long ranges. */
const RANGE_BLOCKS = 2_000n;
/** The node that answered then may have been this far ahead of the one that answers now. */
const MARGIN_BLOCKS = 64n;
/** Transfers of one wallet to the operator that are looked at in one range. */
const CANDIDATES_MAX = 200;

/**
 * Asks for the nonce first: while it is unused, nothing can have been taken. Permit2 names no nonce in
 * its events, so the transfer is found by payer and payee, and told apart by what its transaction asked.
 */
export async function findUptoFate(query: UptoQuery, reader: UptoReader): Promise<UptoFate> {
  const { permit, confirmations } = query;
  const depth = BigInt(confirmations - 1);
  const newest = await reader.nonceState(permit.from, permit.nonce, 'latest');
  const confirmed = depth === 0n ? newest : await stateAt(query, reader, newest.block - depth);
  if (!isNonceUsed(newest.bitmap, permit.nonce))
    return { fate: 'unused', timestampMs: confirmed.timestampMs };
  const receipt = await findReceipt(query, reader, newest.block);
  if (receipt !== null)
    return {
      fate: 'transferred',
      receipt,
      confirmed: receipt.block + depth <= newest.block,
    };
  return {
    fate: 'used',
    cancelled: await isInvalidated(query, reader, newest.block),
    confirmed: isNonceUsed(confirmed.bitmap, permit.nonce),
    timestampMs: confirmed.timestampMs,
  };
}

/** Whether a transaction moved exactly the expected amount from payer to payee; its calldata is known by its hash. */
export function movedUpto(receipt: ChainReceipt, { permit, amount }: ExpectedUpto): boolean {
  const token = permit.permitted.token.toLowerCase();
  return (
    receipt.succeeded &&
    receipt.logs.some(
      ({ address, topics, data }) =>
        address.toLowerCase() === token &&
        topics[0] === TRANSFER &&
        topics[1]?.slice(2).toLowerCase() === wordOfHex(permit.from) &&
        topics[2]?.slice(2).toLowerCase() === wordOfHex(permit.witness.to) &&
        quantity(data) === amount,
    )
  );
}

async function stateAt(query: UptoQuery, reader: UptoReader, block: bigint): Promise<NonceState> {
  const { from, nonce } = query.permit;
  return await reader.nonceState(from, nonce, `0x${(block < 0n ? 0n : block).toString(16)}`);
}

async function findReceipt(
  query: UptoQuery,
  reader: UptoReader,
  newest: bigint,
): Promise<ChainReceipt | null> {
  const { permit } = query;
  const topics = [TRANSFER, `0x${wordOfHex(permit.from)}`, `0x${wordOfHex(permit.witness.to)}`];
  for await (const logs of ranges(query, reader, newest, permit.permitted.token, topics)) {
    for (const log of logs.slice(0, CANDIDATES_MAX)) {
      const receipt = await receiptOf(query, reader, log);
      if (receipt !== null) return receipt;
    }
  }
  return null;
}

/** The receipt of a logged transfer, if its transaction asked the proxy for exactly this settlement. */
async function receiptOf(
  query: UptoQuery,
  reader: UptoReader,
  log: RawLog,
): Promise<ChainReceipt | null> {
  const { transactionHash: hash, data } = log;
  if (typeof hash !== 'string' || typeof data !== 'string') return null;
  if (quantity(data) !== query.amount) return null;
  const call = await reader.call(hash as Hex);
  if (call?.to.toLowerCase() !== UPTO_PROXY.toLowerCase()) return null;
  if (!settlesUpto(call.data, query.permit, query.amount)) return null;
  const receipt = await reader.receipt(hash as Hex);
  return receipt !== null && movedUpto(receipt, query) ? receipt : null;
}

async function isInvalidated(
  query: UptoQuery,
  reader: UptoReader,
  newest: bigint,
): Promise<boolean> {
  const { from, nonce } = query.permit;
  const topics = [NONCES_INVALIDATED, `0x${wordOfHex(from)}`];
  for await (const logs of ranges(query, reader, newest, PERMIT2, topics))
    for (const { data } of logs) {
      if (typeof data !== 'string' || !/^0x[0-9a-f]{128}$/i.test(data)) continue;
      const isWord = BigInt(data.slice(0, 66)) === nonce >> 8n;
      if (isWord && isNonceUsed(BigInt(`0x${data.slice(66)}`), nonce)) return true;
    }
  return false;
}

interface RawLog {
  readonly transactionHash?: unknown;
  readonly data?: unknown;
}

async function* ranges(
  query: UptoQuery,
  reader: UptoReader,
  newest: bigint,
  address: Hex,
  topics: readonly string[],
): AsyncGenerator<readonly RawLog[]> {
  const first = query.fromBlock > MARGIN_BLOCKS ? query.fromBlock - MARGIN_BLOCKS : 0n;
  for (let start = first; start <= newest; start += RANGE_BLOCKS) {
    const end = start + RANGE_BLOCKS - 1n;
    const logs = await reader.logs({
      ...{ address, topics },
      fromBlock: `0x${start.toString(16)}`,
      toBlock: `0x${(end < newest ? end : newest).toString(16)}`,
    });
    if (!Array.isArray(logs)) throw new RpcUnavailable('a node returned no list of logs');
    yield logs.filter((log) => typeof log === 'object' && log !== null);
  }
}
