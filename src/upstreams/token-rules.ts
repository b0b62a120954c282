/** Bounds and counting that all dialects share whose units are tokens. */

import type { Units } from '../core/work.ts';
import type { Prompt } from './prompt.ts';
import { type Tokenizer, tokensAbout } from './tokens.ts';

/** Bounds of input and output, and of the units that are among them. */
export function tokenBounds(inputTokens: number, outputTokens: number): Units {
  return {
    inputTokens,
    cachedInputTokens: inputTokens,
    cacheWriteInputTokens: inputTokens,
    outputTokens,
    reasoningTokens: outputTokens,
  };
}

/** Counts input from the request and output from the text that passed. */
export function countTokensOf(
  prompt: Prompt,
  tokenizer: Tokenizer | null,
): (unit: string, text: string) => number | null {
  return (unit, text) => {
    if (unit === 'inputTokens') return prompt.estimate;
    if (unit === 'outputTokens') return tokensAbout(text, prompt.model, tokenizer);
    return null;
  };
}
