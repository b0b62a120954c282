/** What is fuzzed: one parser of outside input, what may come in, and what must hold of everything that comes. */

import assert from 'node:assert/strict';
import type fc from 'fast-check';

/** JSON, so that an input can be kept in a file. */
export type Input = unknown;

export interface Target {
  readonly name: string;
  readonly inputs: fc.Arbitrary<Input>;
  /**
   * Throws when the parser breaks its word; else tells in a few words what came out. Two inputs of which it
   * tells the same are alike.
   */
  readonly check: (input: Input) => string | Promise<string>;
}

type ErrorClass = abstract new (...args: never[]) => Error;

/** The result, or the refusal in words; anything that is thrown but the documented classes is a fault. */
export function outcomeOf<Result>(
  parse: () => Result,
  documented: readonly ErrorClass[],
): { readonly result: Result } | { readonly refusal: string } {
  try {
    return { result: parse() };
  } catch (error) {
    return { refusal: refusalOf(error, documented) };
  }
}

/** The same of a parser that is waited for. */
export async function outcomeOfAsync<Result>(
  parse: () => Promise<Result>,
  documented: readonly ErrorClass[],
): Promise<{ readonly result: Result } | { readonly refusal: string }> {
  try {
    return { result: await parse() };
  } catch (error) {
    return { refusal: refusalOf(error, documented) };
  }
}

/** The class and the words of an error without what differs from input to input. */
function refusalOf(error: unknown, documented: readonly ErrorClass[]): string {
  const known = documented.find((one) => error instanceof one);
  if (known === undefined || !(error instanceof Error)) throw error;
  assert.equal(typeof error.message, 'string');
  const words = error.message.split('\n', 1)[0]?.match(WORDS) ?? [];
  return `${known.name}: ${words.slice(0, WORDS_MAX).join(' ')}`;
}

/** Words of a sentence; not names, paths, numbers and quoted text. */
const WORDS = /(?<![\S])[a-z]{2,12}(?=[\s.,:;]|$)/g;
const WORDS_MAX = 8;

/** What the parser made of it must be made of that again. */
export function assertSame(found: unknown, expected: unknown): void {
  assert.deepEqual(found, expected);
}

export function textOf(input: Input): string {
  return typeof input === 'string' ? input : (JSON.stringify(input) ?? '');
}
