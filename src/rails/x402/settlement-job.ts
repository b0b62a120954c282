/** What is stored with a capture so that its settlement can be finished by any later process. */

import type { Hex } from '../../chains/evm/sign.ts';
import type { SignedTransaction } from '../../chains/evm/transaction.ts';
import type { SettlementJob, StoredJob } from '../../core/ports/settlement.ts';
import type { AuthorizedTransfer } from './parts.ts';
import { decodeExactEvmPayload, encodeExactEvmPayload, type JsonObject } from './protocol.ts';
import {
  decodeSponsoredPermit,
  decodeUptoEvmPayload,
  encodeSponsoredPermit,
  encodeUptoEvmPayload,
} from './protocol-upto.ts';
import { type Transfer, validBeforeMsOf } from './transfer.ts';

/** A stored job, read. */
export interface Settlement {
  readonly transfer: Transfer;
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
  /** Of upto: the atoms to take, and the permit for Permit2 that goes along, as extensions. */
  readonly amount?: string;
  readonly extensions?: JsonObject;
  readonly fromBlock: string;
  /** Body for the facilitator, byte by byte as it saw it first. */
  readonly request?: string;
}

/** The settlement of an authorized payment; `transaction` when our own key has signed one. */
export function settlementOf(
  authorized: AuthorizedTransfer,
  transaction: SignedTransaction | null,
): Settlement {
  const { transfer, fromBlock, facilitator } = authorized;
  return {
    ...{ transfer, fromBlock, facilitator, transaction },
    validBeforeMs: validBeforeMsOf(transfer),
  };
}

export function encodeJob(network: string, settlement: Settlement): SettlementJob {
  const { transfer, fromBlock, validBeforeMs, facilitator, transaction } = settlement;
  const stored: StoredPayload = {
    ...encodeTransfer(transfer),
    fromBlock: fromBlock.toString(),
    ...(facilitator === null ? {} : { request: facilitator.request }),
  };
  return {
    network,
    scheme: transfer.scheme,
    payload: JSON.stringify(stored),
    via: facilitator?.url ?? EMBEDDED,
    validBeforeMs,
    ...(transaction === null ? {} : { transaction }),
  };
}

export function decodeJob(job: StoredJob): Settlement {
  const stored = JSON.parse(job.payload) as StoredPayload;
  const { fromBlock, request } = stored;
  return {
    transfer: job.scheme === 'upto' ? decodeUpto(stored) : decodeExact(stored),
    fromBlock: BigInt(fromBlock),
    validBeforeMs: job.validBeforeMs,
    facilitator: job.via === EMBEDDED ? null : { url: job.via, request: request ?? '' },
    transaction: (job.transaction as SignedTransaction | undefined) ?? null,
  };
}

function encodeTransfer(
  transfer: Transfer,
): Pick<StoredPayload, 'asset' | 'payload' | 'amount' | 'extensions'> {
  if (transfer.scheme === 'exact') {
    const { signature, ...authorization } = transfer.signed;
    return {
      asset: transfer.asset,
      payload: encodeExactEvmPayload({ signature, authorization }),
    };
  }
  const { signature, tokenPermit, ...permit2Authorization } = transfer.signed;
  const asset = permit2Authorization.permitted.token;
  return {
    asset,
    payload: encodeUptoEvmPayload({ signature, permit2Authorization }),
    amount: transfer.amount.toString(),
    ...(tokenPermit === null
      ? {}
      : {
          extensions: encodeSponsoredPermit(
            { ...tokenPermit, asset, from: tokenPermit.owner, amount: tokenPermit.value },
            undefined,
          ),
        }),
  };
}

function decodeExact({ asset, payload }: StoredPayload): Transfer {
  const { signature, authorization } = decodeExactEvmPayload(payload);
  return { scheme: 'exact', asset, signed: { ...authorization, signature } };
}

function decodeUpto({ payload, amount = '0', extensions }: StoredPayload): Transfer {
  const { signature, permit2Authorization } = decodeUptoEvmPayload(payload);
  const sponsored = decodeSponsoredPermit(extensions);
  const tokenPermit =
    sponsored === null ? null : { ...sponsored, owner: sponsored.from, value: sponsored.amount };
  return {
    scheme: 'upto',
    signed: { ...permit2Authorization, signature, tokenPermit },
    amount: BigInt(amount),
  };
}
