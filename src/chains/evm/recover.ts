/** Who signed a hash: the address behind a 65-byte ECDSA signature. */

import { keccak256 } from './keccak.ts';
import { type Secp256k1Engine, secp256k1Engine } from './secp256k1-engine.ts';
import type { Hex } from './sign.ts';

/** A signature that no token would take, whoever made it; the message says what is wrong with it. */
export class SignatureMalformed extends Error {
  override readonly name = 'SignatureMalformed';
}

const ORDER = 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141n;
const HALF_ORDER = ORDER >> 1n;
const HALF_ORDER_HEX = HALF_ORDER.toString(16).padStart(64, '0');
const ORDER_HEX = ORDER.toString(16);
const ZERO_WORD = '0'.repeat(64);
/** The last 32 bytes of a signature that wraps the deployment of its wallet (ERC-6492). */
const ERC6492_SUFFIX = '6492'.repeat(16);

/**
 * Tells a key's signature (65 bytes) from one that only a contract wallet can judge (ERC-1271). Throws
 * SignatureMalformed for those that FiatToken refuses anyway: 64 bytes (EIP-2098), `v` other than 27 or
 * 28, `s` in the upper half (EIP-2: the same signature with another `s` must not be another credential).
 */
export function kindOfSignature(signature: Hex): 'key' | 'contract' {
  const hex = signature.slice(2).toLowerCase();
  const bytes = hex.length / 2;
  if (hex.endsWith(ERC6492_SUFFIX))
    throw new SignatureMalformed('is of a wallet that is not deployed yet (ERC-6492)');
  if (bytes === 64)
    throw new SignatureMalformed('has 64 bytes (EIP-2098); the token needs r, s and v: 65');
  if (bytes < 65) throw new SignatureMalformed(`has ${bytes} bytes; a signature has 65`);
  if (bytes > 65) return 'contract';
  const r = hex.slice(0, 64);
  const s = hex.slice(64, 128);
  const v = hex.slice(128);
  if (v !== '1b' && v !== '1c') throw new SignatureMalformed(`has v = 0x${v}, not 27 or 28`);
  // Words of one length in one case compare as text as they do as numbers.
  if (r === ZERO_WORD || r >= ORDER_HEX) throw new SignatureMalformed('has an r out of range');
  if (s === ZERO_WORD) throw new SignatureMalformed('has s = 0');
  if (s > HALF_ORDER_HEX) throw new SignatureMalformed('has an s in the upper half (EIP-2)');
  return 'key';
}

/** The address, in lower case, whose key made this 65-byte signature; null when no key can have made it. */
export function recoverAddress(
  hash: Uint8Array,
  signature: Hex,
  engine: Secp256k1Engine = secp256k1Engine,
): Hex | null {
  const bytes = Buffer.from(signature.slice(2), 'hex');
  if (bytes.length !== 65) return null;
  const publicKey = engine.recover(hash, bytes.subarray(0, 64), bytes[64] === 28 ? 1 : 0);
  if (publicKey === null) return null;
  return `0x${Buffer.from(keccak256(publicKey)).toString('hex', 12)}`;
}
