/**
 * Looks whether the blocks in which payments settled are still on the chain. A block names its parent, so as long
 * as the newest of them is there, those before it are: one question per network while nothing new has settled.
 */

import { RpcUnavailable } from '../../chains/evm/json-rpc.ts';
import type { SettledBlock } from '../../core/ports/settlement.ts';
import type { X402Network } from './network.ts';
import type { X402Parts } from './parts.ts';

/** What is known of one network. */
interface Known {
  /** The newest block when it was last asked; null before. */
  head: bigint | null;
  /** This block and all that settled before it were on the chain. */
  sound: SettledBlock | null;
}

/** Rejects when the ledger fails; a node that does not answer is asked again the next time. */
export function createRecheck(parts: X402Parts): () => Promise<void> {
  const known = new Map<string, Known>();
  return async () => {
    const looks = [...parts.networks.values()].map(async (network) => {
      if (network.recheckBlocks === 0) return;
      const state = known.get(network.id) ?? { head: null, sound: null };
      known.set(network.id, state);
      try {
        await recheckNetwork(parts, network, state);
      } catch (error) {
        if (!(error instanceof RpcUnavailable)) throw error;
      }
    });
    await Promise.all(looks);
  };
}

async function recheckNetwork(parts: X402Parts, network: X402Network, state: Known): Promise<void> {
  state.head ??= await network.chain.blockNumber();
  const since = state.head - BigInt(network.recheckBlocks);
  const blocks = await parts.ledger.settledBlocks(network.id, since);
  const [newest] = blocks;
  if (newest === undefined) return;
  const { sound } = state;
  if (sound !== null && sameBlock(newest, sound)) {
    const [only] = await dropped(network, state, [newest]);
    if (only === undefined) return;
    state.sound = null;
  }
  // Down to the one that was there, which is the parent of what was built on it.
  const doubtful =
    state.sound === null ? blocks : blocks.filter(({ block }) => block >= (sound?.block ?? 0n));
  const gone = await dropped(network, state, doubtful);
  for (const one of gone) await unsettle(parts, network, one);
  if (gone.length > 0) state.sound = null;
}

/** Those of the blocks in whose place the chain has another one; notes the newest if all are there. */
async function dropped(
  network: X402Network,
  state: Known,
  blocks: readonly SettledBlock[],
): Promise<SettledBlock[]> {
  const { head, hashes } = await network.chain.blockHashes(blocks.map(({ block }) => block));
  state.head = head;
  if (blocks.every(({ blockHash }, index) => hashes[index] === blockHash))
    state.sound = blocks[0] ?? null;
  // A node that does not have the block may only be behind.
  return blocks.filter(({ blockHash }, index) => {
    const found = hashes[index];
    return found !== null && found !== undefined && found !== blockHash;
  });
}

async function unsettle(
  { ledger, log, efforts }: X402Parts,
  { id }: X402Network,
  block: SettledBlock,
): Promise<void> {
  for (const payment of await ledger.unsettle(id, block)) {
    efforts.delete(payment.id);
    log.warn(
      { payment: payment.id, network: id, block: block.block.toString() },
      'a settlement was dropped by a reorganisation; it is settled again',
    );
  }
}

function sameBlock(a: SettledBlock, b: SettledBlock): boolean {
  return a.block === b.block && a.blockHash === b.blockHash;
}
