/** OpenAI's Responses. */

import type { Dialect, DialectRequest, Reading } from '../../core/ports/dialect.ts';
import type { DialectOptions } from '../dialect-options.ts';
import { isObject, type JsonObject, JsonText } from '../json-text.ts';
import { probeReading, readingOf } from '../make-reading.ts';
import { HIDES_NOTHING, type MeterRules } from '../meter-rules.ts';
import { limitOutput } from '../output-limit.ts';
import { Prompt } from '../prompt.ts';
import {
  flagField,
  malformed,
  modelField,
  objectsField,
  refuseEncoded,
  refuseFields,
  refuseLookalikes,
  textField,
  wholeField,
} from '../read-fields.ts';
import { objectIn, type Stated } from '../stated-usage.ts';
import { countTokensOf, tokenBounds } from '../token-rules.ts';
import { refuseDearTier } from './chat.ts';
import { addContent } from './parts.ts';
import { tokensIn } from './usage.ts';

const ITEM_TOKENS = 12;
const TOOLS_TOKENS = 400;
const TOOL_TOKENS = 16;

/** Fields that are no input, or read one by one; all others are counted as text. */
const READ = new Set([
  ...['model', 'input', 'instructions', 'tools', 'tool_choice', 'stream', 'stream_options'],
  ...['max_output_tokens', 'max_tool_calls', 'metadata', 'user', 'temperature', 'top_p', 'store'],
  ...['previous_response_id', 'conversation', 'prompt', 'background', 'service_tier', 'include'],
  ...['truncation', 'reasoning', 'parallel_tool_calls', 'prompt_cache_key', 'safety_identifier'],
  ...['top_logprobs', 'prompt_cache_retention', 'text'],
]);

const REFUSED: Readonly<Record<string, string>> = {
  background: 'its usage is not known when it answers',
  store: 'what is stored is in the hands of the operator',
};

/** Context that the upstream keeps. */
const KEPT = ['previous_response_id', 'conversation', 'prompt'];
/** Tools that the client runs itself. */
const CLIENT_TOOLS = ['function', 'custom', 'local_shell', 'apply_patch', 'computer_use_preview'];
const WEB_SEARCH = /^web_search(?:_preview)?(?:_\d{4}_?\d{2}_?\d{2})?$/;
/** `delta` and `done` of everything that the model writes; audio and images are no text. */
const TEXTS = ['text', 'arguments', 'refusal', 'input', 'code'];

export function responsesDialect(options: DialectOptions): Dialect {
  return { read: (request) => read(request, options) };
}

function read(request: DialectRequest, options: DialectOptions): Reading {
  const cap = request.outputTokensMax;
  if (request.body.length === 0) return probeReading(request, { outputTokens: cap });
  refuseEncoded(request.headers);
  const text = new JsonText(request.body);
  const body = text.value;
  refuseLookalikes(body, READ);
  refuseFields(
    body,
    REFUSED,
    options.allow.filter((name) => name !== 'background'),
  );
  refuseDearTier(body, options);
  const model = modelField(body);
  const prompt = new Prompt(model, options);
  for (const name of KEPT) if ((body[name] ?? null) !== null) prompt.open(name);
  // Kept by default, under the operator's account, where any payer could go on with it.
  if ((body.store ?? null) === null && !options.allow.includes('store'))
    text.set(['store'], 'false');
  addInput(body, prompt, options);
  const webSearches = addTools(text, prompt, options);
  for (const [name, value] of Object.entries(body)) if (!READ.has(name)) prompt.json(value);
  for (const name of ['instructions', 'text', 'tool_choice']) prompt.json(body[name]);

  const outputTokens = limitOutput(text, ['max_output_tokens'], 'max_output_tokens', cap);
  const bounds = {
    ...tokenBounds(prompt.bound, outputTokens),
    ...(webSearches > 0 ? { webSearches } : {}),
  };
  const rules = rulesFor(prompt, bounds, options);
  const streams = flagField(body, 'stream');
  const found = { model, fields: body, body: text.toBytes(), rules, streams, hides: false };
  return readingOf(request, found);
}

function rulesFor(
  prompt: Prompt,
  bounds: MeterRules['bounds'],
  { tokenizer }: DialectOptions,
): MeterRules {
  return {
    members: ['usage', 'output', 'response.usage', 'response.output'],
    fold,
    delta: { member: 'delta', isText: true, texts: [] },
    written: { member: 'output', texts: TEXTS },
    listed: null,
    hides: HIDES_NOTHING,
    bounds,
    needed: ['inputTokens', 'outputTokens'],
    count: countTokensOf(prompt, tokenizer),
  };
}

/** The answer itself, or the event that ends the stream and has the answer in it. */
function fold(stated: Stated, answer: JsonObject): Stated {
  const response = objectIn(answer, 'response') ?? answer;
  const usage = objectIn(response, 'usage');
  if (usage === null) return stated;
  const searches = searchesIn(response.output);
  return { ...tokensIn(usage), ...(searches > 0 ? { webSearches: searches } : {}) };
}

/** Opening a page that was found is no search. */
function searchesIn(output: unknown): number {
  if (!Array.isArray(output)) return 0;
  return output.filter(
    (item) =>
      isObject(item) &&
      item.type === 'web_search_call' &&
      (!isObject(item.action) || item.action.type === 'search'),
  ).length;
}

function addInput(body: JsonObject, prompt: Prompt, options: DialectOptions): void {
  const input = body.input ?? null;
  if (input === null) {
    if (KEPT.every((name) => (body[name] ?? null) === null))
      throw malformed('input', 'is missing.');
    return;
  }
  if (typeof input === 'string') return void prompt.text(input);
  for (const [at, item] of objectsField(body, 'input').entries())
    addItem(item, `input[${at}]`, prompt, options);
}

function addItem(item: JsonObject, field: string, prompt: Prompt, options: DialectOptions): void {
  prompt.tokens(ITEM_TOKENS);
  const type = item.type ?? 'message';
  if (type === 'item_reference') return void prompt.open(`${field}.id`);
  for (const [name, value] of Object.entries(item)) {
    if (['type', 'id', 'role', 'status'].includes(name)) continue;
    const isContent = name === 'content' || (name === 'output' && Array.isArray(value));
    if (isContent) addContent(value, `${field}.${name}`, prompt, options);
    else if (name === 'output' && isObject(value))
      addContent([value], `${field}.output`, prompt, options);
    else prompt.json(value);
  }
}

/** The most searches that the request may cause: `max_tool_calls`, lowered or put in. */
function addTools(text: JsonText, prompt: Prompt, { webSearchesMax }: DialectOptions): number {
  const body = text.value;
  const tools = objectsField(body, 'tools');
  if (tools.length > 0) prompt.tokens(TOOLS_TOKENS);
  let searches = false;
  for (const [at, tool] of tools.entries()) {
    const type = textField(tool, 'type') ?? '';
    prompt.tokens(TOOL_TOKENS);
    prompt.json(tool);
    if (CLIENT_TOOLS.includes(type)) continue;
    if (!WEB_SEARCH.test(type) || webSearchesMax < 1)
      throw malformed(
        `tools[${at}].type`,
        `is not served here: ${type.slice(0, 40)} has a cost of its own.`,
      );
    searches = true;
    prompt.open(`tools[${at}]`);
  }
  const asked = wholeField(body, 'max_tool_calls', 1, Number.MAX_SAFE_INTEGER);
  if (!searches) return 0;
  const most = Math.min(asked ?? webSearchesMax, webSearchesMax);
  if (most !== asked) text.set(['max_tool_calls'], String(most));
  prompt.rounds(most + 1);
  return most;
}
