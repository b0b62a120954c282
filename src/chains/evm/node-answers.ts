/** What a node's answer means: an answer, a refusal, or nothing that is known. */

import {
  type BundledCall,
  type BundledResult,
  ReturnDataMalformed,
  revertReason,
} from './contract-calls.ts';
import { type JsonRpc, RpcRefused, RpcUnavailable } from './json-rpc.ts';

/** Contract calls at one block, with that block's number and time. */
export type Bundle = (
  calls: readonly BundledCall[],
  at: string,
) => Promise<{ block: bigint; timestampMs: number; results: BundledResult[] }>;

/** A node that refuses to run a call says why it reverts; anything else is thrown. */
export function reverted(error: unknown): { readonly outcome: 'reverts'; readonly reason: string } {
  if (!(error instanceof RpcRefused)) throw error;
  const reason = typeof error.data === 'string' ? revertReason(error.data) : error.message;
  return { outcome: 'reverts', reason };
}

/** For calls that no healthy node refuses: a refusal means that nothing is known. */
export async function answered(call: Promise<unknown>): Promise<unknown> {
  try {
    return await call;
  } catch (error) {
    if (error instanceof RpcRefused) throw new RpcUnavailable(error.message, { cause: error });
    throw error;
  }
}

export function decoded<Value>(decode: () => Value): Value {
  try {
    return decode();
  } catch (error) {
    if (error instanceof ReturnDataMalformed)
      throw new RpcUnavailable(
        `${error.message}: is Multicall3 deployed and the asset a token of this chain?`,
      );
    throw error;
  }
}

/** The newest block as the node writes it. Rejects with RpcUnavailable. */
export async function latestBlock(rpc: JsonRpc): Promise<Record<string, unknown>> {
  const block = await answered(rpc.call('eth_getBlockByNumber', ['latest', false]));
  if (typeof block !== 'object' || block === null)
    throw new RpcUnavailable('a node returned no newest block');
  return block as Record<string, unknown>;
}
