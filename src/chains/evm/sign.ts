/** Signing for EVM tokens, pure: EIP-712 hashes of EIP-3009 authorizations, secp256k1 signatures, EIP-55 addresses. */

import { secp256k1 } from '@noble/curves/secp256k1.js';
import { keccak256 } from './keccak.ts';

/** `0x` and hexadecimal digits. */
export type Hex = `0x${string}`;

/** The EIP-712 domain of a token contract; `name` and `version` differ between networks, even for USDC. */
export interface Eip712Domain {
  readonly name: string;
  readonly version: string;
  readonly chainId: bigint;
  readonly verifyingContract: Hex;
}

/** The message of EIP-3009 `TransferWithAuthorization`; times are Unix seconds, `nonce` is 32 bytes. */
export interface TransferAuthorization {
  readonly from: Hex;
  readonly to: Hex;
  /** Atoms of the token. */
  readonly value: bigint;
  readonly validAfter: bigint;
  readonly validBefore: bigint;
  readonly nonce: Hex;
}

/** A value that does not have the size it must have; the message never contains the value, which may be a secret. */
export class SignInputError extends Error {
  override readonly name = 'SignInputError';
}

const WORD = 32;
const UINT256_END = 1n << 256n;

const DOMAIN_TYPE_HASH = keccakOfText(
  'EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)',
);
const TRANSFER_TYPE_HASH = keccakOfText(
  'TransferWithAuthorization(address from,address to,uint256 value,uint256 validAfter,uint256 validBefore,bytes32 nonce)',
);

/** The EIP-712 separator of a domain: compute it once per token, it is the costly half of a hash. */
export function domainSeparator(domain: Eip712Domain): Uint8Array {
  const buffer = new Uint8Array(5 * WORD);
  buffer.set(DOMAIN_TYPE_HASH, 0);
  buffer.set(keccakOfText(domain.name), WORD);
  buffer.set(keccakOfText(domain.version), 2 * WORD);
  writeUint256(buffer, 3 * WORD, domain.chainId, 'chainId');
  writeHex(buffer, 4 * WORD + 12, domain.verifyingContract, 20, 'verifyingContract');
  return keccak256(buffer);
}

// One buffer for all hashes. Every byte that varies is overwritten by each call and nothing here
// awaits, so two hashes never see each other's bytes.
const struct = new Uint8Array(7 * WORD);
struct.set(TRANSFER_TYPE_HASH, 0);
const message = new Uint8Array(2 + 2 * WORD);
message.set([0x19, 0x01], 0);

/**
 * The 32-byte EIP-712 hash that a payer signs (EIP-3009). Throws SignInputError when an address, a
 * number or the nonce does not have its size.
 */
export function hashTransferAuthorization(
  separator: Uint8Array,
  authorization: TransferAuthorization,
): Uint8Array {
  if (separator.length !== WORD) throw new SignInputError('the domain separator is not 32 bytes');
  writeHex(struct, WORD + 12, authorization.from, 20, 'from');
  writeHex(struct, 2 * WORD + 12, authorization.to, 20, 'to');
  writeUint256(struct, 3 * WORD, authorization.value, 'value');
  writeUint256(struct, 4 * WORD, authorization.validAfter, 'validAfter');
  writeUint256(struct, 5 * WORD, authorization.validBefore, 'validBefore');
  writeHex(struct, 6 * WORD, authorization.nonce, 32, 'nonce');
  message.set(separator, 2);
  message.set(keccak256(struct), 2 + WORD);
  return keccak256(message);
}

/** Signs a 32-byte hash: 65 bytes `r | s | v` with `v` 27 or 28 and the low `s` that EIP-2 demands. */
export function signHash(hash: Uint8Array, privateKey: Hex): Hex {
  if (hash.length !== WORD) throw new SignInputError('the hash is not 32 bytes');
  const signature = secp256k1.sign(hash, keyBytes(privateKey), {
    prehash: false,
    lowS: true,
    format: 'recovered',
  });
  const recovery = signature[0] ?? 0;
  return `0x${hexOf(signature.subarray(1))}${(27 + recovery).toString(16)}`;
}

/** The checksummed address that belongs to a private key. */
export function addressOfPrivateKey(privateKey: Hex): Hex {
  const publicKey = secp256k1.getPublicKey(keyBytes(privateKey), false);
  return toChecksumAddress(`0x${hexOf(keccak256(publicKey.subarray(1)).subarray(12))}`);
}

/** Writes an address with the capital letters of EIP-55. Throws SignInputError when it is not 20 bytes. */
export function toChecksumAddress(address: Hex): Hex {
  const bytes = new Uint8Array(20);
  writeHex(bytes, 0, address, 20, 'address');
  const lower = hexOf(bytes);
  const hash = keccakOfText(lower);
  let checksummed = '';
  for (let i = 0; i < lower.length; i++) {
    const byte = hash[i >> 1] ?? 0;
    const nibble = i % 2 === 0 ? byte >> 4 : byte & 15;
    const digit = lower.charAt(i);
    checksummed += nibble >= 8 ? digit.toUpperCase() : digit;
  }
  return `0x${checksummed}`;
}

function keyBytes(privateKey: Hex): Uint8Array {
  const bytes = new Uint8Array(WORD);
  writeHex(bytes, 0, privateKey, WORD, 'private key');
  if (!secp256k1.utils.isValidSecretKey(bytes))
    throw new SignInputError('the private key is not between 1 and the order of secp256k1');
  return bytes;
}

function keccakOfText(text: string): Uint8Array {
  return keccak256(new TextEncoder().encode(text));
}

function writeUint256(target: Uint8Array, offset: number, value: bigint, name: string): void {
  if (value < 0n || value >= UINT256_END) throw new SignInputError(`${name} is not a uint256`);
  const view = new DataView(target.buffer, target.byteOffset + offset, WORD);
  view.setBigUint64(24, BigInt.asUintN(64, value));
  const rest = value >> 64n;
  view.setBigUint64(16, BigInt.asUintN(64, rest));
  view.setBigUint64(8, BigInt.asUintN(64, rest >> 64n));
  view.setBigUint64(0, rest >> 128n);
}

function writeHex(
  target: Uint8Array,
  offset: number,
  hex: string,
  bytes: number,
  name: string,
): void {
  if (hex.length !== 2 + 2 * bytes || !hex.startsWith('0x'))
    throw new SignInputError(`${name} is not 0x and ${2 * bytes} hexadecimal digits`);
  for (let i = 0; i < bytes; i++) {
    const high = NIBBLE[hex.charCodeAt(2 + 2 * i)] ?? 255;
    const low = NIBBLE[hex.charCodeAt(3 + 2 * i)] ?? 255;
    if ((high | low) > 15)
      throw new SignInputError(`${name} is not 0x and ${2 * bytes} hexadecimal digits`);
    target[offset + i] = (high << 4) | low;
  }
}

/** Value of each ASCII hexadecimal digit by its character code; 255 for everything else. */
const NIBBLE = Uint8Array.from({ length: 128 }, (_, code) => {
  const value = '0123456789abcdef'.indexOf(String.fromCharCode(code).toLowerCase());
  return value < 0 ? 255 : value;
});

function hexOf(bytes: Uint8Array): string {
  let hex = '';
  for (const byte of bytes) hex += byte.toString(16).padStart(2, '0');
  return hex;
}
