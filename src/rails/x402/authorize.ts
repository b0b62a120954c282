/**
 * Takes a payment for a request: authenticates it offline, claims it, looks at the chain, holds the
 * wallet's money. The order is the point: garbage costs nothing, and one credential never runs twice.
 */

import { type SignedTransfer, transferWithAuthorization } from '../../chains/evm/contract-calls.ts';
import { RpcUnavailable } from '../../chains/evm/json-rpc.ts';
import type { WalletSnapshot } from '../../chains/evm/open-evm-chain.ts';
import { recoverAddress } from '../../chains/evm/recover.ts';
import { hashTransferAuthorization } from '../../chains/evm/sign.ts';
import { CoinslotError, PaymentRefused, RailUnavailable, StillRunning } from '../../core/errors.ts';
import { newTimedId } from '../../core/id.ts';
import { formatDecimal } from '../../core/money.ts';
import type { Payment, PaymentClaim } from '../../core/payment.ts';
import type { ExposureHold } from '../../core/ports/ledger.ts';
import type { Authorization, Demand } from '../../core/ports/rail.ts';
import { checkOffer } from './check-offer.ts';
import type { X402Credential } from './credential.ts';
import { facilitatorRequest, verifyRemotely } from './facilitator-request.ts';
import { CLOCK_SKEW_MAX_MS, type X402Network } from './network.ts';
import { amountOn } from './offers.ts';
import { type AuthorizedTransfer, GAS_LIMIT_MAX, type X402Parts } from './parts.ts';
import type { ExactEvmPayload } from './protocol.ts';

/** Everything about one presented payment. */
interface Attempt {
  readonly parts: X402Parts;
  readonly network: X402Network;
  readonly credential: X402Credential;
  readonly transfer: SignedTransfer;
  readonly demand: Demand;
  /** What the ledger knows an authentic credential by. */
  readonly credentialKey: string;
  /** The payer's own key signed; otherwise only the chain can tell (ERC-1271). */
  readonly authentic: boolean;
  /** The one facilitator that will see it; null when our own key settles. */
  readonly facilitatorUrl: string | null;
}

/** Throws PaymentRefused, RailUnavailable and StillRunning. */
export async function authorize(
  parts: X402Parts,
  credential: X402Credential,
  demand: Demand,
): Promise<Authorization> {
  const { network, exact } = matchNetwork(parts, credential);
  const attempt = attemptOf(parts, network, exact, credential, demand);
  const { deadlines, verifyQuote } = parts;
  const refusal = checkOffer({ network, exact, credential, demand, deadlines, verifyQuote });
  if (refusal !== null || !attempt.authentic) {
    // The answer to a payment of the past may still be fetched: its offer has expired, its bytes are the proof.
    const known = await parts.ledger.findByCredential(attempt.credentialKey);
    if (known?.credentialHash === credential.credentialHash)
      return { outcome: 'exists', payment: known };
  }
  if (refusal !== null) throw refusal;

  const problem = await network.liveness.problem();
  if (problem !== null) throw new RailUnavailable(`${network.displayName}: ${problem}.`);
  const facilitatorUrl = network.submitter === null ? network.facilitator() : null;
  if (network.submitter === null && facilitatorUrl === null)
    throw new RailUnavailable(`${network.displayName}: no facilitator answers.`);
  const claimed = await parts.ledger.claim(claimOf(attempt));
  if (claimed.outcome === 'exists') return claimed;
  return await verify({ ...attempt, facilitatorUrl }, claimed.payment);
}

function matchNetwork(
  parts: X402Parts,
  credential: X402Credential,
): { readonly network: X402Network; readonly exact: ExactEvmPayload } {
  if (credential.scheme !== 'exact')
    throw new PaymentRefused('unsupported_scheme', 'Only the scheme "exact" is offered.');
  const network = parts.networks.get(credential.network);
  if (network === undefined || credential.exact === null)
    throw new PaymentRefused(
      'invalid_network',
      `The network is not offered here; expected ${[...parts.networks.keys()].join(' or ')}.`,
    );
  return { network, exact: credential.exact };
}

function attemptOf(
  parts: X402Parts,
  network: X402Network,
  exact: ExactEvmPayload,
  credential: X402Credential,
  demand: Demand,
): Attempt {
  const { signature, authorization } = exact;
  const from = authorization.from.toLowerCase();
  const nonce = authorization.nonce.toLowerCase();
  const authentic =
    credential.signedBy === 'key' &&
    recoverAddress(hashTransferAuthorization(network.separator, authorization), signature) === from;
  return {
    ...{ parts, network, credential, demand, authentic, facilitatorUrl: null },
    transfer: { ...authorization, signature },
    credentialKey: `x402:${network.id}:${network.asset.address.toLowerCase()}:${from}:${nonce}`,
  };
}

function claimOf(attempt: Attempt): PaymentClaim {
  const { parts, network, credential, demand, transfer } = attempt;
  return {
    id: newTimedId('pay', parts.random, demand.nowMs),
    rail: 'x402',
    route: demand.route.id,
    payer: `wallet:${network.id}:${transfer.from.toLowerCase()}`,
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

/** From the claim to the hold. What fails on the way deletes the claim, unless a facilitator saw it. */
async function verify(attempt: Attempt, claimed: Payment): Promise<Authorization> {
  const { parts, network, demand } = attempt;
  let shown = false;
  try {
    const snapshot = await inspect(attempt);
    if (!attempt.authentic) {
      const promoted = await parts.ledger.promoteClaim(claimed.id, attempt.credentialKey);
      if (promoted.outcome === 'exists') {
        await parts.ledger.abandonClaim(claimed.id);
        return promoted;
      }
    }
    const authorized = authorizedOf(attempt, snapshot, claimed);
    shown = authorized.facilitator !== null;
    await verifyRemotely(parts, network, authorized, () => {
      shown = false;
    });
    const { balance, block } = snapshot;
    const { owner } = demand;
    const hold = await parts.ledger.holdExposure({ paymentId: claimed.id, owner, balance, block });
    if (hold.outcome !== 'held') throw refusalOfHold(attempt, balance, hold);
    remember(parts, claimed.id, authorized);
    return { outcome: 'granted', payment: hold.payment, headers: [] };
  } catch (error) {
    await forget(attempt, claimed, shown, error);
    if (!(error instanceof RpcUnavailable)) throw error;
    network.liveness.report(error.message);
    throw new RailUnavailable(`${network.displayName}: no node answers.`);
  }
}

async function forget(
  { parts, demand }: Attempt,
  claimed: Payment,
  shown: boolean,
  error: unknown,
): Promise<void> {
  const { ledger, log } = parts;
  const definite = error instanceof PaymentRefused;
  const state = definite ? 'rejected' : 'released';
  const reason = error instanceof CoinslotError ? error.code : 'rail_unavailable';
  const { id: paymentId } = claimed;
  try {
    if (!shown) await ledger.abandonClaim(paymentId);
    else await ledger.release({ paymentId, owner: demand.owner, state, reason, answer: null });
  } catch (problem) {
    log.error({ payment: paymentId, error: problem }, 'a claim could not be given back');
  }
}

async function inspect(attempt: Attempt): Promise<WalletSnapshot> {
  const { network, transfer } = attempt;
  const snapshot = await network.chain.snapshot(network.asset.address, transfer);
  checkClock(attempt, snapshot);
  checkSnapshot(attempt, snapshot);
  if (snapshot.hasCode) await checkGas(attempt);
  return snapshot;
}

function refusalOfHold(
  attempt: Attempt,
  balance: bigint,
  hold: Exclude<ExposureHold, { outcome: 'held' }>,
): CoinslotError {
  switch (hold.outcome) {
    case 'insufficient':
      return insufficient(attempt, balance, hold.open);
    case 'barred':
      return new PaymentRefused(
        'payer_barred',
        `Payment ${hold.paymentId} of this wallet was served and never settled.`,
        'Pay with another wallet, or settle with the operator.',
      );
    case 'not_claimed':
      return new StillRunning('This payment is being handled elsewhere.');
  }
}

function checkClock(attempt: Attempt, snapshot: WalletSnapshot): void {
  const apartMs = snapshot.timestampMs - attempt.parts.clock.now();
  if (Math.abs(apartMs) <= CLOCK_SKEW_MAX_MS) return;
  const problem = `the newest block is ${Math.round(apartMs / 1000)} s ahead of this machine's clock`;
  attempt.network.liveness.report(problem);
  throw new RailUnavailable(`${attempt.network.displayName}: ${problem}.`);
}

function checkSnapshot(attempt: Attempt, snapshot: WalletSnapshot): void {
  const { network, transfer } = attempt;
  if (!attempt.authentic && !snapshot.hasCode)
    throw new PaymentRefused(
      'invalid_exact_evm_payload_signature',
      `The signature is not of ${transfer.from} over this authorization.`,
      `Sign as from, under the EIP-712 domain "${network.asset.name}" version "${network.asset.version}" on chain ${network.chainId}.`,
    );
  if (snapshot.authorizationUsed)
    throw new PaymentRefused(
      'invalid_exact_evm_nonce_already_used',
      'The authorization was used or cancelled before.',
      'Sign a new authorization with a new random nonce.',
    );
  if (snapshot.balance < transfer.value) throw insufficient(attempt, snapshot.balance, 0n);
  if (snapshot.simulation.outcome === 'ok') return;
  const { reason } = snapshot.simulation;
  if (/paused/i.test(reason)) throw new RailUnavailable(`${network.asset.symbol} is paused.`);
  throw new PaymentRefused(
    /signature/i.test(reason)
      ? 'invalid_exact_evm_payload_signature'
      : 'invalid_exact_evm_transaction_simulation_failed',
    `The token refuses the transfer: ${reason}.`,
  );
}

/** A contract wallet writes its own signature check: it must not burn our gas. */
async function checkGas({ network, transfer }: Attempt): Promise<void> {
  const estimate = await network.chain.estimateGas({
    from: network.submitter?.address ?? network.payTo,
    to: network.asset.address,
    data: `0x${transferWithAuthorization(transfer)}`,
  });
  if (estimate.outcome === 'ok' && estimate.gas <= GAS_LIMIT_MAX) return;
  throw new PaymentRefused(
    'invalid_exact_evm_transaction_simulation_failed',
    `The wallet's signature check fails or takes more than ${GAS_LIMIT_MAX} gas.`,
  );
}

function insufficient(attempt: Attempt, balance: bigint, open: bigint): PaymentRefused {
  const { decimals, symbol } = attempt.network.asset;
  const show = (atoms: bigint): string => `${formatDecimal(atoms, decimals)} ${symbol}`;
  const promised = open === 0n ? '' : `, of which ${show(open)} pays for other calls`;
  return new PaymentRefused(
    'insufficient_funds',
    `The wallet has ${show(balance)}${promised}; this call costs ${show(attempt.transfer.value)}.`,
    'Fund the wallet, or pay with another one.',
  );
}

function authorizedOf(
  attempt: Attempt,
  snapshot: WalletSnapshot,
  claimed: Payment,
): AuthorizedTransfer {
  const { network, transfer, facilitatorUrl } = attempt;
  const request = facilitatorUrl === null ? '' : facilitatorRequest(attempt);
  return {
    ...{ network, transfer, fromBlock: snapshot.block, expiresAtMs: claimed.expiresAtMs },
    facilitator: facilitatorUrl === null ? null : { url: facilitatorUrl, request },
  };
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
