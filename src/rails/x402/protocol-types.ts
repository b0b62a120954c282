/** The messages of x402 v1 and v2 (github.com/x402-foundation/x402, specs). `null` in an optional field means absent. */

import type { JsonObject } from './protocol-json.ts';

export interface ResourceInfo {
  readonly url: string;
  readonly description?: string | null;
  readonly mimeType?: string | null;
  readonly serviceName?: string | null;
  readonly tags?: readonly string[] | null;
  readonly iconUrl?: string | null;
}

/** One way to pay in v2: an entry of `accepts`, echoed unchanged as `accepted`. */
export interface Requirements {
  readonly scheme: string;
  /** CAIP-2, such as `eip155:8453`. */
  readonly network: string;
  /** Atoms of the asset, decimal. */
  readonly amount: string;
  readonly asset: string;
  readonly payTo: string;
  readonly maxTimeoutSeconds: number;
  readonly extra?: JsonObject | null;
}

/** Value of the header `PAYMENT-REQUIRED`. */
export interface PaymentRequiredV2 {
  readonly x402Version: 2;
  readonly error?: string | null;
  readonly resource: ResourceInfo;
  readonly accepts: readonly Requirements[];
  readonly extensions?: JsonObject | null;
}

/** One way to pay in v1. */
export interface RequirementsV1 {
  readonly scheme: string;
  /** A name such as `base-sepolia`. */
  readonly network: string;
  /** Atoms of the asset, decimal. */
  readonly maxAmountRequired: string;
  readonly resource: string;
  readonly description: string;
  readonly mimeType: string;
  readonly outputSchema?: JsonObject | null;
  readonly payTo: string;
  readonly maxTimeoutSeconds: number;
  readonly asset: string;
  readonly extra?: JsonObject | null;
}

/** JSON body of a 402 in v1. */
export interface PaymentRequiredV1 {
  readonly x402Version: 1;
  readonly error?: string | null;
  readonly accepts: readonly RequirementsV1[];
}

/** Value of the header `X-PAYMENT`. */
export interface PaymentPayloadV1 {
  readonly x402Version: 1;
  readonly scheme: string;
  readonly network: string;
  readonly payload: JsonObject;
}

/** Value of the header `PAYMENT-SIGNATURE`. */
export interface PaymentPayloadV2 {
  readonly x402Version: 2;
  readonly resource?: ResourceInfo | null;
  readonly accepted: Requirements;
  readonly payload: JsonObject;
  readonly extensions?: JsonObject | null;
}

export type PaymentPayload = PaymentPayloadV1 | PaymentPayloadV2;

/** The `payload` of scheme `exact` on EVM by EIP-3009, with its numbers read; encodeExactEvmPayload writes it back. */
export interface ExactEvmPayload {
  /** Hexadecimal; 65 bytes from a key, other lengths from a contract wallet. */
  readonly signature: `0x${string}`;
  readonly authorization: {
    readonly from: `0x${string}`;
    readonly to: `0x${string}`;
    readonly value: bigint;
    /** Unix seconds. */
    readonly validAfter: bigint;
    /** Unix seconds. */
    readonly validBefore: bigint;
    /** 32 bytes. */
    readonly nonce: `0x${string}`;
  };
}

/** Value of the headers `PAYMENT-RESPONSE` and `X-PAYMENT-RESPONSE`. */
export interface SettleResponse {
  readonly success: boolean;
  /** Transaction hash, or empty. */
  readonly transaction: string;
  readonly network: string;
  readonly payer?: string;
  readonly amount?: string;
  readonly errorReason?: string;
  readonly errorMessage?: string;
  readonly extensions?: JsonObject;
  readonly extra?: JsonObject;
}
