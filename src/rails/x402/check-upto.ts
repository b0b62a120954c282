/** Does an upto permit take the offer of ours, for this request and in time? Offline; every refusal names what was expected. */

import type { Hex } from '../../chains/evm/sign.ts';
import { PERMIT2, UPTO_PROXY } from '../../chains/evm/sign-permit2.ts';
import type { PaymentRefused } from '../../core/errors.ts';
import type { Deadlines } from './deadlines.ts';
import type { SponsoredPermit, UptoEvmPayload } from './protocol-upto.ts';
import { mismatch, sameHex } from './refusals.ts';

export interface UptoCheck {
  readonly permit: UptoEvmPayload['permit2Authorization'];
  /** What is offered: the token, where the money goes, and the address that alone may settle. */
  readonly asset: Hex;
  readonly payTo: Hex;
  readonly facilitator: Hex;
  /** Atoms of the asset that the quote may cost at most. */
  readonly amount: bigint;
  readonly window: ReturnType<Deadlines['validBefore']>;
  readonly nowMs: number;
}

/** Null when everything fits; the signature and the echoed offer are not looked at here. */
export function checkUpto(check: UptoCheck): PaymentRefused | null {
  return checkParties(check) ?? checkAmount(check) ?? checkTime(check);
}

function checkParties({ permit, asset, payTo, facilitator }: UptoCheck): PaymentRefused | null {
  const { spender, permitted, witness } = permit;
  const field = (path: string): string => `permit2Authorization.${path}`;
  if (!sameHex(spender, UPTO_PROXY))
    return mismatch('invalid_permit2_spender', field('spender'), UPTO_PROXY, spender);
  if (!sameHex(permitted.token, asset))
    return mismatch('permit2_token_mismatch', field('permitted.token'), asset, permitted.token);
  if (!sameHex(witness.to, payTo))
    return mismatch('invalid_permit2_recipient_mismatch', field('witness.to'), payTo, witness.to);
  if (!sameHex(witness.facilitator, facilitator))
    return mismatch(
      'upto_facilitator_mismatch',
      field('witness.facilitator'),
      facilitator,
      witness.facilitator,
    );
  return null;
}

function checkAmount({ permit, amount }: UptoCheck): PaymentRefused | null {
  if (permit.permitted.amount === amount) return null;
  return mismatch(
    'permit2_amount_mismatch',
    'permit2Authorization.permitted.amount',
    amount.toString(),
    permit.permitted.amount.toString(),
  );
}

function checkTime({ permit, window, nowMs }: UptoCheck): PaymentRefused | null {
  const { deadline, witness } = permit;
  const nowSeconds = BigInt(Math.floor(nowMs / 1000));
  if (witness.validAfter >= nowSeconds)
    return mismatch(
      'permit2_not_yet_valid',
      'permit2Authorization.witness.validAfter',
      `less than ${nowSeconds}`,
      witness.validAfter.toString(),
    );
  const wrong = (expected: string) =>
    mismatch(
      'permit2_deadline_expired',
      'permit2Authorization.deadline',
      expected,
      deadline.toString(),
    );
  if (deadline < window.earliest)
    return wrong(`at least ${window.earliest}, so that the work and its settlement fit`);
  if (deadline > window.latest)
    return wrong(`at most ${window.latest}: see maxTimeoutSeconds of the offer`);
  return null;
}

/** The permit that the gateway is to send along must be of this payer, for this token and this very payment. */
export function checkSponsored(
  sponsored: SponsoredPermit,
  { permit, asset, window }: UptoCheck,
): PaymentRefused | null {
  const field = (name: string): string => `extensions.eip2612GasSponsoring.info.${name}`;
  if (!sameHex(sponsored.from, permit.from))
    return mismatch('eip2612_from_mismatch', field('from'), permit.from, sponsored.from);
  if (!sameHex(sponsored.asset, asset))
    return mismatch('eip2612_asset_mismatch', field('asset'), asset, sponsored.asset);
  if (!sameHex(sponsored.spender, PERMIT2))
    return mismatch('eip2612_spender_not_permit2', field('spender'), PERMIT2, sponsored.spender);
  // The proxy refuses any other value.
  if (sponsored.amount !== permit.permitted.amount)
    return mismatch(
      'permit2_2612_amount_mismatch',
      field('amount'),
      permit.permitted.amount.toString(),
      sponsored.amount.toString(),
    );
  if (sponsored.deadline < window.earliest)
    return mismatch(
      'eip2612_deadline_expired',
      field('deadline'),
      `at least ${window.earliest}`,
      sponsored.deadline.toString(),
    );
  return null;
}
