/** Finds and reads an x402 payment in the headers of a request. Offline. */

import { hash } from 'node:crypto';
import { kindOfSignature, SignatureMalformed } from '../../chains/evm/recover.ts';
import type { Hex } from '../../chains/evm/sign.ts';
import { CredentialConflict, CredentialMalformed, HeadersTooLarge } from '../../core/errors.ts';
import type { Exchange } from '../../core/exchange.ts';
import type { Presented } from '../../core/ports/rail.ts';
import {
  CREDENTIAL_CHARS_MAX,
  canonicalNetwork,
  decodeExactEvmPayload,
  decodePaymentHeader,
  type ExactEvmPayload,
  type PaymentPayload,
  X402FormatError,
} from './protocol.ts';
import {
  decodeSponsoredPermit,
  decodeUptoEvmPayload,
  type SponsoredPermit,
  type UptoEvmPayload,
} from './protocol-upto.ts';

export interface X402Credential extends Presented {
  readonly rail: 'x402';
  readonly payment: PaymentPayload;
  readonly scheme: string;
  /** CAIP-2, also where v1 or an alias named it. */
  readonly network: string;
  /** One of both; both null for another scheme or another kind of chain, which are refused later, with the offers. */
  readonly exact: ExactEvmPayload | null;
  readonly upto: UptoCredential | null;
  /** Whether a key signed, or only a contract wallet can tell (ERC-1271). */
  readonly signedBy: 'key' | 'contract';
}

/** A permit of the scheme upto, and the permit of the token that may go along. */
export interface UptoCredential {
  readonly payload: UptoEvmPayload;
  readonly sponsored: SponsoredPermit | null;
}

/**
 * Takes either version in either header: the payload's `x402Version` decides. Throws CredentialMalformed
 * naming the field, CredentialConflict when the two headers differ, HeadersTooLarge beyond 8 KiB.
 */
export function recogniseCredential(exchange: Exchange): X402Credential | null {
  const v2 = exchange.header('payment-signature');
  const v1 = exchange.header('x-payment');
  const text = v2 ?? v1;
  if (text === undefined) return null;
  if (v1 !== undefined && v2 !== undefined && v1 !== v2)
    throw new CredentialConflict('PAYMENT-SIGNATURE and X-PAYMENT carry two different payments.');
  const header = v2 === undefined ? 'X-PAYMENT' : 'PAYMENT-SIGNATURE';
  if (text.length > CREDENTIAL_CHARS_MAX)
    throw new HeadersTooLarge(`${header} is longer than ${CREDENTIAL_CHARS_MAX} characters.`);
  try {
    return readCredential(text);
  } catch (error) {
    if (error instanceof X402FormatError)
      throw new CredentialMalformed(`${header}: ${error.message}.`);
    throw error;
  }
}

function readCredential(text: string): X402Credential {
  const payment = decodePaymentHeader(text);
  const { scheme, network: named } = payment.x402Version === 2 ? payment.accepted : payment;
  const network = canonicalNetwork(named);
  const isEvm = network.startsWith('eip155:');
  const exact = isEvm && scheme === 'exact' ? decodeExactEvmPayload(payment.payload) : null;
  const upto = isEvm && scheme === 'upto' ? readUpto(payment) : null;
  const from = (exact?.authorization ?? upto?.payload.permit2Authorization)?.from;
  const signature = exact?.signature ?? upto?.payload.signature;
  return {
    rail: 'x402',
    oneTime: true,
    credentialHash: hash('sha256', text),
    payer: from === undefined ? null : `wallet:${network}:${from.toLowerCase()}`,
    quoteId: quoteIdOf(payment),
    pays: null,
    ...{ payment, scheme, network, exact, upto },
    signedBy: signature === undefined ? 'key' : signerOf(signature),
  };
}

/** The quote that v2 echoes; a v1 payment has none. */
function quoteIdOf(payment: PaymentPayload): string | null {
  const quote = payment.x402Version === 2 ? payment.accepted.extra?.quote : null;
  return typeof quote === 'string' ? quote : null;
}

function readUpto(payment: PaymentPayload): UptoCredential {
  const extensions = payment.x402Version === 2 ? payment.extensions : null;
  return {
    payload: decodeUptoEvmPayload(payment.payload),
    sponsored: decodeSponsoredPermit(extensions),
  };
}

function signerOf(signature: Hex): 'key' | 'contract' {
  try {
    return kindOfSignature(signature);
  } catch (error) {
    if (error instanceof SignatureMalformed)
      throw new X402FormatError('payload.signature', error.message);
    throw error;
  }
}
