/** The field that limits what a model writes: lowered to the cap, or put in where the client names none. */

import type { JsonText } from './json-text.ts';
import { malformed, wholeField } from './read-fields.ts';

/** OpenAI's own models take `max_completion_tokens`, and the newer ones refuse the other; most others only know it. */
const OPENAI_MODEL = /^(?:ft:)?(?:openai\/)?(?:gpt-(?!oss)|o\d|chatgpt-|codex-|computer-use)/;

export function limitFieldOf(model: string): 'max_tokens' | 'max_completion_tokens' {
  return OPENAI_MODEL.test(model) ? 'max_completion_tokens' : 'max_tokens';
}

/** The most output tokens of one answer, and the body edited to say so. Throws RequestMalformed for what is no limit. */
export function limitOutput(
  body: JsonText,
  names: readonly string[],
  injected: string,
  cap: number,
): number {
  if (!(cap >= 1)) throw malformed(injected, 'cannot be served: the route allows no output.');
  let most: number | null = null;
  for (const name of names) {
    const asked = wholeField(body.value, name, 1, Number.MAX_SAFE_INTEGER);
    if (asked === null) continue;
    const limit = Math.min(asked, cap);
    if (limit !== asked) body.set([name], String(limit));
    most = Math.max(most ?? 0, limit);
  }
  if (most !== null) return most;
  body.set([injected], String(cap));
  return cap;
}
