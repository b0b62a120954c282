/** The payer's side of x402: understand offers of v1 and v2 alike, and sign one of them (scheme exact, EIP-3009; upto is in client-upto). */

import type { Eip712Domain, Hex, TransferAuthorization } from '../../chains/evm/sign.ts';
import {
  canonicalNetwork,
  encodeExactEvmPayload,
  encodeHeader,
  type JsonObject,
  type PaymentPayload,
  type PaymentRequiredV1,
  type PaymentRequiredV2,
  USDC,
  type UsdcToken,
} from './protocol.ts';
import { encodeSponsoredPermit, GAS_SPONSORING, type SponsoredPermit } from './protocol-upto.ts';

/** Who signs. The private key stays inside; a hardware wallet or a remote signer fits as well. */
export interface X402Wallet {
  readonly address: Hex;
  /** Signs the EIP-712 hash of an EIP-3009 authorization: 65 bytes `r | s | v`. */
  signTransferAuthorization(
    domain: Eip712Domain,
    authorization: TransferAuthorization,
  ): Promise<Hex>;
}

/** One way to pay a 402, whatever version offered it. */
export interface X402Offer {
  readonly version: 1 | 2;
  readonly scheme: string;
  /** CAIP-2. */
  readonly network: string;
  /** Atoms of the asset. */
  readonly amount: bigint;
  readonly asset: string;
  readonly payTo: string;
  readonly maxTimeoutSeconds: number;
  /** `eip3009`, `permit2`… when the offer names one. */
  readonly transferMethod: string | null;
  /** Who alone may settle, when the offer names one (scheme upto). */
  readonly facilitator: string | null;
  /** Whether the 402 says that the gas of a permit for Permit2 is paid for. */
  readonly sponsorsPermit: boolean;
  /**
   * The credential for this offer around a signed payload. `paymentId` goes where the server asks for one, a
   * permit where it offered to pay its gas.
   */
  credential(
    payload: JsonObject,
    paymentId: string,
    permit?: SponsoredPermit | null,
  ): PaymentPayload;
}

export function offersOfV2(required: PaymentRequiredV2): X402Offer[] {
  const { resource, extensions } = required;
  return required.accepts.map((accepted) => ({
    version: 2,
    scheme: accepted.scheme,
    network: canonicalNetwork(accepted.network),
    amount: BigInt(accepted.amount),
    asset: accepted.asset,
    payTo: accepted.payTo,
    maxTimeoutSeconds: accepted.maxTimeoutSeconds,
    transferMethod: textIn(accepted.extra, 'assetTransferMethod'),
    facilitator: textIn(accepted.extra, 'facilitatorAddress'),
    sponsorsPermit: isRecord(extensions?.[GAS_SPONSORING]),
    credential: (payload, paymentId, permit = null) => ({
      x402Version: 2,
      resource,
      accepted,
      payload,
      ...(extensions ? { extensions: echoExtensions(extensions, paymentId, permit) } : {}),
    }),
  }));
}

export function offersOfV1(required: PaymentRequiredV1): X402Offer[] {
  return required.accepts.map((offer) => ({
    version: 1,
    scheme: offer.scheme,
    network: canonicalNetwork(offer.network),
    amount: BigInt(offer.maxAmountRequired),
    asset: offer.asset,
    payTo: offer.payTo,
    maxTimeoutSeconds: offer.maxTimeoutSeconds,
    transferMethod: textIn(offer.extra, 'assetTransferMethod'),
    facilitator: null,
    sponsorsPermit: false,
    credential: (payload) => ({
      x402Version: 1,
      scheme: offer.scheme,
      network: offer.network,
      payload,
    }),
  }));
}

/** The dollars behind an offer, or why this payer can't pay it. */
export type Payability =
  | { readonly payable: true; readonly token: UsdcToken }
  | { readonly payable: false; readonly reason: string };

/** A signature is money until it expires, so one that would live longer than this is not given. */
const TIMEOUT_SECONDS_MAX = 24 * 60 * 60;

/** How the token moves under each scheme that this payer can sign. */
const METHODS: Readonly<Record<string, string>> = { exact: 'eip3009', upto: 'permit2' };

const ADDRESS = /^0x[0-9a-fA-F]{40}$/;

/** Whether a wallet on EVM networks can pay an offer, and with which token. */
export function payabilityOf(offer: X402Offer): Payability {
  const no = (reason: string): Payability => ({ payable: false, reason });
  const isUpto = offer.scheme === 'upto' && offer.version === 2;
  if (offer.scheme !== 'exact' && !isUpto)
    return no(`the scheme ${show(offer.scheme)} is not supported`);
  if (!offer.network.startsWith('eip155:'))
    return no(`an EVM wallet can't pay on ${show(offer.network)}`);
  const method = offer.transferMethod;
  if (method !== null && method !== METHODS[offer.scheme])
    return no(`the transfer method ${show(method)} is not supported`);
  // Only a token that we know is a dollar can be held against a budget in dollars: anybody can issue
  // a token and name it USDC, so neither the symbol nor the domain in the offer is believed.
  const token = USDC.get(offer.network);
  if (!token || token.asset.toLowerCase() !== offer.asset.toLowerCase())
    return no(`the asset ${show(offer.asset)} on ${show(offer.network)} is not USDC known to us`);
  if (!ADDRESS.test(offer.payTo) || /^0x0+$/.test(offer.payTo))
    return no(`payTo ${show(offer.payTo)} is not an address`);
  if (offer.maxTimeoutSeconds < 1 || offer.maxTimeoutSeconds > TIMEOUT_SECONDS_MAX)
    return no(
      `it wants a signature that is valid for ${offer.maxTimeoutSeconds} s, not 1 to ${TIMEOUT_SECONDS_MAX} s`,
    );
  if (isUpto && !ADDRESS.test(offer.facilitator ?? 'nobody'))
    return no('it does not name the facilitator that would settle');
  return { payable: true, token };
}

/** A signed credential and what it allows the server to take. */
export interface SignedCredential {
  readonly headerName: 'PAYMENT-SIGNATURE' | 'X-PAYMENT';
  readonly headerValue: string;
  readonly network: string;
  readonly asset: Hex;
  readonly from: Hex;
  readonly payTo: Hex;
  readonly amount: bigint;
  readonly nonce: Hex;
  /** Unix seconds; afterwards the signature is worth nothing. */
  readonly validBefore: bigint;
}

/** Signs an offer that payabilityOf found payable. `nonce` must be 32 fresh random bytes. */
export async function signOffer(order: {
  readonly offer: X402Offer;
  readonly token: UsdcToken;
  readonly wallet: X402Wallet;
  readonly nonce: Hex;
  readonly nowMs: number;
}): Promise<SignedCredential> {
  const { offer, token, wallet, nonce } = order;
  const authorization: TransferAuthorization = {
    from: wallet.address,
    to: offer.payTo as Hex,
    value: offer.amount,
    validAfter: 0n,
    validBefore: BigInt(Math.floor(order.nowMs / 1000) + offer.maxTimeoutSeconds),
    nonce,
  };
  const { name, version, chainId } = token;
  const domain = { name, version, chainId, verifyingContract: token.asset };
  const signature = await wallet.signTransferAuthorization(domain, authorization);
  const payload = encodeExactEvmPayload({ signature, authorization });
  return {
    headerName: offer.version === 2 ? 'PAYMENT-SIGNATURE' : 'X-PAYMENT',
    headerValue: encodeHeader(offer.credential(payload, `pay_${nonce.slice(2, 34)}`)),
    network: offer.network,
    asset: token.asset,
    from: authorization.from,
    payTo: authorization.to,
    amount: authorization.value,
    nonce,
    validBefore: authorization.validBefore,
  };
}

/** Extensions are echoed; `payment-identifier` also gets the id that makes resends recognisable (x402 v2 extensions). */
function echoExtensions(
  declared: JsonObject,
  paymentId: string,
  permit: SponsoredPermit | null,
): JsonObject {
  const extensions =
    permit === null
      ? declared
      : { ...declared, ...encodeSponsoredPermit(permit, declared[GAS_SPONSORING]) };
  const identifier = extensions['payment-identifier'];
  if (!isRecord(identifier) || !isRecord(identifier.info)) return extensions;
  return {
    ...extensions,
    'payment-identifier': { ...identifier, info: { ...identifier.info, id: paymentId } },
  };
}

function textIn(extra: JsonObject | null | undefined, key: string): string | null {
  const value = extra?.[key];
  return typeof value === 'string' ? value : null;
}

function isRecord(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** A stranger's text, made safe for one line of a message: bounded, and without control characters. */
function show(text: string): string {
  const short = text.length > 80 ? `${text.slice(0, 80)}…` : text;
  return short.replace(/[^\x20-\x7e…]/g, '?');
}
