/** Does the payment take an offer of ours, for this request and in time? Offline; every refusal names what was expected. */

import { PaymentRefused } from '../../core/errors.ts';
import type { Attempt } from './attempt.ts';
import { checkSponsored, checkUpto, type UptoCheck } from './check-upto.ts';
import { amountOn } from './offers.ts';
import type { PaymentPayloadV2 } from './protocol.ts';
import { mismatch, sameHex } from './refusals.ts';
import type { ExactTransfer, UptoTransfer } from './transfer.ts';

/** Throws nothing: what is wrong is returned. */
type OfferCheck = Pick<Attempt, 'parts' | 'network' | 'credential' | 'transfer' | 'demand'>;

/** Null when everything fits; the signature is not looked at here. */
export function checkOffer(check: OfferCheck): PaymentRefused | null {
  const { credential, transfer } = check;
  const accepted = credential.payment.x402Version === 2 ? credential.payment : null;
  return (
    (accepted && checkAccepted(check, accepted)) ??
    (transfer.scheme === 'exact' ? checkExact(check, transfer) : checkPermit(check, transfer)) ??
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

function checkExact(check: OfferCheck, transfer: ExactTransfer): PaymentRefused | null {
  return checkTransfer(check, transfer) ?? checkValidity(check, transfer);
}

function checkPermit(
  { parts, network, credential, demand }: OfferCheck,
  { signed }: UptoTransfer,
): PaymentRefused | null {
  const check: UptoCheck = {
    permit: signed,
    asset: network.asset.address,
    payTo: network.payTo,
    facilitator: network.upto?.facilitator ?? network.payTo,
    amount: amountOn(network, demand.quote.max),
    window: parts.deadlines.validBefore(demand.route, demand.nowMs),
    nowMs: demand.nowMs,
  };
  const sponsored = credential.upto?.sponsored ?? null;
  return checkUpto(check) ?? (sponsored && checkSponsored(sponsored, check));
}

function checkTransfer(
  { network, demand }: OfferCheck,
  { signed }: ExactTransfer,
): PaymentRefused | null {
  const { to, value } = signed;
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

function checkValidity(
  { parts, demand }: OfferCheck,
  { signed }: ExactTransfer,
): PaymentRefused | null {
  const { validAfter, validBefore } = signed;
  const { earliest, latest } = parts.deadlines.validBefore(demand.route, demand.nowMs);
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
  { demand, parts }: OfferCheck,
  { accepted }: PaymentPayloadV2,
): PaymentRefused | null {
  const quote = accepted.extra?.quote;
  if (typeof quote !== 'string')
    return new PaymentRefused(
      'quote_missing',
      'accepted.extra.quote is missing.',
      'Echo the offer as it came, with extra.quote, in accepted.',
    );
  const verdict = parts.verifyQuote(quote, demand.route, demand.nowMs);
  if (verdict === 'ok') return null;
  if (verdict === 'expired')
    return new PaymentRefused('quote_expired', 'accepted.extra.quote is too old.');
  return new PaymentRefused(
    verdict === 'unknown' ? 'quote_unknown' : 'quote_other_route',
    'accepted.extra.quote is not a quote for this route at its present price.',
  );
}
