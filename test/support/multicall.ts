/** Reads and rewrites what goes through Multicall3's aggregate3, so that a node can lie about a single call inside it. */

import {
  aggregate3,
  type BundledResult,
  decodeAggregate3,
  word,
} from '../../src/chains/evm/contract-calls.ts';

const SELECTOR = aggregate3([]).slice(0, 8);

/** The calldata of each bundled call, without `0x`; null when this is no aggregate3. */
export function bundledCalls(data: string): string[] | null {
  const hex = data.replace(/^0x/, '');
  if (!hex.startsWith(SELECTOR)) return null;
  const body = hex.slice(8);
  const number = (byte: number): number => Number.parseInt(body.slice(2 * byte, 2 * byte + 64), 16);
  const start = number(0);
  return Array.from({ length: number(start) }, (_, index) => {
    const element = start + 32 + number(start + 32 + 32 * index);
    const bytes = element + number(element + 64);
    return body.slice(2 * (bytes + 32), 2 * (bytes + 32 + number(bytes)));
  });
}

/** The same return data with each result passed through `change`, which also sees the call. */
export function rewriteBundle(
  result: unknown,
  calls: readonly string[],
  change: (result: BundledResult, call: string) => BundledResult,
): string {
  const results = decodeAggregate3(result, calls.length);
  let offsets = '';
  let elements = '';
  for (const [index, one] of results.entries()) {
    const { success, data } = change(one, calls[index] ?? '');
    offsets += word(BigInt(32 * results.length + elements.length / 2));
    elements += word(success ? 1n : 0n) + word(64n) + word(BigInt(data.length / 2));
    elements += data.padEnd(Math.ceil(data.length / 64) * 64, '0');
  }
  return `0x${word(32n)}${word(BigInt(results.length))}${offsets}${elements}`;
}
