/** Looks at the chain for an upto payment: the wallet's balance and code, what Permit2 may take, the nonce, the proxy. */

import type { UptoSnapshot } from '../../chains/evm/upto-chain.ts';
import { PaymentRefused, RailUnavailable } from '../../core/errors.ts';
import type { Payment } from '../../core/payment.ts';
import { AllowanceMissing } from './allowance-missing.ts';
import type { Attempt } from './attempt.ts';
import { checkClock, checkGas, type Inspected, insufficient } from './inspect-wallet.ts';
import { payerOf, type UptoTransfer } from './transfer.ts';

/** Throws PaymentRefused, AllowanceMissing, RailUnavailable and RpcUnavailable. */
export async function inspectUpto(
  attempt: Attempt,
  transfer: UptoTransfer,
  claimed: Payment,
): Promise<Inspected> {
  const { network } = attempt;
  const facilitator = transfer.signed.witness.facilitator;
  const look = (signed: UptoTransfer['signed']): Promise<UptoSnapshot> =>
    network.chain.upto.snapshot(signed, facilitator);
  let used = transfer;
  let snapshot = await look(transfer.signed);
  checkClock(attempt, snapshot.timestampMs);
  const isAllowed = snapshot.allowance >= transfer.amount;
  if (isAllowed && transfer.signed.tokenPermit !== null) {
    // A permit would only lower what the wallet has allowed already.
    used = { ...transfer, signed: { ...transfer.signed, tokenPermit: null } };
    snapshot = await look(used.signed);
  }
  checkWallet(attempt, snapshot, transfer.amount);
  if (!isAllowed) await demandPermit(attempt, used, snapshot, claimed);
  checkSimulation(attempt, snapshot);
  if (snapshot.hasCode) await checkGas(attempt, used);
  const { block, balance, allowance } = snapshot;
  return { block, balance, allowance: isAllowed ? allowance : null, transfer: used };
}

function checkWallet(attempt: Attempt, snapshot: UptoSnapshot, amount: bigint): void {
  if (!attempt.authentic && !snapshot.hasCode)
    throw new PaymentRefused(
      'invalid_permit2_signature',
      `The signature is not of ${payerOf(attempt.transfer)} over this permit.`,
      `Sign PermitWitnessTransferFrom as from, under the EIP-712 domain "Permit2" on chain ${attempt.network.chainId}.`,
    );
  if (snapshot.nonceUsed)
    throw new PaymentRefused(
      'permit2_invalid_nonce',
      'The nonce of this permit was used or cancelled before.',
      'Sign a new permit with a new random nonce.',
    );
  if (snapshot.balance < amount) throw insufficient(attempt, snapshot.balance, 0n);
}

/** Without allowance, a permit of the token must come along, and we must be willing to pay for it. */
async function demandPermit(
  { parts, network, demand }: Attempt,
  { signed, amount }: UptoTransfer,
  { allowance }: UptoSnapshot,
  claimed: Payment,
): Promise<void> {
  const { sponsoring } = parts;
  const missing = new AllowanceMissing(network.asset, allowance, amount, sponsoring !== null);
  if (signed.tokenPermit === null || sponsoring === null) throw missing;
  if (!(await sponsoring.take(claimed.payer, claimed, demand.nowMs))) throw missing;
}

function checkSimulation({ network }: Attempt, { simulation }: UptoSnapshot): void {
  if (simulation.outcome === 'ok') return;
  const { reason } = simulation;
  if (/paused/i.test(reason)) throw new RailUnavailable(`${network.asset.symbol} is paused.`);
  throw new PaymentRefused(
    'permit2_simulation_failed',
    `The upto proxy refuses the transfer: ${reason}.`,
  );
}
