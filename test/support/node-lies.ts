/** Single lies for a hostile node: each changes one honest result and leaves the rest of it alone. */

import {
  authorizationState,
  balanceOf,
  GET_BLOCK_TIMESTAMP,
  word,
} from '../../src/chains/evm/contract-calls.ts';
import type { Lie, NodeCall } from './hostile-rpc.ts';
import { bundledCalls, rewriteBundle } from './multicall.ts';

const ZERO = `0x${'0'.repeat(64)}` as const;
const BALANCE = balanceOf(ZERO).slice(0, 8);
const STATE = authorizationState(ZERO, ZERO).slice(0, 8);
/** Both forms of `transferWithAuthorization`. */
const TRANSFERS: ReadonlySet<string> = new Set(['e3ee160e', 'cf092995']);

export interface ChainLie {
  /** Atoms that every wallet has. */
  readonly balance?: bigint;
  /** Whether every authorization is used. */
  readonly used?: boolean;
  /** Whether every transfer would succeed. */
  readonly simulates?: boolean;
  /** Seconds that the newest block is ahead of its own time. */
  readonly aheadSeconds?: bigint;
}

/** About what contracts return: for `eth_call`. */
export function aboutContracts({ balance, used, simulates, aheadSeconds }: ChainLie): Lie {
  return (result, call) => {
    const calls = bundledCalls(calldataOf(call));
    if (calls === null || typeof result !== 'string') return result;
    return rewriteBundle(result, calls, (honest, data) => {
      if (balance !== undefined && data.startsWith(BALANCE))
        return { success: true, data: word(balance) };
      if (used !== undefined && data.startsWith(STATE))
        return { success: true, data: word(used ? 1n : 0n) };
      if (aheadSeconds !== undefined && data.startsWith(GET_BLOCK_TIMESTAMP))
        return { success: true, data: word(BigInt(`0x${honest.data}`) + aheadSeconds) };
      if (simulates !== undefined && TRANSFERS.has(data.slice(0, 8)))
        return { success: simulates, data: '' };
      return honest;
    });
  };
}

/** Every mined transaction succeeded, and emitted nothing: for `eth_getTransactionReceipt`. */
export const successWithoutEvents: Lie = aboutReceipts({ status: '0x1', logs: [] });

/** Every mined transaction reverted, and emitted its events all the same. */
export const eventsWithoutSuccess: Lie = aboutReceipts({ status: '0x0' });

/** Lists of logs in which nothing is a log. */
export const logsOfGarbage: Lie = aboutReceipts({ logs: [null, 7, {}] });

function aboutReceipts(change: object): Lie {
  return (result) =>
    typeof result === 'object' && result !== null ? { ...result, ...change } : result;
}

function calldataOf({ params }: NodeCall): string {
  return String((params[0] as { data?: unknown } | undefined)?.data ?? '');
}
