/** Looks at the chain for a payment: its clock, the wallet's balance and code, the authorization, the transfer. */

import type { WalletSnapshot } from '../../chains/evm/open-evm-chain.ts';
import { PaymentRefused, RailUnavailable } from '../../core/errors.ts';
import { formatDecimal } from '../../core/money.ts';
import type { Attempt } from './attempt.ts';
import { CLOCK_SKEW_MAX_MS } from './network.ts';
import { GAS_LIMIT_MAX } from './parts.ts';
import { amountOf, callOf, type ExactTransfer, payerOf, type Transfer } from './transfer.ts';

/** What the chain says of a payment that is good. */
export interface Inspected {
  readonly block: bigint;
  /** Atoms of the asset that the wallet has. */
  readonly balance: bigint;
  /** Atoms that may be taken of it; null where nothing but the balance sets a limit. */
  readonly allowance: bigint | null;
  /** As it is to be made. */
  readonly transfer: Transfer;
}

/** Throws PaymentRefused, RailUnavailable and RpcUnavailable. */
export async function inspectWallet(attempt: Attempt, transfer: ExactTransfer): Promise<Inspected> {
  const { network } = attempt;
  const snapshot = await network.chain.snapshot(network.asset.address, transfer.signed);
  checkClock(attempt, snapshot.timestampMs);
  checkSnapshot(attempt, snapshot);
  if (snapshot.hasCode) await checkGas(attempt, transfer);
  return { block: snapshot.block, balance: snapshot.balance, allowance: null, transfer };
}

/** Throws RailUnavailable when the newest block is not of now. */
export function checkClock(attempt: Attempt, timestampMs: number): void {
  const apartMs = timestampMs - attempt.parts.clock.now();
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
      `The signature is not of ${payerOf(transfer)} over this authorization.`,
      `Sign as from, under the EIP-712 domain "${network.asset.name}" version "${network.asset.version}" on chain ${network.chainId}.`,
    );
  if (snapshot.authorizationUsed)
    throw new PaymentRefused(
      'invalid_exact_evm_nonce_already_used',
      'The authorization was used or cancelled before.',
      'Sign a new authorization with a new random nonce.',
    );
  if (snapshot.balance < amountOf(transfer)) throw insufficient(attempt, snapshot.balance, 0n);
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
export async function checkGas({ network }: Attempt, transfer: Transfer): Promise<void> {
  const estimate = await network.chain.estimateGas({
    from: network.submitter?.address ?? network.payTo,
    ...callOf(transfer),
  });
  if (estimate.outcome === 'ok' && estimate.gas <= GAS_LIMIT_MAX) return;
  throw new PaymentRefused(
    'invalid_exact_evm_transaction_simulation_failed',
    `The wallet's signature check fails or takes more than ${GAS_LIMIT_MAX} gas.`,
  );
}

/** What a wallet lacks that promised `open` atoms to other calls. */
export function insufficient(attempt: Attempt, balance: bigint, open: bigint): PaymentRefused {
  const { decimals, symbol } = attempt.network.asset;
  const show = (atoms: bigint): string => `${formatDecimal(atoms, decimals)} ${symbol}`;
  const promised = open === 0n ? '' : `, of which ${show(open)} pays for other calls`;
  return new PaymentRefused(
    'insufficient_funds',
    `The wallet has ${show(balance)}${promised}; this call costs ${show(amountOf(attempt.transfer))}.`,
    'Fund the wallet, or pay with another one.',
  );
}
