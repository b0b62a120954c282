/** The messages of x402, as gateway and payer read them. */

import fc from 'fast-check';
import {
  canonicalNetwork,
  decodeExactEvmPayload,
  decodePaymentHeader,
  decodePaymentRequired,
  decodePaymentRequiredBody,
  decodePaymentRequiredBodyV2,
  decodeSettleResponse,
  encodeExactEvmPayload,
  encodeHeader,
  parseMessage,
  v1NameOf,
  X402FormatError,
} from '../../src/rails/x402/protocol.ts';
import {
  decodeSponsoredPermit,
  decodeUptoEvmPayload,
  encodeSponsoredPermit,
  encodeUptoEvmPayload,
} from '../../src/rails/x402/protocol-upto.ts';
import {
  GOOD_402_V1,
  GOOD_402_V2,
  GOOD_PAYMENT_V1,
  GOOD_PAYMENT_V2,
  GOOD_SETTLED,
  GOOD_SPONSORED,
  GOOD_UPTO_PAYLOAD,
} from './good-messages.ts';
import { jsons, nearly, texts } from './inputs.ts';
import { assertSame, type Input, outcomeOf, type Target, textOf } from './target.ts';

interface Message {
  readonly name: string;
  readonly decode: (input: Input) => unknown;
  readonly good: readonly object[];
  readonly header: boolean;
}

const MESSAGES: readonly Message[] = [
  {
    name: 'payment',
    decode: (text) => decodePaymentHeader(textOf(text)),
    good: [GOOD_PAYMENT_V2, GOOD_PAYMENT_V1],
    header: true,
  },
  {
    name: '402-header',
    decode: (text) => decodePaymentRequired(textOf(text)),
    good: [GOOD_402_V2],
    header: true,
  },
  {
    name: 'settle-response',
    decode: (text) => decodeSettleResponse(textOf(text)),
    good: [GOOD_SETTLED],
    header: true,
  },
  {
    name: '402-body-v1',
    decode: (json) => decodePaymentRequiredBody(json),
    good: [GOOD_402_V1],
    header: false,
  },
  {
    name: '402-body-v2',
    decode: (json) => decodePaymentRequiredBodyV2(json),
    good: [GOOD_402_V2],
    header: false,
  },
];

/** What was read, written and read again is the same; headers are read from their base64. */
const messages: readonly Target[] = MESSAGES.map(({ name, decode, good, header }) => ({
  name: `x402-${name}`,
  inputs: header
    ? fc.oneof(
        nearly(...good).map((value) => encodeHeader(Object(value))),
        texts(...good.map(encodeHeader)),
      )
    : fc.oneof(nearly(...good), jsons()),
  check(input: Input) {
    const outcome = outcomeOf(() => decode(input), [X402FormatError]);
    if ('refusal' in outcome) return outcome.refusal;
    const again = header ? encodeHeader(Object(outcome.result)) : outcome.result;
    assertSame(decode(again), outcome.result);
    return `read ${Object.keys(Object(outcome.result)).sort().join()}`;
  },
}));

const exactPayload: Target = {
  name: 'x402-exact-payload',
  inputs: fc.oneof(nearly(GOOD_PAYMENT_V1.payload), jsons()),
  check(input) {
    const outcome = outcomeOf(() => decodeExactEvmPayload(input), [X402FormatError]);
    if ('refusal' in outcome) return outcome.refusal;
    assertSame(decodeExactEvmPayload(encodeExactEvmPayload(outcome.result)), outcome.result);
    return 'read';
  },
};

const uptoPayload: Target = {
  name: 'x402-upto-payload',
  inputs: fc.oneof(nearly(GOOD_UPTO_PAYLOAD), jsons()),
  check(input) {
    const outcome = outcomeOf(() => decodeUptoEvmPayload(input), [X402FormatError]);
    if ('refusal' in outcome) return outcome.refusal;
    assertSame(decodeUptoEvmPayload(encodeUptoEvmPayload(outcome.result)), outcome.result);
    return 'read';
  },
};

const sponsoredPermit: Target = {
  name: 'x402-sponsored-permit',
  inputs: fc.oneof(nearly(GOOD_SPONSORED), jsons()),
  check(input) {
    const outcome = outcomeOf(() => decodeSponsoredPermit(Object(input)), [X402FormatError]);
    if ('refusal' in outcome) return outcome.refusal;
    if (outcome.result === null) return 'none';
    assertSame(
      decodeSponsoredPermit(encodeSponsoredPermit(outcome.result, undefined)),
      outcome.result,
    );
    return 'read';
  },
};

const message: Target = {
  name: 'x402-json',
  inputs: texts(
    '{"a":{"b":[1,"c:d",{}]}}',
    '{"a":1,"a":2}',
    '{"a":"\\"","\\u0061":1}',
    '['.repeat(40),
  ),
  check(input) {
    const outcome = outcomeOf(() => parseMessage(textOf(input), 'body'), [X402FormatError]);
    if ('refusal' in outcome) return outcome.refusal;
    // A number beyond all doubles is infinite, which JSON can't say again.
    const text = JSON.stringify(outcome.result);
    assertSame(parseMessage(text, 'body'), JSON.parse(text));
    return 'read';
  },
};

const network: Target = {
  name: 'network-name',
  inputs: texts('base', 'eip155:8453', 'solana:mainnet', 'base-sepolia'),
  check(input) {
    const once = canonicalNetwork(textOf(input));
    assertSame(canonicalNetwork(once), once);
    return v1NameOf(once) ?? 'unknown';
  },
};

export const X402_TARGETS: readonly Target[] = [
  ...[...messages, exactPayload, uptoPayload, sponsoredPermit],
  ...[message, network],
];
