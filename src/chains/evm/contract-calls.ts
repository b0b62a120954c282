/** The few contract calls and events that a payment needs, encoded by hand: this runs on every paid request. */

import { keccak256 } from './keccak.ts';
import type { Hex, TransferAuthorization } from './sign.ts';

/** A signed EIP-3009 authorization. */
export interface SignedTransfer extends TransferAuthorization {
  /** 65 bytes of a key, or whatever a contract wallet checks by ERC-1271. */
  readonly signature: Hex;
}

/** One call inside Multicall3's aggregate3; `data` has no `0x`. */
export interface BundledCall {
  readonly target: Hex;
  readonly mayRevert: boolean;
  readonly data: string;
}

export interface BundledResult {
  readonly success: boolean;
  /** Without `0x`. */
  readonly data: string;
}

/** What a node returned is not what the contract returns: no contract there, or a broken node. */
export class ReturnDataMalformed extends Error {
  override readonly name = 'ReturnDataMalformed';
}

/** Multicall3 has this address on every chain that it is deployed on. */
export const MULTICALL3: Hex = '0xca11bde05977b3631167028862be2a173976ca11';

/** Topics of the events of EIP-3009 and ERC-20. */
export const AUTHORIZATION_USED = eventTopic('AuthorizationUsed(address,bytes32)');
export const AUTHORIZATION_CANCELED = eventTopic('AuthorizationCanceled(address,bytes32)');
export const TRANSFER = eventTopic('Transfer(address,address,uint256)');

/** Calldata, without `0x`, of calls that have no arguments. */
export const GET_BLOCK_NUMBER = selector('getBlockNumber()');
export const GET_BLOCK_TIMESTAMP = selector('getCurrentBlockTimestamp()');
export const ARB_BLOCK_NUMBER = selector('arbBlockNumber()');
export const DOMAIN_SEPARATOR = selector('DOMAIN_SEPARATOR()');

const BALANCE_OF = selector('balanceOf(address)');
const AUTHORIZATION_STATE = selector('authorizationState(address,bytes32)');
const AGGREGATE3 = selector('aggregate3((address,bool,bytes)[])');
const TRANSFER_ARGUMENTS = 'address,address,uint256,uint256,uint256,bytes32';
const TRANSFER_BY_VRS = selector(
  `transferWithAuthorization(${TRANSFER_ARGUMENTS},uint8,bytes32,bytes32)`,
);
const TRANSFER_BY_BYTES = selector(`transferWithAuthorization(${TRANSFER_ARGUMENTS},bytes)`);
const ERROR_STRING = '08c379a0';
const PANIC = '4e487b71';

export function balanceOf(account: Hex): string {
  return BALANCE_OF + wordOfHex(account);
}

export function authorizationState(authorizer: Hex, nonce: Hex): string {
  return AUTHORIZATION_STATE + wordOfHex(authorizer) + nonce.slice(2);
}

/**
 * Calldata of `transferWithAuthorization` (EIP-3009), without `0x`. The form with v, r and s is the one
 * that every such token has; longer signatures need the form with bytes of FiatToken v2.2.
 */
export function transferWithAuthorization(transfer: SignedTransfer): string {
  const { from, to, value, validAfter, validBefore, nonce } = transfer;
  const head =
    wordOfHex(from) +
    wordOfHex(to) +
    word(value) +
    word(validAfter) +
    word(validBefore) +
    nonce.slice(2);
  const signature = transfer.signature.slice(2);
  if (signature.length === 130)
    return `${TRANSFER_BY_VRS}${head}${signature.slice(128).padStart(64, '0')}${signature.slice(0, 128)}`;
  return TRANSFER_BY_BYTES + head + word(7n * 32n) + bytesOf(signature);
}

/** Calldata of Multicall3's aggregate3, without `0x`. */
export function aggregate3(calls: readonly BundledCall[]): string {
  let offsets = '';
  let elements = '';
  for (const { target, mayRevert, data } of calls) {
    offsets += word(BigInt(32 * calls.length + elements.length / 2));
    elements += wordOfHex(target) + word(mayRevert ? 1n : 0n) + word(96n) + bytesOf(data);
  }
  return AGGREGATE3 + word(32n) + word(BigInt(calls.length)) + offsets + elements;
}

/** The results of aggregate3, as many as there were calls. Throws ReturnDataMalformed. */
export function decodeAggregate3(result: unknown, count: number): BundledResult[] {
  const data = hexData(result);
  const start = sizeAt(data, 0);
  if (sizeAt(data, start) !== count) throw new ReturnDataMalformed('not one result per call');
  const results: BundledResult[] = [];
  for (let i = 0; i < count; i++) {
    const element = start + 32 + sizeAt(data, start + 32 + 32 * i);
    const bytes = element + sizeAt(data, element + 32);
    const length = sizeAt(data, bytes);
    const end = 2 * (bytes + 32 + length);
    if (end > data.length) throw new ReturnDataMalformed('a result is cut off');
    results.push({
      success: sizeAt(data, element) === 1,
      data: data.slice(2 * (bytes + 32), end),
    });
  }
  return results;
}

/** The number in the first word of return data. Throws ReturnDataMalformed. */
export function decodeNumber(data: string): bigint {
  if (data.length < 64) throw new ReturnDataMalformed('no number was returned');
  return BigInt(`0x${data.slice(0, 64)}`);
}

/** The words of a revert: `Error(string)`, `Panic(uint256)`, or the selector of a custom error. */
export function revertReason(data: unknown): string {
  const hex = typeof data === 'string' ? data.replace(/^0x/, '') : '';
  if (hex.startsWith(ERROR_STRING)) {
    const length = Number.parseInt(hex.slice(72, 136), 16) || 0;
    return Buffer.from(hex.slice(136, 136 + 2 * Math.min(length, 256)), 'hex').toString('utf8');
  }
  if (hex.startsWith(PANIC)) return `panic 0x${hex.slice(-2)}`;
  return hex === '' ? 'reverted without a reason' : `reverted with 0x${hex.slice(0, 8)}`;
}

/** 32 bytes, big endian, as hexadecimal digits. */
export function word(value: bigint): string {
  return value.toString(16).padStart(64, '0');
}

/** An address (or other hexadecimal value) filled up to 32 bytes, in lower case. */
export function wordOfHex(value: Hex): string {
  return value.slice(2).toLowerCase().padStart(64, '0');
}

/** The `0x` data of a call's result without its `0x`. Throws ReturnDataMalformed. */
export function hexData(result: unknown): string {
  if (typeof result !== 'string' || !/^0x[0-9a-f]*$/i.test(result))
    throw new ReturnDataMalformed('the result is not hexadecimal');
  return result.slice(2);
}

function bytesOf(data: string): string {
  return word(BigInt(data.length / 2)) + data.padEnd(Math.ceil(data.length / 64) * 64, '0');
}

/** A size or offset at a byte position; anything beyond the data is refused, so that no loop can run away. */
function sizeAt(data: string, byte: number): number {
  const text = data.slice(2 * byte, 2 * byte + 64);
  const size = text.length === 64 ? Number.parseInt(text, 16) : Number.NaN;
  if (!(size <= data.length)) throw new ReturnDataMalformed('an offset is out of range');
  return size;
}

function selector(signature: string): string {
  return Buffer.from(keccak256(Buffer.from(signature))).toString('hex', 0, 4);
}

function eventTopic(signature: string): Hex {
  return `0x${Buffer.from(keccak256(Buffer.from(signature))).toString('hex')}`;
}
