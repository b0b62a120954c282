/** What a network needs for the scheme upto: our own key, whom payers name as facilitator, and the contracts. */

import type { EvmChain } from '../../chains/evm/open-evm-chain.ts';
import { type Hex, toChecksumAddress } from '../../chains/evm/sign.ts';
import { permit2Separator } from '../../chains/evm/sign-permit2.ts';
import type { Clock } from '../../core/clock.ts';

export interface UptoSupport {
  /** Our settlement key, with its checksum: the proxy listens to nobody else. */
  readonly facilitator: Hex;
  /** EIP-712 separator of Permit2 on this chain, computed once. */
  readonly separator: Uint8Array;
  /** Whether Permit2 and the proxy are on this chain. Never rejects; asks again while they are not. */
  isDeployed(): Promise<boolean>;
}

const ASK_AGAIN_MS = 60_000;

export function createUptoSupport(chain: EvmChain, key: Hex, clock: Clock): UptoSupport {
  let found = false;
  let askedAtMs = Number.NEGATIVE_INFINITY;
  return {
    facilitator: toChecksumAddress(key),
    separator: permit2Separator(chain.chainId),
    async isDeployed() {
      const nowMs = clock.now();
      if (found || nowMs - askedAtMs < ASK_AGAIN_MS) return found;
      try {
        found = await chain.upto.isDeployed();
        askedAtMs = nowMs;
      } catch {
        // No node answers: liveness tells, and the next offer asks again.
      }
      return found;
    },
  };
}
