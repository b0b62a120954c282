import { keccak_256 } from '@noble/hashes/sha3.js';
import { word, wordOfHex } from '../chains/evm/contract-calls.ts';
import type { Hex } from '../chains/evm/sign.ts';

/** A number, an address, a text, or a list of addresses. */
export type CallValue = bigint | string | readonly Hex[];

/** Calldata of a function such as `mint(address,uint256)`: its selector and its values by the contract ABI. */
export function calldata(signature: string, ...values: readonly CallValue[]): Hex {
  const types = signature.slice(signature.indexOf('(') + 1, -1).split(',');
  let head = '';
  let tail = '';
  for (const [index, value] of values.entries()) {
    const encoded = encodeValue(types[index] ?? '', value);
    const isDynamic = types[index] === 'string' || typeof value === 'object';
    head += isDynamic ? word(BigInt(32 * values.length + tail.length / 2)) : encoded;
    if (isDynamic) tail += encoded;
  }
  return `0x${keccakText(signature).slice(2, 10)}${head}${tail}`;
}

/** keccak-256 of a text. */
export function keccakText(text: string): Hex {
  return `0x${Buffer.from(keccak_256(Buffer.from(text))).toString('hex')}`;
}

function encodeValue(type: string, value: CallValue): string {
  if (typeof value === 'bigint') return word(value);
  if (typeof value === 'object') return word(BigInt(value.length)) + value.map(wordOfHex).join('');
  if (type !== 'string') return wordOfHex(value as Hex);
  const bytes = Buffer.from(value).toString('hex');
  return word(BigInt(bytes.length / 2)) + bytes.padEnd(Math.ceil(bytes.length / 64) * 64, '0');
}
