/** What gas costs now. */

import { type JsonRpc, RpcRefused } from './json-rpc.ts';
import { latestBlock } from './node-answers.ts';
import { quantity } from './receipt.ts';

/** What one unit of gas may cost, in wei (EIP-1559). */
export interface Fees {
  readonly maxFeePerGas: bigint;
  readonly maxPriorityFeePerGas: bigint;
}

const FEES_FRESH_MS = 2_000;
const WEI_PER_GWEI = 1_000_000_000n;

/** Asks when what is known is older than two seconds. */
export function cachedFees(rpc: JsonRpc): () => Promise<Fees> {
  let cached: Promise<Fees> | undefined;
  let readAtMs = 0;
  return () => {
    const nowMs = performance.now();
    if (cached === undefined || nowMs - readAtMs > FEES_FRESH_MS) {
      readAtMs = nowMs;
      cached = readFees(rpc);
      cached.catch(() => {
        cached = undefined;
      });
    }
    return cached;
  };
}

async function readFees(rpc: JsonRpc): Promise<Fees> {
  const [block, tip] = await Promise.all([
    latestBlock(rpc),
    rpc.call('eth_maxPriorityFeePerGas', []).then(quantity, (error: unknown) => {
      if (error instanceof RpcRefused) return null;
      throw error;
    }),
  ]);
  const baseFee = quantity(block.baseFeePerGas);
  const fallbackTip = baseFee < WEI_PER_GWEI ? baseFee : WEI_PER_GWEI;
  const maxPriorityFeePerGas = tip ?? fallbackTip;
  // Twice the base fee lasts for six full blocks in a row, each 12.5 % dearer (EIP-1559).
  return { maxFeePerGas: 2n * baseFee + maxPriorityFeePerGas, maxPriorityFeePerGas };
}
