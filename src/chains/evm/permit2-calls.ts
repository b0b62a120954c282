/** Calls and events of Permit2, of the x402 upto proxy and of EIP-2612, encoded by hand. */

import { word, wordOfHex } from './contract-calls.ts';
import { keccak256 } from './keccak.ts';
import type { Hex } from './sign.ts';
import type { TokenPermit, UptoPermit } from './sign-permit2.ts';

/** A payer's permission to take up to an amount (x402 scheme upto). */
export interface SignedUptoPermit extends UptoPermit {
  /** 65 bytes of a key, or whatever a contract wallet checks by ERC-1271. */
  readonly signature: Hex;
  /** Lets Permit2 spend the token, where the wallet has not allowed it; sent along with the settlement. */
  readonly tokenPermit: SignedTokenPermit | null;
}

/** A signed EIP-2612 permit. */
export interface SignedTokenPermit extends TokenPermit {
  /** 65 bytes. */
  readonly signature: Hex;
}

/** Topic of Permit2's event for nonces that their owner made useless. */
export const NONCES_INVALIDATED: Hex = `0x${hashOf('UnorderedNonceInvalidation(address,uint256,uint256)')}`;

const PERMIT = '((address,uint256),uint256,uint256)';
const WITNESS = '(address,address,uint256)';
const SETTLE = selector(`settle(${PERMIT},uint256,address,${WITNESS},bytes)`);
const SETTLE_WITH_PERMIT = selector(
  `settleWithPermit((uint256,uint256,bytes32,bytes32,uint8),${PERMIT},uint256,address,${WITNESS},bytes)`,
);
const NONCE_BITMAP = selector('nonceBitmap(address,uint256)');

/** Calldata, without `0x`, by which the proxy moves `amount` atoms; only the witness's facilitator may send it. */
export function settleUpto(permit: SignedUptoPermit, amount: bigint): string {
  const { tokenPermit, signature } = permit;
  const head = settleHead(permit, amount);
  const bytes = bytesOf(signature.slice(2));
  if (tokenPermit === null) return SETTLE + head + word(HEAD_BYTES) + bytes;
  const { value, deadline, signature: signed } = tokenPermit;
  const rs = signed.slice(2, 130);
  const v = signed.slice(130, 132).padStart(64, '0');
  return (
    SETTLE_WITH_PERMIT +
    word(value) +
    word(deadline) +
    rs +
    v +
    head +
    word(HEAD_BYTES + TOKEN_PERMIT_BYTES) +
    bytes
  );
}

/** Ten words: permit (4), amount, owner, witness (3), and the place of the signature. */
const HEAD_BYTES = 10n * 32n;
const TOKEN_PERMIT_BYTES = 5n * 32n;

function settleHead({ from, permitted, nonce, deadline, witness }: UptoPermit, amount: bigint) {
  return (
    wordOfHex(permitted.token) +
    word(permitted.amount) +
    word(nonce) +
    word(deadline) +
    word(amount) +
    wordOfHex(from) +
    wordOfHex(witness.to) +
    wordOfHex(witness.facilitator) +
    word(witness.validAfter)
  );
}

/** Whether calldata of the proxy settles exactly this permit with this amount, with or without a token permit. */
export function settlesUpto(calldata: string, permit: UptoPermit, amount: bigint): boolean {
  const hex = calldata.replace(/^0x/, '').toLowerCase();
  const head = settleHead(permit, amount);
  if (hex.startsWith(SETTLE)) return hex.startsWith(head, 8);
  return hex.startsWith(SETTLE_WITH_PERMIT) && hex.startsWith(head, 8 + 2 * 160);
}

/** The 256 nonces of an owner that share all but their last byte. */
export function nonceBitmap(owner: Hex, nonce: bigint): string {
  return NONCE_BITMAP + wordOfHex(owner) + word(nonce >> 8n);
}

/** Whether a nonce is used, in the word of the bitmap that it belongs to. */
export function isNonceUsed(bitmap: bigint, nonce: bigint): boolean {
  return ((bitmap >> (nonce & 0xffn)) & 1n) === 1n;
}

function bytesOf(data: string): string {
  return word(BigInt(data.length / 2)) + data.padEnd(Math.ceil(data.length / 64) * 64, '0');
}

function selector(signature: string): string {
  return hashOf(signature).slice(0, 8);
}

function hashOf(text: string): string {
  return Buffer.from(keccak256(Buffer.from(text))).toString('hex');
}
