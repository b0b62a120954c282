/** Makes the chain transaction of a settlement with our own key; nothing here is sent. */

import { RpcUnavailable } from '../../chains/evm/json-rpc.ts';
import type { ContractCall, Submitter } from '../../chains/evm/submitter.ts';
import type { SignedTransaction } from '../../chains/evm/transaction.ts';
import type { X402Network } from './network.ts';
import { GAS_LIMIT_MAX } from './parts.ts';
import { callOf, type Transfer } from './transfer.ts';

export type SignedSettlement =
  | { readonly outcome: 'signed'; readonly transaction: SignedTransaction }
  /** It would fail now, or no node can tell. */
  | { readonly outcome: 'blocked'; readonly reason: BlockedReason };

export type BlockedReason =
  | 'insufficient_funds'
  | 'simulation_failed'
  | 'gas_limit'
  | 'fee_too_high'
  | 'not_stored'
  | 'rpc_unavailable';

/** A fifth more than measured: the state may differ a little in the block that takes it. */
const withHeadroom = (gas: bigint): bigint => (gas * 6n) / 5n;

/** Simulates the transfer and signs it as the key's next transaction: keep it or give it back. */
export async function signSettlement(
  network: X402Network,
  submitter: Submitter,
  transfer: Transfer,
): Promise<SignedSettlement> {
  try {
    const call = await measuredCall(network, submitter, transfer);
    if (typeof call === 'string') return { outcome: 'blocked', reason: call };
    return { outcome: 'signed', transaction: await submitter.prepare(call) };
  } catch (error) {
    if (error instanceof RpcUnavailable) return { outcome: 'blocked', reason: 'rpc_unavailable' };
    throw error;
  }
}

/** The same transfer under the same nonce, with higher fees. */
export async function resignSettlement(
  network: X402Network,
  submitter: Submitter,
  transfer: Transfer,
  stuck: SignedTransaction,
  bumps: number,
): Promise<SignedSettlement> {
  const call = await measuredCall(network, submitter, transfer);
  if (typeof call === 'string') return { outcome: 'blocked', reason: call };
  return { outcome: 'signed', transaction: await submitter.replace(stuck, call, bumps) };
}

async function measuredCall(
  network: X402Network,
  submitter: Submitter,
  transfer: Transfer,
): Promise<ContractCall | BlockedReason> {
  const { to, data } = callOf(transfer);
  const call = { from: submitter.address, to, data };
  // The fees are read in the same request to the node as the estimate; prepare finds them there.
  const [estimate, fees] = await Promise.all([
    network.chain.estimateGas(call),
    network.chain.fees(),
  ]);
  if (estimate.outcome === 'reverts')
    return /exceeds balance|insufficient|TRANSFER_FROM_FAILED/i.test(estimate.reason)
      ? 'insufficient_funds'
      : 'simulation_failed';
  // A spike, or a node that lies: the payment waits for a better time, within its own validity.
  if (fees.maxFeePerGas > network.feePerGasMax) return 'fee_too_high';
  const gasLimit = withHeadroom(estimate.gas);
  return gasLimit <= GAS_LIMIT_MAX ? { to, data, gasLimit } : 'gas_limit';
}
