/** Reads what an upto payment needs of a chain: the wallet, its nonce in Permit2, and whether the proxy would settle. */

import {
  type BundledCall,
  type BundledResult,
  balanceOf,
  decodeNumber,
  hexData,
} from './contract-calls.ts';
import { findUptoFate, type UptoFate, type UptoQuery } from './find-upto.ts';
import type { JsonRpc } from './json-rpc.ts';
import { answered, type Bundle, decoded, reverted } from './node-answers.ts';
import { isNonceUsed, nonceBitmap, type SignedUptoPermit, settleUpto } from './permit2-calls.ts';
import { parseReceipt } from './receipt.ts';
import type { Hex } from './sign.ts';
import { PERMIT2, permit2Allowance, UPTO_PROXY } from './sign-permit2.ts';

/** A wallet and one of its permits, as of one block. */
export interface UptoSnapshot {
  readonly block: bigint;
  readonly timestampMs: number;
  /** Atoms of the asset. */
  readonly balance: bigint;
  /** Atoms that Permit2 may take of the wallet. */
  readonly allowance: bigint;
  /** True after use by any permit and after cancellation. */
  readonly nonceUsed: boolean;
  /** What the proxy says to taking all that is permitted. */
  readonly simulation:
    | { readonly outcome: 'ok' }
    | { readonly outcome: 'reverts'; readonly reason: string };
  /** Contract wallets, and keys that delegate to one (EIP-7702). */
  readonly hasCode: boolean;
}

/** Every method rejects with RpcUnavailable when no node answers. */
export interface UptoChain {
  /** `facilitator` is who will settle: the proxy listens to nobody else. */
  snapshot(permit: SignedUptoPermit, facilitator: Hex): Promise<UptoSnapshot>;
  find(query: UptoQuery): Promise<UptoFate>;
  /** Whether the proxy and Permit2 have code on this chain. */
  isDeployed(): Promise<boolean>;
}

/** Asks through the nodes of a chain that is open already. */
export function openUptoChain(rpc: JsonRpc, bundle: Bundle): UptoChain {
  const numberOf = (result: BundledResult | undefined): bigint =>
    decoded(() => decodeNumber(result?.data ?? ''));
  const codeOf = async (account: Hex): Promise<string> => {
    const code = await answered(rpc.call('eth_getCode', [account, 'latest']));
    return decoded(() => hexData(code));
  };
  return {
    async snapshot(permit, facilitator) {
      const { from, nonce, permitted } = permit;
      const calls: BundledCall[] = [
        { target: permitted.token, mayRevert: false, data: balanceOf(from) },
        { target: permitted.token, mayRevert: false, data: permit2Allowance(from).slice(2) },
        { target: PERMIT2, mayRevert: false, data: nonceBitmap(from, nonce) },
      ];
      const data: Hex = `0x${settleUpto(permit, permitted.amount)}`;
      const [{ block, timestampMs, results }, code, simulation] = await Promise.all([
        bundle(calls, 'latest'),
        codeOf(from),
        simulate(rpc, { from: facilitator, to: UPTO_PROXY, data }),
      ]);
      return {
        ...{ block, timestampMs, simulation },
        balance: numberOf(results[0]),
        allowance: numberOf(results[1]),
        nonceUsed: isNonceUsed(numberOf(results[2]), nonce),
        hasCode: code !== '',
      };
    },
    find: (query) =>
      findUptoFate(query, {
        async nonceState(owner, nonce, at) {
          const call = { target: PERMIT2, mayRevert: false, data: nonceBitmap(owner, nonce) };
          const { block, timestampMs, results } = await bundle([call], at);
          return { block, timestampMs, bitmap: numberOf(results[0]) };
        },
        logs: (filter) => answered(rpc.call('eth_getLogs', [filter])),
        receipt: async (hash) =>
          parseReceipt(await answered(rpc.call('eth_getTransactionReceipt', [hash]))),
        async call(hash) {
          const found = await answered(rpc.call('eth_getTransactionByHash', [hash]));
          const sent = found as { to?: unknown; input?: unknown } | null;
          if (typeof sent?.to !== 'string' || typeof sent.input !== 'string') return null;
          return { to: sent.to, data: sent.input };
        },
      }),
    async isDeployed() {
      const codes = await Promise.all([codeOf(PERMIT2), codeOf(UPTO_PROXY)]);
      return codes.every((code) => code !== '');
    },
  };
}

type Simulation = UptoSnapshot['simulation'];

async function simulate(rpc: JsonRpc, call: object): Promise<Simulation> {
  try {
    await rpc.call('eth_call', [call, 'latest']);
    return { outcome: 'ok' };
  } catch (error) {
    return reverted(error);
  }
}
