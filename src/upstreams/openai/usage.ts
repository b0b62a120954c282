/** Usage objects of OpenAI's APIs and of those that speak like them. */

import { countIn, objectIn, type Stated, unitsOf } from '../stated-usage.ts';

/**
 * Tokens of a `usage` object, in OpenAI's convention: `inputTokens` are all, `cachedInputTokens` are among them.
 * Gemini and Grok leave reasoning out of the completion and in the total: then the total counts.
 */
export function tokensIn(usage: unknown): Stated {
  const inputTokens = countIn(usage, 'prompt_tokens') ?? countIn(usage, 'input_tokens');
  const written = countIn(usage, 'completion_tokens') ?? countIn(usage, 'output_tokens');
  const total = countIn(usage, 'total_tokens');
  const input = objectIn(usage, 'prompt_tokens_details') ?? objectIn(usage, 'input_tokens_details');
  const output =
    objectIn(usage, 'completion_tokens_details') ?? objectIn(usage, 'output_tokens_details');
  const outputTokens =
    total !== null && inputTokens !== null && written !== null
      ? Math.max(written, total - inputTokens)
      : written;
  return unitsOf({
    inputTokens,
    outputTokens,
    cachedInputTokens: countIn(input, 'cached_tokens') ?? countIn(usage, 'prompt_cache_hit_tokens'),
    cacheWriteInputTokens: countIn(input, 'cache_write_tokens'),
    inputAudioTokens: countIn(input, 'audio_tokens'),
    inputImageTokens: countIn(input, 'image_tokens'),
    reasoningTokens: countIn(output, 'reasoning_tokens'),
    outputAudioTokens: countIn(output, 'audio_tokens'),
    webSearches: countIn(usage, 'num_search_queries'),
  });
}
