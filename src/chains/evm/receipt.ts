/** What a mined transaction did to an authorization. */

import {
  AUTHORIZATION_CANCELED,
  AUTHORIZATION_USED,
  TRANSFER,
  wordOfHex,
} from './contract-calls.ts';
import { RpcUnavailable } from './json-rpc.ts';
import type { Hex } from './sign.ts';

/** The receipt of a mined transaction. */
export interface ChainReceipt {
  readonly transaction: Hex;
  readonly block: bigint;
  /** Null when the node did not tell. */
  readonly blockHash: Hex | null;
  readonly succeeded: boolean;
  /** Who paid the gas, in lower case. */
  readonly sender: Hex;
  /** Gas and, on rollups, the fee for the layer below, in 10^-9 of the coin, rounded up. */
  readonly gasNano: bigint;
  /** In the order in which they were emitted. */
  readonly logs: readonly ChainLog[];
}

export interface ChainLog {
  readonly address: string;
  readonly topics: readonly string[];
  readonly data: string;
}

/** The transfer that an authorization must have made. */
export interface ExpectedTransfer {
  readonly asset: Hex;
  readonly from: Hex;
  readonly to: Hex;
  /** Atoms. */
  readonly value: bigint;
  readonly nonce: Hex;
}

const WEI_PER_NANO = 1_000_000_000n;

/** Reads a receipt as nodes return it; null while the transaction is not mined. Throws RpcUnavailable. */
export function parseReceipt(value: unknown): ChainReceipt | null {
  if (value === null || value === undefined) return null;
  const raw = value as Record<string, unknown>;
  if (typeof raw.transactionHash !== 'string' || !Array.isArray(raw.logs) || !raw.logs.every(isLog))
    throw new RpcUnavailable('a node returned a receipt that cannot be read');
  if (raw.blockNumber === null || raw.blockNumber === undefined) return null;
  const l1Fee = raw.l1Fee === undefined || raw.l1Fee === null ? 0n : quantity(raw.l1Fee);
  const wei = quantity(raw.gasUsed) * quantity(raw.effectiveGasPrice ?? '0x0') + l1Fee;
  return {
    transaction: raw.transactionHash as Hex,
    block: quantity(raw.blockNumber),
    blockHash: blockHashIn(raw.blockHash),
    succeeded: raw.status === '0x1',
    sender: (typeof raw.from === 'string' ? raw.from.toLowerCase() : '0x') as Hex,
    gasNano: (wei + WEI_PER_NANO - 1n) / WEI_PER_NANO,
    logs: raw.logs,
  };
}

/** A block's hash as nodes write it, in lower case; null when it is none. */
export function blockHashIn(value: unknown): Hex | null {
  if (typeof value !== 'string' || !/^0x[0-9a-f]{64}$/i.test(value)) return null;
  return value.toLowerCase() as Hex;
}

function isLog(value: unknown): value is ChainLog {
  if (typeof value !== 'object' || value === null) return false;
  const { address, topics, data } = value as Record<string, unknown>;
  const isTopics = Array.isArray(topics) && topics.every((topic) => typeof topic === 'string');
  return typeof address === 'string' && typeof data === 'string' && isTopics;
}

/**
 * Whether a transaction used the authorization for exactly this transfer, used it otherwise, cancelled it
 * or did neither. The transfer is the log right after `AuthorizationUsed`, as FiatToken emits both in one
 * call: only so does each transfer count for one nonce, even where one transaction uses several.
 */
export function effectOn(
  receipt: ChainReceipt,
  expected: ExpectedTransfer,
): 'transferred' | 'used_otherwise' | 'cancelled' | 'none' {
  if (!receipt.succeeded) return 'none';
  const asset = expected.asset.toLowerCase();
  const from = wordOfHex(expected.from);
  const nonce = expected.nonce.slice(2).toLowerCase();
  for (const [index, log] of receipt.logs.entries()) {
    if (log.address.toLowerCase() !== asset) continue;
    if (topic(log, 1) !== from || topic(log, 2) !== nonce) continue;
    if (log.topics[0] === AUTHORIZATION_CANCELED) return 'cancelled';
    if (log.topics[0] !== AUTHORIZATION_USED) continue;
    return isTransfer(receipt.logs[index + 1], expected) ? 'transferred' : 'used_otherwise';
  }
  return 'none';
}

function isTransfer(log: ChainLog | undefined, expected: ExpectedTransfer): boolean {
  return (
    log !== undefined &&
    log.address.toLowerCase() === expected.asset.toLowerCase() &&
    log.topics[0] === TRANSFER &&
    topic(log, 1) === wordOfHex(expected.from) &&
    topic(log, 2) === wordOfHex(expected.to) &&
    quantity(log.data) === expected.value
  );
}

function topic(log: ChainLog, index: number): string | undefined {
  return log.topics[index]?.slice(2).toLowerCase();
}

/** A number as nodes write it: `0x` and hexadecimal digits. Throws RpcUnavailable. */
export function quantity(value: unknown): bigint {
  if (typeof value !== 'string' || !/^0x[0-9a-f]{1,64}$/i.test(value))
    throw new RpcUnavailable('a node returned something that is not a number');
  return BigInt(value);
}
