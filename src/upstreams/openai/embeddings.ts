/** OpenAI's Embeddings: only input, counted as `inputTokens` and, for a price of their own, `embeddingTokens`. */

import type { Dialect, DialectRequest, Reading } from '../../core/ports/dialect.ts';
import type { DialectOptions } from '../dialect-options.ts';
import { type JsonObject, JsonText } from '../json-text.ts';
import { probeReading, readingOf } from '../make-reading.ts';
import { HIDES_NOTHING } from '../meter-rules.ts';
import { Prompt } from '../prompt.ts';
import { malformed, modelField, refuseEncoded, refuseLookalikes } from '../read-fields.ts';
import { countIn, objectIn, type Stated, unitsOf } from '../stated-usage.ts';

const READ = new Set(['model', 'input', 'dimensions', 'encoding_format', 'user']);
/** What models put around a text by themselves. */
const INPUT_TOKENS = 4;

export function embeddingsDialect(options: DialectOptions): Dialect {
  return { read: (request) => read(request, options) };
}

function read(request: DialectRequest, options: DialectOptions): Reading {
  if (request.body.length === 0) return probeReading(request, {});
  refuseEncoded(request.headers);
  const text = new JsonText(request.body);
  const body = text.value;
  refuseLookalikes(body, READ);
  const model = modelField(body);
  const prompt = new Prompt(model, options);
  addInputs(body.input, prompt);
  for (const [name, value] of Object.entries(body)) if (!READ.has(name)) prompt.json(value);
  const bounds = { inputTokens: prompt.bound, embeddingTokens: prompt.bound };
  const rules = {
    members: ['usage'],
    fold,
    delta: null,
    written: null,
    listed: null,
    hides: HIDES_NOTHING,
    bounds,
    needed: ['inputTokens', 'embeddingTokens'],
    count: () => prompt.estimate,
  };
  const found = { model, fields: body, body: text.toBytes(), rules, streams: false, hides: false };
  return readingOf(request, found);
}

function addInputs(input: unknown, prompt: Prompt): void {
  const list = Array.isArray(input) ? input : [input];
  if (list.length === 0) throw malformed('input', 'must not be empty.');
  for (const [at, item] of list.entries()) {
    prompt.tokens(INPUT_TOKENS);
    if (typeof item === 'string') prompt.text(item);
    else if (Array.isArray(item)) prompt.tokens(item.length);
    else if (typeof item !== 'number' || !Array.isArray(input))
      throw malformed(`input[${at}]`, 'must be a text or a list of tokens.');
  }
}

function fold(stated: Stated, answer: JsonObject): Stated {
  const usage = objectIn(answer, 'usage');
  const count = countIn(usage, 'prompt_tokens') ?? countIn(usage, 'total_tokens');
  return count === null ? stated : unitsOf({ inputTokens: count, embeddingTokens: count });
}
