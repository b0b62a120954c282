/**
 * Usage of Anthropic's Messages in OpenAI's convention. Anthropic counts fresh, cached and newly cached input
 * apart: `inputTokens` is their sum, `cachedInputTokens` (read) and `cacheWriteInputTokens` are among it.
 */

import type { JsonObject } from '../json-text.ts';
import { countIn, objectIn, type Stated } from '../stated-usage.ts';

/** Of an answer, or of an event: input stands in `message_start`, output is cumulative in `message_delta`. */
export function foldUsage(stated: Stated, answer: JsonObject): Stated {
  const started = objectIn(answer, 'message', 'usage');
  const usage = started ?? objectIn(answer, 'usage');
  if (usage === null) return stated;
  const next: Record<string, number> = { ...stated };
  const put = (unit: string, count: number | null): void => {
    if (count !== null) next[unit] = count;
  };
  // `message_start` names the first output token or so: only what comes later is the output.
  if (started === null) put('outputTokens', countIn(usage, 'output_tokens'));
  put('webSearches', countIn(objectIn(usage, 'server_tool_use'), 'web_search_requests'));
  const fresh = countIn(usage, 'input_tokens');
  if (fresh === null) return next;
  const read = countIn(usage, 'cache_read_input_tokens');
  const written = countIn(usage, 'cache_creation_input_tokens');
  put('cachedInputTokens', read);
  put('cacheWriteInputTokens', written);
  const cached =
    (read ?? next.cachedInputTokens ?? 0) + (written ?? next.cacheWriteInputTokens ?? 0);
  const input = fresh + cached;
  put('inputTokens', Number.isSafeInteger(input) ? input : null);
  return next;
}
