/** The units of metered work: named in the singular where a price is written, in the plural where they are counted. */

interface UnitName {
  readonly singular: string;
  /** In usage, bounds and `freeUnits`. */
  readonly plural: string;
  /** For people: `input tokens`. */
  readonly words: readonly [one: string, many: string];
}

const UNITS: readonly UnitName[] = [
  { singular: 'call', plural: 'calls', words: ['call', 'calls'] },
  { singular: 'inputToken', plural: 'inputTokens', words: ['input token', 'input tokens'] },
  {
    singular: 'cachedInputToken',
    plural: 'cachedInputTokens',
    words: ['cached input token', 'cached input tokens'],
  },
  { singular: 'outputToken', plural: 'outputTokens', words: ['output token', 'output tokens'] },
  { singular: 'image', plural: 'images', words: ['image', 'images'] },
  {
    singular: 'audioSecond',
    plural: 'audioSeconds',
    words: ['second of audio', 'seconds of audio'],
  },
  {
    singular: 'embeddingToken',
    plural: 'embeddingTokens',
    words: ['embedding token', 'embedding tokens'],
  },
  {
    singular: 'computeSecond',
    plural: 'computeSeconds',
    words: ['second of compute', 'seconds of compute'],
  },
  {
    singular: 'connectedSecond',
    plural: 'connectedSeconds',
    words: ['second of connection', 'seconds of connection'],
  },
  { singular: 'computeMs', plural: 'computeMs', words: ['ms of compute', 'ms of compute'] },
  { singular: 'byteOut', plural: 'bytesOut', words: ['byte of the answer', 'bytes of the answer'] },
  { singular: 'message', plural: 'messages', words: ['message', 'messages'] },
  { singular: 'character', plural: 'characters', words: ['character', 'characters'] },
  { singular: 'webSearch', plural: 'webSearches', words: ['web search', 'web searches'] },
  // The following are among the input or output tokens: their rate comes on top.
  {
    singular: 'cacheWriteInputToken',
    plural: 'cacheWriteInputTokens',
    words: ['input token written to the cache', 'input tokens written to the cache'],
  },
  {
    singular: 'inputAudioToken',
    plural: 'inputAudioTokens',
    words: ['input token of audio', 'input tokens of audio'],
  },
  {
    singular: 'outputAudioToken',
    plural: 'outputAudioTokens',
    words: ['output token of audio', 'output tokens of audio'],
  },
  {
    singular: 'reasoningToken',
    plural: 'reasoningTokens',
    words: ['token of reasoning', 'tokens of reasoning'],
  },
];

export const SINGULAR_UNITS: readonly string[] = UNITS.map(({ singular }) => singular);
export const PLURAL_UNITS: readonly string[] = UNITS.map(({ plural }) => plural);

/** Names of usage lines that are no units; no custom unit may have one. */
export const LINE_NAMES = [
  'schedule',
  'surge',
  'volume',
  'balance',
  'min',
  'max',
  'rounding',
] as const;
export type LineName = (typeof LINE_NAMES)[number];

/** The full name of a unit written in a price: `inputToken` is `inputTokens`; null for an unknown one. */
export function pluralOf(singular: string): string | null {
  return UNITS.find((unit) => unit.singular === singular)?.plural ?? null;
}

/** As it is written in a price; a custom unit has one name only. */
export function singularOf(plural: string): string {
  return UNITS.find((unit) => unit.plural === plural)?.singular ?? plural;
}

/** `1 input token`, `1000 input tokens`; without the number for one. */
export function unitWords(plural: string, count: 1 | 'many'): string {
  const words = UNITS.find((unit) => unit.plural === plural)?.words;
  return words?.[count === 1 ? 0 : 1] ?? plural;
}

const CUSTOM_UNIT = /^[a-z][A-Za-z0-9]{0,39}$/;

/** Why a name cannot be that of a custom unit; null when it can. */
export function customUnitProblem(name: string): string | null {
  if (!CUSTOM_UNIT.test(name)) return 'is not a name of letters and digits';
  const taken: readonly string[] = [...SINGULAR_UNITS, ...PLURAL_UNITS, ...LINE_NAMES];
  return taken.includes(name) ? 'is the name of something else in prices and usage' : null;
}
