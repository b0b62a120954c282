/** What a payer of Permit2 signs and asks: EIP-712 hashes of an upto permit and of an EIP-2612 permit, and the calldata around them. Pure. */

import { keccak256 } from './keccak.ts';
import { type Hex, SignInputError } from './sign.ts';

/** Permit2 has this address on every chain that it is deployed on. */
export const PERMIT2: Hex = '0x000000000022D473030F116dDEE9F6B43aC78BA3';
/** The contract that alone may spend an upto permit (x402 v2, scheme upto on EVM); the same on every chain. */
export const UPTO_PROXY: Hex = '0x4020A4f3b7b90ccA423B9fabCc0CE57C6C240002';

/** The message of Permit2 `PermitWitnessTransferFrom` with the witness of the x402 upto proxy; times are Unix seconds. */
export interface UptoPermit {
  /** Whose tokens move; not part of the message, the signature tells. */
  readonly from: Hex;
  readonly permitted: {
    readonly token: Hex;
    /** Atoms of the token at most. */
    readonly amount: bigint;
  };
  readonly spender: Hex;
  /** One bit of the owner's bitmap. */
  readonly nonce: bigint;
  readonly deadline: bigint;
  readonly witness: {
    readonly to: Hex;
    /** The only address that may ask the proxy to settle. */
    readonly facilitator: Hex;
    readonly validAfter: bigint;
  };
}

/** The message of EIP-2612 `Permit`: a spender may move up to `value` of the owner's tokens. */
export interface TokenPermit {
  readonly owner: Hex;
  readonly spender: Hex;
  /** Atoms of the token. */
  readonly value: bigint;
  /** The owner's counter in the token. */
  readonly nonce: bigint;
  readonly deadline: bigint;
}

const WORD = 32;
const UINT256_END = 1n << 256n;

const DOMAIN_TYPE = hashText('EIP712Domain(string name,uint256 chainId,address verifyingContract)');
const TOKEN_PERMISSIONS = 'TokenPermissions(address token,uint256 amount)';
const WITNESS = 'Witness(address to,address facilitator,uint256 validAfter)';
const TOKEN_PERMISSIONS_TYPE = hashText(TOKEN_PERMISSIONS);
const WITNESS_TYPE = hashText(WITNESS);
const TRANSFER_TYPE = hashText(
  `PermitWitnessTransferFrom(TokenPermissions permitted,address spender,uint256 nonce,uint256 deadline,Witness witness)${TOKEN_PERMISSIONS}${WITNESS}`,
);
const PERMIT_TYPE = hashText(
  'Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)',
);

/** What Permit2 signs under on a chain (it has no version); compute it once. */
export function permit2Separator(chainId: bigint): Uint8Array {
  return keccak256(
    words(DOMAIN_TYPE, hashText('Permit2'), uint256(chainId, 'chainId'), address(PERMIT2)),
  );
}

/** The 32-byte EIP-712 hash that a payer of upto signs. Throws SignInputError when a field does not have its size. */
export function hashUptoPermit(separator: Uint8Array, permit: UptoPermit): Uint8Array {
  const { permitted, spender, nonce, deadline, witness } = permit;
  const permittedHash = keccak256(
    words(
      TOKEN_PERMISSIONS_TYPE,
      address(permitted.token, 'permitted.token'),
      uint256(permitted.amount, 'permitted.amount'),
    ),
  );
  const witnessHash = keccak256(
    words(
      WITNESS_TYPE,
      address(witness.to, 'witness.to'),
      address(witness.facilitator, 'witness.facilitator'),
      uint256(witness.validAfter, 'witness.validAfter'),
    ),
  );
  const struct = words(
    TRANSFER_TYPE,
    permittedHash,
    address(spender, 'spender'),
    uint256(nonce, 'nonce'),
    uint256(deadline, 'deadline'),
    witnessHash,
  );
  return typedHash(separator, struct);
}

/** The 32-byte EIP-712 hash of an EIP-2612 permit under the token's own separator. Throws SignInputError. */
export function hashTokenPermit(separator: Uint8Array, permit: TokenPermit): Uint8Array {
  const struct = words(
    PERMIT_TYPE,
    address(permit.owner, 'owner'),
    address(permit.spender, 'spender'),
    uint256(permit.value, 'value'),
    uint256(permit.nonce, 'nonce'),
    uint256(permit.deadline, 'deadline'),
  );
  return typedHash(separator, struct);
}

const ALLOWANCE = selector('allowance(address,address)');
const APPROVE = selector('approve(address,uint256)');
const NONCES = selector('nonces(address)');

/** Calldata that reads what Permit2 may still take of an owner's tokens. */
export function permit2Allowance(owner: Hex): Hex {
  return `0x${ALLOWANCE}${digitsOf(words(address(owner), address(PERMIT2)))}`;
}

/** Calldata that reads the next EIP-2612 nonce of an owner. */
export function tokenPermitNonce(owner: Hex): Hex {
  return `0x${NONCES}${digitsOf(address(owner))}`;
}

/** Calldata by which a wallet lets Permit2 spend a token once and for all. */
export function approvePermit2(): Hex {
  return `0x${APPROVE}${digitsOf(words(address(PERMIT2), uint256(UINT256_END - 1n, 'value')))}`;
}

function typedHash(separator: Uint8Array, struct: Uint8Array): Uint8Array {
  if (separator.length !== WORD) throw new SignInputError('the domain separator is not 32 bytes');
  const message = new Uint8Array(2 + 2 * WORD);
  message.set([0x19, 0x01], 0);
  message.set(separator, 2);
  message.set(keccak256(struct), 2 + WORD);
  return keccak256(message);
}

function words(...parts: readonly Uint8Array[]): Uint8Array {
  const bytes = new Uint8Array(parts.length * WORD);
  for (const [index, part] of parts.entries()) bytes.set(part, index * WORD);
  return bytes;
}

function uint256(value: bigint, name: string): Uint8Array {
  if (value < 0n || value >= UINT256_END) throw new SignInputError(`${name} is not a uint256`);
  return fromDigits(value.toString(16).padStart(64, '0'));
}

function address(value: Hex, name = 'address'): Uint8Array {
  if (!/^0x[0-9a-fA-F]{40}$/.test(value))
    throw new SignInputError(`${name} is not 0x and 40 hexadecimal digits`);
  return fromDigits(value.slice(2).padStart(64, '0'));
}

function fromDigits(digits: string): Uint8Array {
  const bytes = new Uint8Array(WORD);
  for (let i = 0; i < WORD; i++) bytes[i] = Number.parseInt(digits.slice(2 * i, 2 * i + 2), 16);
  return bytes;
}

function digitsOf(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
}

function selector(signature: string): string {
  return digitsOf(hashText(signature)).slice(0, 8);
}

function hashText(text: string): Uint8Array {
  return keccak256(new TextEncoder().encode(text));
}
