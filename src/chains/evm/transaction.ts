/** Signs EIP-1559 transactions offline. */

import type { Fees } from './fees.ts';
import { keccak256 } from './keccak.ts';
import { secp256k1Engine } from './secp256k1-engine.ts';
import type { Hex } from './sign.ts';

export interface TransactionFields extends Fees {
  readonly chainId: bigint;
  readonly nonce: number;
  readonly gasLimit: bigint;
  readonly to: Hex;
  /** Wei. */
  readonly value: bigint;
  readonly data: Hex;
}

/** Ready to be broadcast; what the ledger stores before that. */
export interface SignedTransaction {
  /** In lower case. */
  readonly sender: Hex;
  readonly nonce: number;
  readonly hash: Hex;
  readonly raw: Hex;
}

const TYPE_EIP1559 = 2;

/** The transaction of type 2 (EIP-1559, EIP-2718) with an empty access list, signed by `key`. */
export function signTransaction(
  fields: TransactionFields,
  sender: Hex,
  key: Uint8Array,
): SignedTransaction {
  const items = [
    rlpNumber(fields.chainId),
    rlpNumber(BigInt(fields.nonce)),
    rlpNumber(fields.maxPriorityFeePerGas),
    rlpNumber(fields.maxFeePerGas),
    rlpNumber(fields.gasLimit),
    rlpBytes(Buffer.from(fields.to.slice(2), 'hex')),
    rlpNumber(fields.value),
    rlpBytes(Buffer.from(fields.data.slice(2), 'hex')),
    rlpList([]),
  ];
  const { rs, yParity } = secp256k1Engine.sign(keccak256(typed(items)), key);
  const raw = typed([
    ...items,
    rlpNumber(BigInt(yParity)),
    rlpNumber(numberOf(rs.subarray(0, 32))),
    rlpNumber(numberOf(rs.subarray(32))),
  ]);
  return {
    sender: sender.toLowerCase() as Hex,
    nonce: fields.nonce,
    hash: `0x${Buffer.from(keccak256(raw)).toString('hex')}`,
    raw: `0x${raw.toString('hex')}`,
  };
}

function typed(items: readonly Buffer[]): Buffer {
  return Buffer.concat([Buffer.of(TYPE_EIP1559), rlpList(items)]);
}

/** RLP of a number: big endian without leading zeros, so that zero is the empty string. */
function rlpNumber(value: bigint): Buffer {
  if (value === 0n) return rlpBytes(Buffer.alloc(0));
  const hex = value.toString(16);
  return rlpBytes(Buffer.from(hex.length % 2 === 0 ? hex : `0${hex}`, 'hex'));
}

function rlpBytes(bytes: Buffer): Buffer {
  if (bytes.length === 1 && (bytes[0] as number) < 0x80) return bytes;
  return Buffer.concat([rlpHead(0x80, bytes.length), bytes]);
}

function rlpList(items: readonly Buffer[]): Buffer {
  const length = items.reduce((sum, item) => sum + item.length, 0);
  return Buffer.concat([rlpHead(0xc0, length), ...items]);
}

function rlpHead(offset: number, length: number): Buffer {
  if (length <= 55) return Buffer.of(offset + length);
  const size = length > 0xffff ? 3 : length > 0xff ? 2 : 1;
  const head = Buffer.alloc(1 + size);
  head[0] = offset + 55 + size;
  head.writeUIntBE(length, 1, size);
  return head;
}

function numberOf(bytes: Uint8Array): bigint {
  return BigInt(`0x${Buffer.from(bytes).toString('hex')}`);
}
