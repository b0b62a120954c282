/**
 * keccak-256 as the EVM has it, with the padding 0x01 of Keccak and not that of SHA-3. Every payment takes a dozen
 * permutations of 64-bit lanes, which JavaScript has no numbers for; WebAssembly does, and is eight times faster.
 */

import { keccak_256 } from '@noble/hashes/sha3.js';
import { keccakModule, LANES, RATE } from './keccak-module.ts';

/** The 32-byte hash of a message. */
export type Keccak256 = (message: Uint8Array) => Uint8Array;

/** What is used here of the WebAssembly JavaScript API, which the types of Node leave out. */
export interface WebAssemblyApi {
  readonly Module: new (bytes: Uint8Array) => object;
  readonly Instance: new (
    module: object,
  ) => { readonly exports: Readonly<Record<string, unknown>> };
}

const BLOCKS_AT_ONCE = 64;

/** What runs in this process: the same in JavaScript where the engine has or allows no WebAssembly. */
export const keccak256: Keccak256 = loadKeccak() ?? keccak_256;

/** Null where there is no WebAssembly, or where it is refused. */
export function loadKeccak(
  api = (globalThis as { readonly WebAssembly?: WebAssemblyApi }).WebAssembly,
): Keccak256 | null {
  if (api === undefined) return null;
  let exports: Readonly<Record<string, unknown>>;
  try {
    ({ exports } = new api.Instance(new api.Module(keccakModule())));
  } catch {
    return null;
  }
  const { buffer } = exports.memory as { readonly buffer: ArrayBuffer };
  return over(new Uint8Array(buffer), exports.absorb as (blocks: number) => void);
}

/** One memory for all hashes: each starts from zero and never awaits, so that no two see each other's bytes. */
function over(memory: Uint8Array, absorb: (blocks: number) => void): Keccak256 {
  const state = memory.subarray(0, LANES * 8);
  const input = memory.subarray(LANES * 8, LANES * 8 + BLOCKS_AT_ONCE * RATE);
  return (message) => {
    state.fill(0);
    let rest = message;
    for (; rest.length >= input.length; rest = rest.subarray(input.length)) {
      input.set(rest.subarray(0, input.length));
      absorb(BLOCKS_AT_ONCE);
    }
    const end = rest.length - (rest.length % RATE) + RATE;
    input.set(rest);
    input.fill(0, rest.length, end);
    input[rest.length] = 0x01;
    input[end - 1] = (input[end - 1] ?? 0) | 0x80;
    absorb(end / RATE);
    return state.slice(0, 32);
  };
}
