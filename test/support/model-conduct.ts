/** How a test asks the model server to behave, and the tokens that it counts. */

/** Sent in the header `x-test-conduct` as JSON, or set on the server for all requests. */
export interface Conduct {
  /** Default: usage as the API states it. */
  readonly usage?: 'none' | 'false' | 'twice';
  /** Breaks off after so many events; 0: after the head. */
  readonly cutAfterEvents?: number;
  /** Before the first byte. */
  readonly delayMs?: number;
  /** Instead of an answer. */
  readonly status?: number;
  readonly gzip?: boolean;
  readonly lineEnd?: '\n' | '\r\n' | '\r';
  /** Besides the usual ones, such as payment headers that no model should send. */
  readonly headers?: Readonly<Record<string, string>>;
  /** Words of the answer; the limit of the request still holds. Default 6. */
  readonly words?: number;
  /** The whole text instead of words. */
  readonly reply?: string;
  /** Calls the first tool of the request instead of writing. */
  readonly callsTool?: boolean;
  /** Words of reasoning before the answer. */
  readonly reasoningWords?: number;
  /** Bytes are written in pieces of this size, wherever that cuts. */
  readonly pieceBytes?: number;
}

/** What a false usage looks like: nothing in it is a count. */
export const FALSE_COUNTS = [-5, 1.5, '12', 1e300, null] as const;

/** A tokenizer that is easily checked by hand: a word, or four characters of it, with the space before it. */
export function countTestTokens(text: string): number {
  return text.match(/\s?[^\s]{1,4}|\s/g)?.length ?? 0;
}

/** Exact for all models of the server. */
export const TEST_TOKENIZER = {
  countTokens: (text: string): number => countTestTokens(text),
  isExactFor: (): boolean => true,
};

/** A text of so many words, always the same. */
export function wordsOf(count: number): string[] {
  return Array.from({ length: count }, (_, at) => (at === 0 ? 'w0' : ` w${at % 1000}`));
}
