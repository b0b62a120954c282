/** The `payload` of scheme upto on EVM (x402 v2), and the extension by which the gateway pays for a first permit. */

import { hexBytes, isAbsent, object, signature, string, uint256 } from './protocol-fields.ts';
import type { JsonObject } from './protocol-json.ts';
import { X402FormatError } from './protocol-json.ts';

/** The `payload` of scheme upto by Permit2, with its numbers read; encodeUptoEvmPayload writes it back. */
export interface UptoEvmPayload {
  /** Hexadecimal; 65 bytes from a key, other lengths from a contract wallet. */
  readonly signature: `0x${string}`;
  readonly permit2Authorization: {
    readonly from: `0x${string}`;
    readonly permitted: {
      readonly token: `0x${string}`;
      /** Atoms at most. */
      readonly amount: bigint;
    };
    readonly spender: `0x${string}`;
    readonly nonce: bigint;
    /** Unix seconds. */
    readonly deadline: bigint;
    readonly witness: {
      readonly to: `0x${string}`;
      readonly facilitator: `0x${string}`;
      /** Unix seconds. */
      readonly validAfter: bigint;
    };
  };
}

/** An EIP-2612 permit for Permit2, as it travels in the extension `eip2612GasSponsoring`. */
export interface SponsoredPermit {
  readonly from: `0x${string}`;
  readonly asset: `0x${string}`;
  readonly spender: `0x${string}`;
  /** Atoms. */
  readonly amount: bigint;
  readonly nonce: bigint;
  /** Unix seconds. */
  readonly deadline: bigint;
  /** 65 bytes. */
  readonly signature: `0x${string}`;
}

/** Key of the extension in `extensions` of a 402 and of a payment. */
export const GAS_SPONSORING = 'eip2612GasSponsoring';
const VERSION = '1';

/** Reads the payload of scheme upto. Throws X402FormatError and nothing else. */
export function decodeUptoEvmPayload(value: unknown, field = 'payload'): UptoEvmPayload {
  const payload = object(value, field);
  const path = `${field}.permit2Authorization`;
  const permit = object(payload.permit2Authorization, path);
  const permitted = object(permit.permitted, `${path}.permitted`);
  const witness = object(permit.witness, `${path}.witness`);
  return {
    signature: signature(payload.signature, `${field}.signature`),
    permit2Authorization: {
      from: hexBytes(permit.from, 20, `${path}.from`),
      permitted: {
        token: hexBytes(permitted.token, 20, `${path}.permitted.token`),
        amount: uint256(permitted.amount, `${path}.permitted.amount`),
      },
      spender: hexBytes(permit.spender, 20, `${path}.spender`),
      nonce: uint256(permit.nonce, `${path}.nonce`),
      deadline: uint256(permit.deadline, `${path}.deadline`),
      witness: {
        to: hexBytes(witness.to, 20, `${path}.witness.to`),
        facilitator: hexBytes(witness.facilitator, 20, `${path}.witness.facilitator`),
        validAfter: uint256(witness.validAfter, `${path}.witness.validAfter`),
      },
    },
  };
}

/** The same payload as it travels: numbers as decimal strings. */
export function encodeUptoEvmPayload(payload: UptoEvmPayload): JsonObject {
  const { from, permitted, spender, nonce, deadline, witness } = payload.permit2Authorization;
  return {
    signature: payload.signature,
    permit2Authorization: {
      from,
      permitted: { token: permitted.token, amount: permitted.amount.toString() },
      spender,
      nonce: nonce.toString(),
      deadline: deadline.toString(),
      witness: {
        to: witness.to,
        facilitator: witness.facilitator,
        validAfter: witness.validAfter.toString(),
      },
    },
  };
}

/**
 * The permit among a payment's extensions; null when there is none, which is also so when only the
 * gateway's own declaration is echoed. Throws X402FormatError.
 */
export function decodeSponsoredPermit(
  extensions: JsonObject | null | undefined,
): SponsoredPermit | null {
  const declared = extensions?.[GAS_SPONSORING];
  if (isAbsent(declared)) return null;
  const path = `extensions.${GAS_SPONSORING}.info`;
  const info = object(object(declared, `extensions.${GAS_SPONSORING}`).info, path);
  if (isAbsent(info.signature)) return null;
  const version = string(info, 'version', path);
  if (version !== VERSION) throw new X402FormatError(`${path}.version`, `is not "${VERSION}"`);
  return {
    from: hexBytes(info.from, 20, `${path}.from`),
    asset: hexBytes(info.asset, 20, `${path}.asset`),
    spender: hexBytes(info.spender, 20, `${path}.spender`),
    amount: uint256(info.amount, `${path}.amount`),
    nonce: uint256(info.nonce, `${path}.nonce`),
    deadline: uint256(info.deadline, `${path}.deadline`),
    signature: hexBytes(info.signature, 65, `${path}.signature`),
  };
}

/** A permit as an `extensions` object of a payment, around what the 402 declared. */
export function encodeSponsoredPermit(permit: SponsoredPermit, declared: unknown): JsonObject {
  const { from, asset, spender, amount, nonce, deadline } = permit;
  const around = typeof declared === 'object' && declared !== null ? (declared as JsonObject) : {};
  const echoed = around.info;
  return {
    [GAS_SPONSORING]: {
      ...around,
      info: {
        ...(typeof echoed === 'object' ? echoed : {}),
        ...{ from, asset, spender },
        amount: amount.toString(),
        nonce: nonce.toString(),
        deadline: deadline.toString(),
        signature: permit.signature,
        version: VERSION,
      },
    },
  };
}

/** What a 402 declares where the gateway sends a wallet's first permit along; the schema of it has no room in a header. */
export function declareGasSponsoring(): JsonObject {
  return {
    [GAS_SPONSORING]: {
      info: { description: 'The gateway pays the gas of a permit for Permit2.', version: VERSION },
      schema: {},
    },
  };
}
