/** What is stored with a capture so that its settlement can be finished by any later process. */

import type { SignedTransfer } from '../../chains/evm/contract-calls.ts';
import type { Hex } from '../../chains/evm/sign.ts';
import type { SignedTransaction } from '../../chains/evm/transaction.ts';
import type { SettlementJob, StoredJob } from '../../core/ports/ledger.ts';
import type { AuthorizedTransfer } from './parts.ts';
import { decodeExactEvmPayload, encodeExactEvmPayload } from './protocol.ts';

/** A stored job, read. */
export interface Settlement {
  readonly asset: Hex;
  readonly transfer: SignedTransfer;
  /** A block in which the authorization was unused. */
  readonly fromBlock: bigint;
  readonly validBeforeMs: number;
  /** Null when our own key settles. */
  readonly facilitator: { readonly url: string; readonly request: string } | null;
  readonly transaction: SignedTransaction | null;
}

const EMBEDDED = 'embedded';

interface StoredPayload {
  readonly asset: Hex;
  readonly payload: object;
  readonly fromBlock: string;
  /** Body for the facilitator, byte by byte as it saw it first. */
  readonly request?: string;
}

/** The settlement of an authorized payment; `transaction` when our own key has signed one. */
export function settlementOf(
  authorized: AuthorizedTransfer,
  transaction: SignedTransaction | null,
): Settlement {
  const { network, transfer, fromBlock, facilitator } = authorized;
  return {
    asset: network.asset.address,
    ...{ transfer, fromBlock, facilitator, transaction },
    validBeforeMs: Number(transfer.validBefore) * 1000,
  };
}

export function encodeJob(network: string, settlement: Settlement): SettlementJob {
  const { asset, transfer, fromBlock, validBeforeMs, facilitator, transaction } = settlement;
  const { signature, ...authorization } = transfer;
  const stored: StoredPayload = {
    asset,
    payload: encodeExactEvmPayload({ signature, authorization }),
    fromBlock: fromBlock.toString(),
    ...(facilitator === null ? {} : { request: facilitator.request }),
  };
  return {
    network,
    scheme: 'exact',
    payload: JSON.stringify(stored),
    via: facilitator?.url ?? EMBEDDED,
    validBeforeMs,
    ...(transaction === null ? {} : { transaction }),
  };
}

export function decodeJob(job: StoredJob): Settlement {
  const { asset, payload, fromBlock, request } = JSON.parse(job.payload) as StoredPayload;
  const { signature, authorization } = decodeExactEvmPayload(payload);
  return {
    asset,
    transfer: { ...authorization, signature },
    fromBlock: BigInt(fromBlock),
    validBeforeMs: job.validBeforeMs,
    facilitator: job.via === EMBEDDED ? null : { url: job.via, request: request ?? '' },
    transaction: (job.transaction as SignedTransaction | undefined) ?? null,
  };
}
