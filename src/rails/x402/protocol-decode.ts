/** Reads the messages of x402 and checks the type of every field. Throws X402FormatError and nothing else. */

import {
  given,
  hexBytes,
  isAbsent,
  object,
  optionalObject,
  optionalString,
  seconds,
  signature,
  string,
  uint256,
} from './protocol-fields.ts';
import {
  CREDENTIAL_CHARS_MAX,
  decodeHeader,
  type JsonObject,
  OFFER_CHARS_MAX,
  X402FormatError,
} from './protocol-json.ts';
import type {
  ExactEvmPayload,
  PaymentPayload,
  PaymentRequiredV1,
  PaymentRequiredV2,
  Requirements,
  RequirementsV1,
  ResourceInfo,
  SettleResponse,
} from './protocol-types.ts';

const OFFERS_MAX = 64;

/** Reads `PAYMENT-SIGNATURE` or `X-PAYMENT`; the version inside decides, not the header's name. */
export function decodePaymentHeader(text: string): PaymentPayload {
  const message = decodeHeader(text, CREDENTIAL_CHARS_MAX);
  if (message.x402Version === 1)
    return {
      x402Version: 1,
      scheme: string(message, 'scheme'),
      network: string(message, 'network'),
      payload: object(message.payload, 'payload'),
    };
  if (message.x402Version !== 2) throw new X402FormatError('x402Version', 'is not 1 or 2');
  return {
    x402Version: 2,
    accepted: decodeRequirements(message.accepted, 'accepted'),
    payload: object(message.payload, 'payload'),
    ...(isAbsent(message.resource) ? {} : { resource: resourceInfo(message.resource) }),
    ...(isAbsent(message.extensions)
      ? {}
      : { extensions: object(message.extensions, 'extensions') }),
  };
}

/** Reads the payload of scheme `exact` on EVM by EIP-3009 (x402, exact scheme for EVM). */
export function decodeExactEvmPayload(value: unknown, field = 'payload'): ExactEvmPayload {
  const payload = object(value, field);
  const path = `${field}.authorization`;
  const authorization = object(payload.authorization, path);
  return {
    signature: signature(payload.signature, `${field}.signature`),
    authorization: {
      from: hexBytes(authorization.from, 20, `${path}.from`),
      to: hexBytes(authorization.to, 20, `${path}.to`),
      value: uint256(authorization.value, `${path}.value`),
      validAfter: uint256(authorization.validAfter, `${path}.validAfter`),
      validBefore: uint256(authorization.validBefore, `${path}.validBefore`),
      nonce: hexBytes(authorization.nonce, 32, `${path}.nonce`),
    },
  };
}

/** The same payload as it travels: numbers as decimal strings. */
export function encodeExactEvmPayload(payload: ExactEvmPayload): JsonObject {
  const { from, to, value, validAfter, validBefore, nonce } = payload.authorization;
  return {
    signature: payload.signature,
    authorization: {
      from,
      to,
      value: value.toString(),
      validAfter: validAfter.toString(),
      validBefore: validBefore.toString(),
      nonce,
    },
  };
}

/** Gets each entry of `accepts` that cannot be read; without it such an entry makes the whole message unreadable. */
export type OnUnreadable = (error: X402FormatError) => void;

/** Reads `PAYMENT-REQUIRED` (v2). Entries of `accepts` are returned as they came, so that they can be echoed. */
export function decodePaymentRequired(
  headerText: string,
  onUnreadable?: OnUnreadable,
): PaymentRequiredV2 {
  return decodePaymentRequiredBodyV2(decodeHeader(headerText, OFFER_CHARS_MAX), onUnreadable);
}

/** Reads the same message from a parsed JSON body, where servers repeat it for clients behind proxies that drop headers. */
export function decodePaymentRequiredBodyV2(
  json: unknown,
  onUnreadable?: OnUnreadable,
): PaymentRequiredV2 {
  const message = object(json, 'body');
  if (message.x402Version !== 2) throw new X402FormatError('x402Version', 'is not 2');
  return {
    x402Version: 2,
    resource: resourceInfo(message.resource),
    accepts: offers(message.accepts, decodeRequirements, onUnreadable),
    ...(isAbsent(message.error) ? {} : { error: string(message, 'error') }),
    ...(isAbsent(message.extensions)
      ? {}
      : { extensions: object(message.extensions, 'extensions') }),
  };
}

/** Reads the parsed JSON body of a v1 402. */
export function decodePaymentRequiredBody(
  json: unknown,
  onUnreadable?: OnUnreadable,
): PaymentRequiredV1 {
  const message = object(json, 'body');
  if (message.x402Version !== 1) throw new X402FormatError('x402Version', 'is not 1');
  return {
    x402Version: 1,
    accepts: offers(message.accepts, requirementsV1, onUnreadable),
    ...(isAbsent(message.error) ? {} : { error: string(message, 'error') }),
  };
}

/** Reads `PAYMENT-RESPONSE` or `X-PAYMENT-RESPONSE`; a transaction or network that is missing becomes empty. */
export function decodeSettleResponse(headerText: string): SettleResponse {
  const message = decodeHeader(headerText, OFFER_CHARS_MAX);
  if (typeof message.success !== 'boolean')
    throw new X402FormatError('success', 'is not true or false');
  return {
    success: message.success,
    transaction: optionalString(message, 'transaction') ?? '',
    network: optionalString(message, 'network') ?? '',
    ...given('payer', optionalString(message, 'payer')),
    ...given('amount', optionalString(message, 'amount')),
    ...given('errorReason', optionalString(message, 'errorReason')),
    ...given('errorMessage', optionalString(message, 'errorMessage')),
    ...given('extensions', optionalObject(message.extensions, 'extensions')),
    ...given('extra', optionalObject(message.extra, 'extra')),
  };
}

/** Reads one entry of a v2 `accepts` and returns that same object, unknown fields included. */
export function decodeRequirements(value: unknown, field: string): Requirements {
  const offer = object(value, field);
  string(offer, 'scheme', field);
  string(offer, 'network', field);
  uint256(offer.amount, `${field}.amount`);
  string(offer, 'asset', field);
  string(offer, 'payTo', field);
  seconds(offer.maxTimeoutSeconds, `${field}.maxTimeoutSeconds`);
  optionalObject(offer.extra, `${field}.extra`);
  return offer as unknown as Requirements;
}

function requirementsV1(value: unknown, field: string): RequirementsV1 {
  const offer = object(value, field);
  return {
    scheme: string(offer, 'scheme', field),
    network: string(offer, 'network', field),
    maxAmountRequired: uint256(offer.maxAmountRequired, `${field}.maxAmountRequired`).toString(),
    asset: string(offer, 'asset', field),
    payTo: string(offer, 'payTo', field),
    maxTimeoutSeconds: seconds(offer.maxTimeoutSeconds, `${field}.maxTimeoutSeconds`),
    resource: optionalString(offer, 'resource', field) ?? '',
    description: optionalString(offer, 'description', field) ?? '',
    mimeType: optionalString(offer, 'mimeType', field) ?? '',
    ...given('outputSchema', optionalObject(offer.outputSchema, `${field}.outputSchema`)),
    ...given('extra', optionalObject(offer.extra, `${field}.extra`)),
  };
}

function offers<Offer>(
  value: unknown,
  decode: (value: unknown, field: string) => Offer,
  onUnreadable: OnUnreadable | undefined,
): Offer[] {
  if (!Array.isArray(value)) throw new X402FormatError('accepts', 'is not a list');
  if (value.length > OFFERS_MAX)
    throw new X402FormatError('accepts', `has more than ${OFFERS_MAX} entries`);
  const readable: Offer[] = [];
  for (const [index, entry] of value.entries()) {
    try {
      readable.push(decode(entry, `accepts[${index}]`));
    } catch (error) {
      if (!(error instanceof X402FormatError) || onUnreadable === undefined) throw error;
      onUnreadable(error);
    }
  }
  return readable;
}

function resourceInfo(value: unknown): ResourceInfo {
  const resource = object(value, 'resource');
  string(resource, 'url', 'resource');
  for (const key of ['description', 'mimeType', 'serviceName', 'iconUrl'])
    optionalString(resource, key, 'resource');
  const { tags } = resource;
  if (!isAbsent(tags) && !(Array.isArray(tags) && tags.every((tag) => typeof tag === 'string')))
    throw new X402FormatError('resource.tags', 'is not a list of strings');
  return resource as unknown as ResourceInfo;
}
