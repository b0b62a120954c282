/**
 * Takes a payment for a request: authenticates it offline, claims it, looks at the chain, holds the
 * wallet's money. The order is the point: garbage costs nothing, and one credential never runs twice.
 */

import { RpcUnavailable } from '../../chains/evm/json-rpc.ts';
import {
  type CoinslotError,
  PaymentRefused,
  RailUnavailable,
  StillRunning,
} from '../../core/errors.ts';
import { newTimedId } from '../../core/id.ts';
import type { Payment, PaymentClaim } from '../../core/payment.ts';
import type { ExposureHold } from '../../core/ports/ledger.ts';
import type { Authorization, Demand } from '../../core/ports/rail.ts';
import { AllowanceMissing } from './allowance-missing.ts';
import type { Attempt } from './attempt.ts';
import { checkOffer } from './check-offer.ts';
import type { X402Credential } from './credential.ts';
import { facilitatorRequest, verifyRemotely } from './facilitator-request.ts';
import { inspectUpto } from './inspect-upto.ts';
import { type Inspected, inspectWallet, insufficient } from './inspect-wallet.ts';
import type { X402Network } from './network.ts';
import { amountOn } from './offers.ts';
import type { AuthorizedTransfer, X402Parts } from './parts.ts';
import { readAttempt } from './read-attempt.ts';
import { giveUpClaim, resumeClaim, showClaim } from './shown-claim.ts';
import { amountOf, payerOf } from './transfer.ts';

/** Throws PaymentRefused, RailUnavailable and StillRunning. */
export async function authorize(
  parts: X402Parts,
  credential: X402Credential,
  demand: Demand,
): Promise<Authorization> {
  const attempt = readAttempt(parts, credential, demand);
  const { network } = attempt;
  const refusal = checkOffer(attempt);
  const problem = refusal === null ? await problemOf(network) : null;
  let known: Payment | null = null;
  if (refusal !== null || problem !== null || !attempt.authentic) {
    // The answer to a payment of the past may still be fetched: its offer has expired, or the chain is down; its
    // bytes are the proof.
    known = await parts.ledger.findByCredential(attempt.credentialKey);
    if (known?.credentialHash !== credential.credentialHash) known = null;
    if (known !== null && (refusal !== null || known.state !== 'claimed'))
      return { outcome: 'exists', payment: known };
  }
  if (refusal !== null) throw refusal;
  if (problem !== null) throw new RailUnavailable(`${network.displayName}: ${problem}.`);

  const facilitatorUrl = network.submitter === null ? network.facilitator() : null;
  const claimed = known === null ? await parts.ledger.claim(claimOf(attempt)) : null;
  if (claimed?.outcome === 'claimed')
    return await verify({ ...attempt, facilitatorUrl }, claimed.payment);
  const payment = claimed?.payment ?? known;
  if (payment === null) throw new StillRunning('This payment is being handled elsewhere.');
  const resumed = await resumeClaim(attempt, payment);
  if (resumed === null) return { outcome: 'exists', payment };
  return await verify(resumed.attempt, resumed.payment);
}

/** Why the network takes no payments now; null when it does. */
async function problemOf(network: X402Network): Promise<string | null> {
  const problem = await network.liveness.problem();
  if (problem !== null || network.submitter !== null) return problem;
  return network.facilitator() === null ? 'no facilitator answers' : null;
}

function claimOf(attempt: Attempt): PaymentClaim {
  const { parts, network, credential, demand, transfer } = attempt;
  return {
    id: newTimedId('pay', parts.random, demand.nowMs),
    rail: 'x402',
    route: demand.route.id,
    payer: `wallet:${network.id}:${payerOf(transfer).toLowerCase()}`,
    network: network.id,
    asset: network.asset.id,
    max: amountOn(network, demand.quote.max),
    quoteMax: demand.quote.max,
    // A stranger may write any wallet and nonce: until it is authentic, a claim takes only its own bytes.
    credentialKey: attempt.authentic
      ? attempt.credentialKey
      : `x402:credential:${credential.credentialHash}`,
    credentialHash: credential.credentialHash,
    digest: demand.digest,
    owner: demand.owner,
    replay: credential.payment.x402Version === 2 ? 'always' : 'until-broadcast',
    createdAtMs: demand.nowMs,
    expiresAtMs: demand.nowMs + demand.route.timeoutMs + parts.marginMs,
  };
}

/** From the claim to the hold. What fails on the way gives the claim up. */
async function verify(attempt: Attempt, claimed: Payment): Promise<Authorization> {
  const { parts, network, demand } = attempt;
  let shown = attempt.shown !== null;
  try {
    const { transfer } = attempt;
    const inspected =
      transfer.scheme === 'exact'
        ? await inspectWallet(attempt, transfer)
        : await inspectUpto(attempt, transfer, claimed);
    if (!attempt.authentic && !shown) {
      const promoted = await parts.ledger.promoteClaim(claimed.id, attempt.credentialKey);
      if (promoted.outcome === 'exists') {
        await parts.ledger.abandonClaim(claimed.id);
        return promoted;
      }
    }
    const authorized = authorizedOf(attempt, inspected, claimed);
    if (authorized.facilitator !== null && !shown) {
      await showClaim(attempt, claimed, authorized);
      shown = true;
    }
    await verifyRemotely(parts, network, authorized, () => {
      shown = attempt.shown !== null;
    });
    const { block } = inspected;
    const balance = spendable(inspected);
    const { owner } = demand;
    const hold = await parts.ledger.holdExposure({ paymentId: claimed.id, owner, balance, block });
    if (hold.outcome !== 'held') throw refusalOfHold(attempt, inspected, hold);
    remember(parts, claimed.id, authorized);
    return { outcome: 'granted', payment: hold.payment, headers: [] };
  } catch (error) {
    await giveUpClaim(attempt, claimed, shown, error);
    if (!(error instanceof RpcUnavailable)) throw error;
    network.liveness.report(error.message);
    throw new RailUnavailable(`${network.displayName}: no node answers.`);
  }
}

function refusalOfHold(
  attempt: Attempt,
  inspected: Inspected,
  hold: Exclude<ExposureHold, { outcome: 'held' }>,
): CoinslotError {
  switch (hold.outcome) {
    case 'insufficient':
      return lacking(attempt, inspected, hold.open);
    case 'barred':
      return new PaymentRefused(
        'payer_barred',
        `Payment ${hold.paymentId} of this wallet was served and never settled.`,
        'Pay with another wallet, or settle with the operator, who runs: coinslot payments forgive ID.',
      );
    case 'not_claimed':
      return new StillRunning('This payment is being handled elsewhere.');
  }
}

/** What open payments of a wallet may take is bounded by what Permit2 may take of it, too. */
function spendable({ balance, allowance }: Inspected): bigint {
  return allowance !== null && allowance < balance ? allowance : balance;
}

function lacking(attempt: Attempt, inspected: Inspected, open: bigint): CoinslotError {
  const { network, transfer, parts } = attempt;
  const { balance, allowance } = inspected;
  if (allowance === null || allowance >= balance) return insufficient(attempt, balance, open);
  const needed = open + amountOf(transfer);
  return new AllowanceMissing(network.asset, allowance, needed, parts.sponsoring !== null);
}

function authorizedOf(
  attempt: Attempt,
  { block, transfer }: Inspected,
  claimed: Payment,
): AuthorizedTransfer {
  const { network, facilitatorUrl, shown } = attempt;
  const { expiresAtMs } = claimed;
  if (shown !== null) {
    const { fromBlock, facilitator } = shown;
    return { network, transfer, fromBlock, facilitator, expiresAtMs };
  }
  // Upto is settled by our own key alone: a facilitator never sees it.
  const facilitator =
    facilitatorUrl === null || transfer.scheme !== 'exact'
      ? null
      : { url: facilitatorUrl, request: facilitatorRequest({ ...attempt, transfer }) };
  return { network, transfer, fromBlock: block, facilitator, expiresAtMs };
}

/** Forgets first what can no longer be captured; the map is in the order of time. */
function remember(parts: X402Parts, id: string, authorized: AuthorizedTransfer): void {
  const nowMs = parts.clock.now();
  for (const [known, { expiresAtMs }] of parts.authorized) {
    if (expiresAtMs > nowMs) break;
    parts.authorized.delete(known);
  }
  parts.authorized.set(id, authorized);
}
