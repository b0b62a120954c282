/** Does the payment take an offer of ours, for this request and in time? Offline; every refusal names what was expected. */

import { PaymentRefused } from '../../core/errors.ts';
import type { Demand } from '../../core/ports/rail.ts';
import type { Route } from '../../core/route.ts';
import type { X402Credential } from './credential.ts';
import type { Deadlines } from './deadlines.ts';
import type { X402Network } from './network.ts';
import { amountOn } from './offers.ts';
import type { ExactEvmPayload, PaymentPayloadV2 } from './protocol.ts';

export type VerifyQuote = (
  id: string,
  route: Route,
  nowMs: number,
) => 'ok' | 'expired' | 'unknown' | 'other_route';

export interface OfferCheck {
  readonly network: X402Network;
  readonly exact: ExactEvmPayload;
  readonly credential: X402Credential;
  readonly demand: Demand;
  readonly deadlines: Deadlines;
  readonly verifyQuote: VerifyQuote;
}

/** Null when everything fits; the signature is not looked at here. */
export function checkOffer(check: OfferCheck): PaymentRefused | null {
  const { credential } = check;
  const accepted = credential.payment.x402Version === 2 ? credential.payment : null;
  return (
    (accepted && checkAccepted(check, accepted)) ??
    checkTransfer(check) ??
    checkValidity(check) ??
    (accepted && checkQuote(check, accepted))
  );
}

/** What v2 echoes of the offer must be the offer, or the payer believed in another price than he signs. */
function checkAccepted(
  { network, demand }: OfferCheck,
  { accepted }: PaymentPayloadV2,
): PaymentRefused | null {
  const amount = amountOn(network, demand.quote.max).toString();
  if (!sameHex(accepted.asset, network.asset.address))
    return mismatch('invalid_payment_requirements', 'asset', network.asset.address, accepted.asset);
  if (!sameHex(accepted.payTo, network.payTo))
    return mismatch('invalid_payment_requirements', 'payTo', network.payTo, accepted.payTo);
  if (accepted.amount !== amount)
    return mismatch('invalid_payment_requirements', 'amount', amount, accepted.amount);
  return null;
}

function checkTransfer({ network, exact, demand }: OfferCheck): PaymentRefused | null {
  const { to, value } = exact.authorization;
  const amount = amountOn(network, demand.quote.max);
  if (!sameHex(to, network.payTo))
    return mismatch('invalid_exact_evm_payload_recipient_mismatch', 'to', network.payTo, to);
  if (value !== amount)
    return mismatch(
      'invalid_exact_evm_payload_authorization_value_mismatch',
      'value',
      amount.toString(),
      value.toString(),
    );
  return null;
}

function checkValidity({ exact, demand, deadlines }: OfferCheck): PaymentRefused | null {
  const { validAfter, validBefore } = exact.authorization;
  const { earliest, latest } = deadlines.validBefore(demand.route, demand.nowMs);
  const nowSeconds = BigInt(Math.floor(demand.nowMs / 1000));
  if (validAfter >= nowSeconds)
    return mismatch(
      'invalid_exact_evm_payload_authorization_valid_after',
      'validAfter',
      `less than ${nowSeconds}`,
      validAfter.toString(),
    );
  if (validBefore < earliest)
    return mismatch(
      'invalid_exact_evm_payload_authorization_valid_before',
      'validBefore',
      `at least ${earliest}, so that the work and its settlement fit`,
      validBefore.toString(),
    );
  if (validBefore > latest)
    return mismatch(
      'invalid_exact_evm_payload_authorization_valid_before',
      'validBefore',
      `at most ${latest}: see maxTimeoutSeconds of the offer`,
      validBefore.toString(),
    );
  return null;
}

/**
 * Without the quote a stranger who reads the signature on the chain could fetch the answer, and a
 * signature for one route would pay another of the same price.
 */
function checkQuote(
  { demand, verifyQuote }: OfferCheck,
  { accepted }: PaymentPayloadV2,
): PaymentRefused | null {
  const quote = accepted.extra?.quote;
  if (typeof quote !== 'string')
    return new PaymentRefused(
      'quote_missing',
      'accepted.extra.quote is missing.',
      'Echo the offer as it came, with extra.quote, in accepted.',
    );
  const verdict = verifyQuote(quote, demand.route, demand.nowMs);
  if (verdict === 'ok') return null;
  if (verdict === 'expired')
    return new PaymentRefused('quote_expired', 'accepted.extra.quote is too old.');
  return new PaymentRefused(
    verdict === 'unknown' ? 'quote_unknown' : 'quote_other_route',
    'accepted.extra.quote is not a quote for this route at its present price.',
  );
}

function mismatch(code: string, field: string, expected: string, got: string): PaymentRefused {
  return new PaymentRefused(
    code,
    `${field} is ${printable(got)}, expected ${expected}.`,
    `Sign an offer of this 402: ${field} must be ${expected}.`,
  );
}

function sameHex(one: string, other: string): boolean {
  return one.toLowerCase() === other.toLowerCase();
}

/** A stranger's text in a message of ours: short, and without control characters. */
function printable(text: string): string {
  const plain = text.replace(/[^\x20-\x7e]/g, '?');
  return plain.length > 100 ? `${plain.slice(0, 100)}…` : plain;
}
