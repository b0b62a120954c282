/** Waits for transactions of one chain: all pending ones are asked for in one request per round. */

import type { EvmChain } from './open-evm-chain.ts';
import type { ChainReceipt } from './receipt.ts';

export interface ReceiptWatcher {
  /** The receipt if it has its confirmations by now; null also when no node answers. */
  look(transaction: `0x${string}`): Promise<ChainReceipt | null>;
  /** The receipt once it has its confirmations, looked for from the next round on; null after `timeoutMs`. */
  wait(transaction: `0x${string}`, timeoutMs: number): Promise<ChainReceipt | null>;
  /** Ends every wait with null. */
  close(): void;
}

interface Wait {
  readonly done: Promise<ChainReceipt | null>;
  finish(receipt: ChainReceipt | null): void;
}

type AskedChain = Pick<EvmChain, 'receipt' | 'blockNumber'>;

/** Asks nothing while nothing is pending; a round that no node answers is simply followed by the next. */
export function createReceiptWatcher(
  chain: AskedChain,
  options: { readonly pollMs: number; readonly confirmations: number },
): ReceiptWatcher {
  const waits = new Map<`0x${string}`, Wait>();
  const depth = BigInt(options.confirmations - 1);
  let timer: NodeJS.Timeout | undefined;
  let asking = false;

  async function round(): Promise<void> {
    asking = true;
    timer = undefined;
    const newest = newestBlock(chain, depth);
    await Promise.all(
      [...waits].map(async ([hash, wait]) => {
        const receipt = await confirmed(chain, hash, depth, newest);
        if (receipt !== null) wait.finish(receipt);
      }),
    );
    asking = false;
    if (waits.size > 0) schedule();
  }

  function schedule(): void {
    timer = setTimeout(round, options.pollMs);
  }

  function stop(): void {
    clearTimeout(timer);
    timer = undefined;
  }

  return {
    look: (transaction) => confirmed(chain, transaction, depth, newestBlock(chain, depth)),
    wait(transaction, timeoutMs) {
      const known = waits.get(transaction);
      if (known !== undefined) return known.done;
      const { promise, resolve } = Promise.withResolvers<ChainReceipt | null>();
      const deadline = setTimeout(() => wait.finish(null), timeoutMs);
      const wait: Wait = {
        done: promise,
        finish(receipt) {
          clearTimeout(deadline);
          waits.delete(transaction);
          if (waits.size === 0) stop();
          resolve(receipt);
        },
      };
      waits.set(transaction, wait);
      if (!asking && timer === undefined) schedule();
      return promise;
    },
    close() {
      stop();
      for (const wait of waits.values()) wait.finish(null);
    },
  };
}

/** Null where nobody needs it, or no node answers. */
async function newestBlock(chain: AskedChain, depth: bigint): Promise<bigint | null> {
  return depth === 0n ? null : await chain.blockNumber().catch(() => null);
}

/** The receipt of a transaction whose block has `depth` more above it. */
async function confirmed(
  chain: AskedChain,
  transaction: `0x${string}`,
  depth: bigint,
  newest: Promise<bigint | null>,
): Promise<ChainReceipt | null> {
  const receipt = await chain.receipt(transaction).catch(() => null);
  if (receipt === null || depth === 0n) return receipt;
  const head = await newest;
  return head !== null && receipt.block + depth <= head ? receipt : null;
}
