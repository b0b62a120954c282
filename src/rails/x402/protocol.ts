/** The wire format of x402 v1 and v2, pure: gateway and payer read and write their messages with this alone. */

export {
  decodeExactEvmPayload,
  decodePaymentHeader,
  decodePaymentRequired,
  decodePaymentRequiredBody,
  decodePaymentRequiredBodyV2,
  decodeRequirements,
  decodeSettleResponse,
  encodeExactEvmPayload,
  type OnUnreadable,
} from './protocol-decode.ts';
export {
  CREDENTIAL_CHARS_MAX,
  encodeHeader,
  encodeJson,
  type JsonObject,
  OFFER_CHARS_MAX,
  parseMessage,
  X402FormatError,
} from './protocol-json.ts';
export {
  canonicalNetwork,
  networkOfV1Name,
  USDC,
  type UsdcToken,
  v1NameOf,
} from './protocol-networks.ts';
export type {
  ExactEvmPayload,
  PaymentPayload,
  PaymentPayloadV1,
  PaymentPayloadV2,
  PaymentRequiredV1,
  PaymentRequiredV2,
  Requirements,
  RequirementsV1,
  ResourceInfo,
  SettleResponse,
} from './protocol-types.ts';
