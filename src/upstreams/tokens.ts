/** How many tokens a text has: at most, for the hold, and about, where an answer states no usage. */

export type CountTokens = (text: string, model: string) => number;

export interface Tokenizer {
  /** The best count there is for that model. */
  readonly countTokens: CountTokens;
  /** Whether that count is the model's own; a hold needs the byte bound where it is not. */
  readonly isExactFor: (model: string) => boolean;
}

/** Above this, the rest of a text is bounded by its bytes: counting is work that nobody has paid for yet. */
const COUNTED_CHARS_MAX = 65_536;
/** A run without a break is counted in parts: pair merging takes the square of its length. */
const RUN_CHARS_MAX = 128;
const BYTES_PER_TOKEN = 4;
const LONG_RUN = new RegExp(`\\S{${RUN_CHARS_MAX + 1}}|\\s{${RUN_CHARS_MAX + 1}}`);

/** Never fewer tokens than the model makes of it: a token is at least one byte in every byte-level tokenizer. */
export function tokensAtMost(text: string, model: string, tokenizer: Tokenizer | null): number {
  const bytes = Buffer.byteLength(text);
  if (tokenizer === null || !tokenizer.isExactFor(model)) return bytes;
  const counted = text.slice(0, COUNTED_CHARS_MAX);
  const rest = bytes - (counted.length === text.length ? bytes : Buffer.byteLength(counted));
  return Math.min(bytes, countInParts(counted, model, tokenizer) + rest);
}

/** About how many tokens; for a text too long to be counted, at the density of its beginning. */
export function tokensAbout(text: string, model: string, tokenizer: Tokenizer | null): number {
  if (text === '') return 0;
  if (tokenizer === null) return Math.ceil(Buffer.byteLength(text) / BYTES_PER_TOKEN);
  const counted = text.slice(0, 4 * COUNTED_CHARS_MAX);
  const tokens = countInParts(counted, model, tokenizer);
  return Math.ceil((tokens * text.length) / counted.length);
}

function countInParts(text: string, model: string, { countTokens }: Tokenizer): number {
  if (!LONG_RUN.test(text)) return whole(countTokens(text, model), text);
  let tokens = 0;
  for (const part of text.match(/\S{1,128}\s{0,128}|\s{1,128}/g) ?? [])
    tokens += whole(countTokens(part, model), part);
  return tokens;
}

/** A tokenizer is a package of somebody else's: a count that is none is replaced by the bytes. */
function whole(count: number, text: string): number {
  return Number.isSafeInteger(count) && count >= 0 ? count : Buffer.byteLength(text);
}

/** Models whose tokenizer is public; a provider's prefix and fine-tuned names included. */
const O200K =
  /^(?:ft:)?(?:[\w.-]+\/)*(?:gpt-(?:4o|4\.1|4\.5|5|oss)|o[134](?:$|-)|chatgpt-|codex-|gpt-image|omni-)/;
const CL100K =
  /^(?:ft:)?(?:[\w.-]+\/)*(?:gpt-4(?:$|-(?!o|\.))|gpt-3\.5-turbo|text-embedding-(?:3|ada-002))/;

interface Encoding {
  countTokens(text: string, options: object): number;
}

const SPECIAL_AS_TEXT = { allowedSpecial: new Set<string>(), disallowedSpecial: new Set<string>() };

/**
 * Loads the npm package `gpt-tokenizer` (or one of the same shape) when it is first needed: 100 ms and some 70 MB
 * for each encoding. Throws what the import throws when it is not installed.
 */
export async function loadTokenizer(
  packageName = 'gpt-tokenizer',
  encodings: readonly ('o200k_base' | 'cl100k_base')[] = ['o200k_base'],
): Promise<Tokenizer> {
  const load = async (name: string): Promise<Encoding> =>
    (await import(`${packageName}/encoding/${name}`)) as Encoding;
  const o200k = encodings.includes('o200k_base') ? await load('o200k_base') : null;
  const cl100k = encodings.includes('cl100k_base') ? await load('cl100k_base') : null;
  const exactFor = (model: string): Encoding | null =>
    CL100K.test(model) ? cl100k : O200K.test(model) ? o200k : null;
  const any = o200k ?? cl100k;
  return {
    isExactFor: (model) => exactFor(model) !== null,
    countTokens: (text, model) =>
      (exactFor(model) ?? any)?.countTokens(text, SPECIAL_AS_TEXT) ?? Buffer.byteLength(text),
  };
}
