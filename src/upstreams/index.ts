/** The dialects there are, and which one a route speaks. */

import type { Dialect } from '../core/ports/dialect.ts';
import { messagesDialect } from './anthropic/messages.ts';
import { DIALECT_DEFAULTS, type DialectOptions } from './dialect-options.ts';
import { genericDialect } from './generic.ts';
import { speechDialect, transcriptionDialect } from './openai/audio.ts';
import { chatDialect, completionsDialect } from './openai/chat.ts';
import { embeddingsDialect } from './openai/embeddings.ts';
import { imagesDialect } from './openai/images.ts';
import { realtimeDialect } from './openai/realtime.ts';
import { responsesDialect } from './openai/responses.ts';

const DIALECTS = {
  'openai-chat': chatDialect,
  'openai-completions': completionsDialect,
  'openai-responses': responsesDialect,
  'openai-embeddings': embeddingsDialect,
  'openai-images': imagesDialect,
  'openai-speech': speechDialect,
  'openai-transcription': transcriptionDialect,
  'openai-realtime': realtimeDialect,
  'anthropic-messages': messagesDialect,
  generic: genericDialect,
} as const satisfies Record<string, (options: DialectOptions) => Dialect>;

export type DialectKind = keyof typeof DIALECTS;

export const DIALECT_KINDS = Object.keys(DIALECTS) as readonly DialectKind[];

/** Ends of paths, whatever stands before them: `/v1`, `/v1beta/openai`, `/api/v1`. */
const SUFFIXES: readonly (readonly [RegExp, DialectKind])[] = [
  [/\/chat\/completions$/, 'openai-chat'],
  [/\/completions$/, 'openai-completions'],
  [/\/responses$/, 'openai-responses'],
  [/\/embeddings$/, 'openai-embeddings'],
  [/\/images\/(?:generations|edits|variations)$/, 'openai-images'],
  [/\/audio\/speech$/, 'openai-speech'],
  [/\/audio\/(?:transcriptions|translations)$/, 'openai-transcription'],
  [/\/realtime$/, 'openai-realtime'],
  [/\/messages$/, 'anthropic-messages'],
];

/** The kind that a path is known by; `generic` for all others. */
export function dialectKindOf(path: string): DialectKind {
  return SUFFIXES.find(([suffix]) => suffix.test(path))?.[1] ?? 'generic';
}

/**
 * The dialect of a kind; null: the one that the path is known by. Requests that are not `POST` ask for no
 * inference and are read as `generic`.
 */
export function dialectFor(
  path: string,
  kind: DialectKind | null = null,
  options: Partial<DialectOptions> = {},
): Dialect {
  const all = { ...DIALECT_DEFAULTS, ...options };
  const known = kind ?? dialectKindOf(path);
  const dialect = DIALECTS[known](all);
  // Its requests are handshakes.
  if (known === 'openai-realtime') return dialect;
  const generic = genericDialect(all);
  return { read: (request) => (request.method === 'POST' ? dialect : generic).read(request) };
}
