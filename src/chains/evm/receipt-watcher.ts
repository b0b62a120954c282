/** Waits for transactions of one chain: all pending ones are asked for in one request per round. */

import type { EvmChain } from './open-evm-chain.ts';
import type { ChainReceipt } from './receipt.ts';

export interface ReceiptWatcher {
  /** The receipt once it has its confirmations; null when that takes longer than `timeoutMs`. */
  wait(transaction: `0x${string}`, timeoutMs: number): Promise<ChainReceipt | null>;
  /** Ends every wait with null. */
  close(): void;
}

interface Wait {
  readonly done: Promise<ChainReceipt | null>;
  finish(receipt: ChainReceipt | null): void;
}

/** Asks nothing while nothing is pending; a round that no node answers is simply followed by the next. */
export function createReceiptWatcher(
  chain: Pick<EvmChain, 'receipt' | 'blockNumber'>,
  options: { readonly pollMs: number; readonly confirmations: number },
): ReceiptWatcher {
  const waits = new Map<`0x${string}`, Wait>();
  const depth = BigInt(options.confirmations - 1);
  let timer: NodeJS.Timeout | undefined;
  let asking = false;

  async function round(): Promise<void> {
    asking = true;
    timer = undefined;
    const newest = depth === 0n ? null : chain.blockNumber().catch(() => null);
    await Promise.all(
      [...waits].map(async ([hash, wait]) => {
        const receipt = await chain.receipt(hash).catch(() => null);
        const head = await newest;
        if (receipt === null) return;
        if (depth === 0n || (head !== null && receipt.block + depth <= head)) wait.finish(receipt);
      }),
    );
    asking = false;
    if (waits.size > 0) timer = setTimeout(round, options.pollMs);
  }

  function stop(): void {
    clearTimeout(timer);
    timer = undefined;
  }

  return {
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
      // The first round starts at once: on a fast chain the receipt is there already.
      if (!asking && timer === undefined) void round();
      return promise;
    },
    close() {
      stop();
      for (const wait of waits.values()) wait.finish(null);
    },
  };
}
