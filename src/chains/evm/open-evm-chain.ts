/** Reads one EVM chain through one or more nodes. */

import { type BlockHashes, readBlockHashes } from './block-hashes.ts';
import {
  ARB_BLOCK_NUMBER,
  aggregate3,
  authorizationState,
  type BundledCall,
  balanceOf,
  DOMAIN_SEPARATOR,
  decodeAggregate3,
  decodeNumber,
  GET_BLOCK_NUMBER,
  GET_BLOCK_TIMESTAMP,
  hexData,
  MULTICALL3,
  ReturnDataMalformed,
  revertReason,
  type SignedTransfer,
  transferWithAuthorization,
} from './contract-calls.ts';
import { cachedFees, type Fees } from './fees.ts';
import { type AuthorizationFate, type AuthorizationQuery, findFate } from './find-authorization.ts';
import { type JsonRpc, type JsonRpcOptions, openJsonRpc, RpcRefused } from './json-rpc.ts';
import { answered, type Bundle, decoded, latestBlock, reverted } from './node-answers.ts';
import { type ChainReceipt, parseReceipt, quantity } from './receipt.ts';
import type { Hex } from './sign.ts';
import { openUptoChain, type UptoChain } from './upto-chain.ts';

/** A wallet, one authorization and the chain's clock, all as of one block. */
export interface WalletSnapshot {
  readonly block: bigint;
  readonly timestampMs: number;
  /** Atoms of the asset. */
  readonly balance: bigint;
  /** True after use and after cancellation. */
  readonly authorizationUsed: boolean;
  readonly simulation: Simulation;
  /** Contract wallets, and keys that delegate to one (EIP-7702). */
  readonly hasCode: boolean;
}

export type Simulation =
  | { readonly outcome: 'ok' }
  | { readonly outcome: 'reverts'; readonly reason: string };

export type GasEstimate =
  | { readonly outcome: 'ok'; readonly gas: bigint }
  | { readonly outcome: 'reverts'; readonly reason: string };

export interface ChainCall {
  readonly from: Hex;
  readonly to: Hex;
  readonly data: Hex;
}

/** What the gateway asks of a chain. Every method rejects with RpcUnavailable when no node answers. */
export interface EvmChain {
  readonly chainId: bigint;
  snapshot(asset: Hex, transfer: SignedTransfer): Promise<WalletSnapshot>;
  /** What the token itself signs under (EIP-712); null when it has no such function. */
  domainSeparator(asset: Hex): Promise<Hex | null>;
  /** The chain id that the nodes themselves name, and the newest block. */
  head(): Promise<{
    readonly chainId: bigint;
    readonly block: bigint;
    readonly timestampMs: number;
  }>;
  blockNumber(): Promise<bigint>;
  /** The newest block, and the hashes of some blocks: null for one that the node does not have (yet). */
  blockHashes(blocks: readonly bigint[]): Promise<BlockHashes>;
  findAuthorization(query: AuthorizationQuery): Promise<AuthorizationFate>;
  /** Permits of the scheme upto. */
  readonly upto: UptoChain;
  estimateGas(call: ChainCall): Promise<GasEstimate>;
  /** Twice the base fee plus the tip, at most two seconds old. */
  fees(): Promise<Fees>;
  /** Null while the transaction is not mined. */
  receipt(transaction: Hex): Promise<ChainReceipt | null>;
  /** Wei. */
  coinBalance(account: Hex): Promise<bigint>;
  transactionCount(account: Hex, at: 'latest' | 'pending'): Promise<number>;
  /** Rejects with RpcRefused when the node does not take it, which says nothing about its end. */
  broadcast(raw: Hex): Promise<void>;
  close(): Promise<void>;
}

/** Chains whose contracts see the number of another chain's block ask this precompile instead. */
const ARBITRUM: ReadonlySet<bigint> = new Set([42_161n, 421_614n, 42_170n]);
const ARB_SYS: Hex = '0x0000000000000000000000000000000000000064';

/** Opens no connection until the first call. */
export function openEvmChain(
  options: JsonRpcOptions & { readonly chainId: bigint; readonly rpc?: JsonRpc },
): EvmChain {
  const { chainId } = options;
  const rpc = options.rpc ?? openJsonRpc(options);
  const clockCalls: readonly BundledCall[] = [
    ARBITRUM.has(chainId)
      ? { target: ARB_SYS, mayRevert: false, data: ARB_BLOCK_NUMBER }
      : { target: MULTICALL3, mayRevert: false, data: GET_BLOCK_NUMBER },
    { target: MULTICALL3, mayRevert: false, data: GET_BLOCK_TIMESTAMP },
  ];
  const bundle: Bundle = async (calls, at) => {
    const data = `0x${aggregate3([...clockCalls, ...calls])}`;
    const result = await answered(rpc.call('eth_call', [{ to: MULTICALL3, data }, at]));
    const [number, timestamp, ...results] = decoded(() =>
      decodeAggregate3(result, clockCalls.length + calls.length),
    );
    return {
      block: decoded(() => decodeNumber(number?.data ?? '')),
      timestampMs: Number(decoded(() => decodeNumber(timestamp?.data ?? ''))) * 1000,
      results,
    };
  };
  const number = async (method: string, ...params: unknown[]): Promise<bigint> =>
    quantity(await answered(rpc.call(method, params)));

  return {
    chainId,
    snapshot: (asset, transfer) => snapshot(rpc, bundle, asset, transfer),
    domainSeparator: (asset) => domainSeparatorOf(rpc, asset),
    async head() {
      const [id, block] = await Promise.all([number('eth_chainId'), latestBlock(rpc)]);
      return {
        chainId: id,
        block: quantity(block.number),
        timestampMs: Number(quantity(block.timestamp)) * 1000,
      };
    },
    blockNumber: () => number('eth_blockNumber'),
    blockHashes: (blocks) => readBlockHashes((...call) => answered(rpc.call(...call)), blocks),
    findAuthorization: (query) =>
      findFate(query, {
        authorizationState: async (asset, from, nonce, at) => {
          const call = { mayRevert: false, data: authorizationState(from, nonce) };
          const { block, timestampMs, results } = await bundle([{ target: asset, ...call }], at);
          const used = decoded(() => decodeNumber(results[0]?.data ?? '')) !== 0n;
          return { block, timestampMs, used };
        },
        logs: (filter) => answered(rpc.call('eth_getLogs', [filter])),
        receipt: async (hash) =>
          parseReceipt(await answered(rpc.call('eth_getTransactionReceipt', [hash]))),
      }),
    upto: openUptoChain(rpc, bundle),
    estimateGas: (call) => estimateGas(rpc, call),
    fees: cachedFees(rpc),
    receipt: async (hash) =>
      parseReceipt(await answered(rpc.call('eth_getTransactionReceipt', [hash]))),
    coinBalance: (account) => number('eth_getBalance', account, 'latest'),
    transactionCount: async (account, at) =>
      Number(await number('eth_getTransactionCount', account, at)),
    async broadcast(raw) {
      await rpc.call('eth_sendRawTransaction', [raw]);
    },
    close: () => rpc.close(),
  };
}

async function snapshot(
  rpc: JsonRpc,
  bundle: Bundle,
  asset: Hex,
  transfer: SignedTransfer,
): Promise<WalletSnapshot> {
  const { from, nonce } = transfer;
  const calls = [
    { target: asset, mayRevert: false, data: balanceOf(from) },
    { target: asset, mayRevert: false, data: authorizationState(from, nonce) },
    { target: asset, mayRevert: true, data: transferWithAuthorization(transfer) },
  ];
  const [{ block, timestampMs, results }, code] = await Promise.all([
    bundle(calls, 'latest'),
    answered(rpc.call('eth_getCode', [from, 'latest'])),
  ]);
  const [balance, state, transferred] = results;
  return {
    block,
    timestampMs,
    balance: decoded(() => decodeNumber(balance?.data ?? '')),
    authorizationUsed: decoded(() => decodeNumber(state?.data ?? '')) !== 0n,
    simulation:
      transferred?.success === true
        ? { outcome: 'ok' }
        : { outcome: 'reverts', reason: revertReason(transferred?.data) },
    hasCode: decoded(() => hexData(code)) !== '',
  };
}

async function domainSeparatorOf(rpc: JsonRpc, asset: Hex): Promise<Hex | null> {
  const call = { to: asset, data: `0x${DOMAIN_SEPARATOR}` };
  try {
    const data = hexData(await rpc.call('eth_call', [call, 'latest']));
    return data.length === 64 ? `0x${data}` : null;
  } catch (error) {
    if (error instanceof RpcRefused || error instanceof ReturnDataMalformed) return null;
    throw error;
  }
}

async function estimateGas(rpc: JsonRpc, call: ChainCall): Promise<GasEstimate> {
  try {
    // Not on the pending block, where a waiting transaction of ours has used the authorization already.
    return { outcome: 'ok', gas: quantity(await rpc.call('eth_estimateGas', [call, 'latest'])) };
  } catch (error) {
    return reverted(error);
  }
}
