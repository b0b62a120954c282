/** Inputs that were worth keeping, one file for each target: those that failed once, and those that were unlike all others. */

import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { Input } from './target.ts';

export interface Corpus {
  /** Never forgotten: each broke something. */
  readonly failed: readonly Input[];
  /** One for some of the outcomes that were seen. */
  readonly kept: readonly Input[];
}

const FOLDER = fileURLToPath(new URL('../corpus/', import.meta.url));
/** What is committed must stay small. */
const KEPT_MAX = 25;
const CHARS_MAX = 1_500;
const FAILED_CHARS_MAX = 10_000;

export function readCorpus(name: string): Corpus {
  const file = fileOf(name);
  if (!existsSync(file)) return { failed: [], kept: [] };
  return JSON.parse(readFileSync(file, 'utf8')) as Corpus;
}

export function writeCorpus(name: string, { failed, kept }: Corpus): void {
  mkdirSync(FOLDER, { recursive: true });
  const small = kept
    .filter((input) => sizeOf(input) <= CHARS_MAX)
    .sort((one, other) => sizeOf(one) - sizeOf(other));
  // Of many, some of every size.
  const step = Math.max(1, small.length / KEPT_MAX);
  const some = small.filter((_, at) => Math.floor(at / step) !== Math.floor((at - 1) / step));
  const serious = failed.filter((input) => sizeOf(input) <= FAILED_CHARS_MAX);
  writeFileSync(fileOf(name), `${JSON.stringify({ failed: serious, kept: some }, null, 1)}\n`);
}

function fileOf(name: string): string {
  return `${FOLDER}${name}.json`;
}

function sizeOf(input: Input): number {
  return JSON.stringify(input)?.length ?? 0;
}
