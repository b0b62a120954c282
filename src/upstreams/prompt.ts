/** What goes into a model: its texts, and what is known of the rest. */

import type { DialectOptions } from './dialect-options.ts';
import { malformed } from './read-fields.ts';
import { tokensAbout, tokensAtMost } from './tokens.ts';

/** Around a request: reply primer and what chat templates of unknown models say by themselves. */
const REQUEST_TOKENS = { exact: 8, unknown: 128 };

export class Prompt {
  readonly model: string;
  readonly #options: DialectOptions;
  readonly #texts: string[] = [];
  #tokens = 0;
  /** The first field whose size the request does not tell. */
  #open: string | null = null;
  /** How often the model reads its whole context. */
  #rounds = 1;

  constructor(model: string, options: DialectOptions) {
    this.model = model;
    this.#options = options;
  }

  text(text: string): void {
    if (text !== '') this.#texts.push(text);
  }

  /** Anything as the text that it is in JSON, which is no shorter than what a template makes of it. */
  json(value: unknown): void {
    if (value === null || value === undefined || typeof value === 'boolean') return;
    this.text(typeof value === 'string' ? value : JSON.stringify(value));
  }

  /** Tokens that are no text: frames of messages, images, audio. */
  tokens(count: number): void {
    this.#tokens += count;
  }

  /** Something whose size only the upstream knows; throws RequestMalformed unless the context bounds it. */
  open(field: string): void {
    if (this.#options.contextTokensMax === null)
      throw malformed(field, 'is not served here: the request does not tell how large it is.');
    this.#open ??= field;
  }

  /** Server tools put their results into the context and let the model read on. */
  rounds(count: number): void {
    this.#rounds = Math.max(this.#rounds, count);
  }

  #bound: number | null = null;

  /** The most input tokens, once all was added. */
  get bound(): number {
    this.#bound ??= this.#boundNow();
    return this.#bound;
  }

  #boundNow(): number {
    const { tokenizer, contextTokensMax } = this.#options;
    if (contextTokensMax !== null && (this.#open !== null || this.#rounds > 1))
      return contextTokensMax * this.#rounds;
    const isExact = tokenizer?.isExactFor(this.model) ?? false;
    let bound = this.#tokens + (isExact ? REQUEST_TOKENS.exact : REQUEST_TOKENS.unknown);
    for (const text of this.#texts) bound += tokensAtMost(text, this.model, tokenizer);
    return contextTokensMax === null ? bound : Math.min(bound, contextTokensMax);
  }

  /** About how many input tokens, for an answer that does not say. */
  get estimate(): number {
    let tokens = this.#tokens + 3;
    for (const text of this.#texts)
      tokens += tokensAbout(text, this.model, this.#options.tokenizer);
    return Math.min(tokens, this.bound);
  }
}
