/** Which blocks are on the chain now, by their hashes. */

import type { JsonRpc } from './json-rpc.ts';
import { blockHashIn, quantity } from './receipt.ts';
import type { Hex } from './sign.ts';

export interface BlockHashes {
  /** Number of the newest block. */
  readonly head: bigint;
  /** In the order of the question; null for a block that the node does not have (yet). */
  readonly hashes: readonly (Hex | null)[];
}

/** All in one request. Rejects as `call` does. */
export async function readBlockHashes(
  call: JsonRpc['call'],
  blocks: readonly bigint[],
): Promise<BlockHashes> {
  const [head, ...found] = await Promise.all([
    call('eth_blockNumber', []),
    ...blocks.map((block) => call('eth_getBlockByNumber', [`0x${block.toString(16)}`, false])),
  ]);
  const hashes = found.map((block) =>
    blockHashIn((block as { readonly hash?: unknown } | null)?.hash),
  );
  return { head: quantity(head), hashes };
}
