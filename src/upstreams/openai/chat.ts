/** OpenAI's Chat Completions and the older Completions, also as Gemini, vLLM, Ollama and others speak them. */

import type { Dialect, DialectRequest, Reading } from '../../core/ports/dialect.ts';
import type { DialectOptions } from '../dialect-options.ts';
import { isObject, type JsonObject, JsonText } from '../json-text.ts';
import { probeReading, readingOf } from '../make-reading.ts';
import type { MeterRules } from '../meter-rules.ts';
import { limitFieldOf, limitOutput } from '../output-limit.ts';
import { Prompt } from '../prompt.ts';
import {
  flagField,
  malformed,
  modelField,
  refuseEncoded,
  refuseFields,
  refuseLookalikes,
  textField,
  wholeField,
} from '../read-fields.ts';
import { objectIn, type Stated } from '../stated-usage.ts';
import { countTokensOf, tokenBounds } from '../token-rules.ts';
import { addMessages, addTools } from './messages.ts';
import { tokensIn } from './usage.ts';

const CHOICES_MAX = 128;
const LIMITS = ['max_completion_tokens', 'max_tokens'];

/** Fields that are no input, or read one by one; all others are counted as text. */
const READ = new Set([
  ...['model', 'messages', 'prompt', 'tools', 'functions', 'stream', 'stream_options', 'n'],
  ...['best_of', 'max_tokens', 'max_completion_tokens', 'metadata', 'logit_bias', 'user', 'stop'],
  ...['temperature', 'top_p', 'top_k', 'seed', 'logprobs', 'top_logprobs', 'presence_penalty'],
  ...['frequency_penalty', 'prompt_cache_key', 'safety_identifier', 'service_tier', 'modalities'],
  ...['reasoning_effort', 'verbosity', 'parallel_tool_calls', 'echo', 'store', 'audio'],
  ...['web_search_options', 'response_format', 'tool_choice', 'prediction', 'extra_body'],
]);

const REFUSED: Readonly<Record<string, string>> = {
  prediction: 'predicted tokens are paid beyond every limit',
  store: 'what is stored is in the hands of the operator',
  background: 'its usage is not known when it answers',
  models: 'it lets the upstream choose another model',
  plugins: 'it has a cost of its own',
  search_parameters: 'searches have a cost of their own',
  chat_template: 'it can make the input any size',
  use_beam_search: 'it writes more than it answers',
  cached_content: 'the request does not tell how large it is',
};

const TEXTS = [
  'content',
  'reasoning_content',
  'reasoning',
  'refusal',
  'arguments',
  'name',
  'input',
];
const MEMBERS = ['usage', 'x_groq.usage'];

export function chatDialect(options: DialectOptions): Dialect {
  return { read: (request) => read(request, options, 'messages') };
}

/** The dialect of `/completions`: a prompt instead of messages. */
export function completionsDialect(options: DialectOptions): Dialect {
  return { read: (request) => read(request, options, 'prompt') };
}

function read(
  request: DialectRequest,
  options: DialectOptions,
  kind: 'messages' | 'prompt',
): Reading {
  const cap = request.outputTokensMax;
  if (request.body.length === 0) return probeReading(request, { outputTokens: cap });
  refuseEncoded(request.headers);
  const text = new JsonText(request.body);
  const body = text.value;
  refuseLookalikes(body, READ);
  refuseLookalikes(body, new Set(Object.keys(REFUSED)));
  refuseFields(body, REFUSED, options.allow);
  refuseDearTier(body, options);
  const model = modelField(body);
  const prompt = new Prompt(model, options);
  const prompts = kind === 'messages' ? 1 : addPrompts(body.prompt, prompt);
  if (kind === 'messages') addMessages(body, prompt, options);
  addTools(body, prompt);
  refuseExtraBody(body, prompt);
  for (const [name, value] of Object.entries(body)) if (!READ.has(name)) prompt.json(value);
  const webSearches = searchesOf(body, model, options);

  const choices = Math.max(
    wholeField(body, 'n', 1, CHOICES_MAX) ?? 1,
    wholeField(body, 'best_of', 1, CHOICES_MAX) ?? 1,
  );
  const injected =
    kind === 'prompt' ? 'max_tokens' : (options.outputTokensField ?? limitFieldOf(model));
  const outputTokens = limitOutput(text, LIMITS, injected, cap) * choices * prompts;
  const streams = flagField(body, 'stream');
  const hides = streams && options.asksForUsage && askForUsage(text);
  const bounds = {
    ...tokenBounds(prompt.bound, outputTokens),
    ...(webSearches > 0 ? { webSearches } : {}),
  };
  const rules = rulesFor(kind, prompt, bounds, options, webSearches);
  return readingOf(request, { model, fields: body, body: text.toBytes(), rules, streams, hides });
}

function rulesFor(
  kind: 'messages' | 'prompt',
  prompt: Prompt,
  bounds: MeterRules['bounds'],
  options: DialectOptions,
  webSearches: number,
): MeterRules {
  const count = countTokensOf(prompt, options.tokenizer);
  const texts = kind === 'prompt' ? ['text'] : TEXTS;
  return {
    members: MEMBERS,
    fold,
    delta: { member: kind === 'prompt' ? 'text' : 'delta', isText: kind === 'prompt', texts },
    written: { member: 'choices', texts },
    listed: null,
    hides: isUsageOnly,
    bounds,
    needed: ['inputTokens', 'outputTokens', ...(webSearches > 0 ? ['webSearches'] : [])],
    count: (unit, text) => (unit === 'webSearches' ? webSearches : count(unit, text)),
  };
}

/** Usage that comes again replaces what came before: it is cumulative. */
function fold(stated: Stated, answer: JsonObject): Stated {
  const usage = objectIn(answer, 'usage') ?? objectIn(answer, 'x_groq', 'usage');
  return usage === null ? stated : tokensIn(usage);
}

/** The last chunk that `include_usage` brings: no choices, and the usage. */
function isUsageOnly(event: JsonObject): boolean {
  const choices = event.choices;
  return Array.isArray(choices) && choices.length === 0 && isObject(event.usage);
}

/** True if the client did not ask for usage itself. */
function askForUsage(text: JsonText): boolean {
  const asked = text.value.stream_options ?? null;
  if (asked !== null && !isObject(asked)) throw malformed('stream_options', 'must be an object.');
  if (asked !== null && flagField(asked, 'include_usage')) return false;
  if (asked === null) text.set(['stream_options'], '{"include_usage":true}');
  else text.set(['stream_options', 'include_usage'], 'true');
  return true;
}

/** A prompt is one text, a list of texts, tokens, or a list of tokens: each is answered. */
function addPrompts(value: unknown, prompt: Prompt): number {
  if (typeof value === 'string') {
    prompt.text(value);
    return 1;
  }
  if (!Array.isArray(value) || value.length === 0)
    throw malformed('prompt', 'must be a text, or a list of texts.');
  if (value.every((item) => typeof item === 'number')) {
    prompt.tokens(value.length);
    return 1;
  }
  for (const [at, item] of value.entries())
    if (typeof item === 'string') prompt.text(item);
    else if (Array.isArray(item)) prompt.tokens(item.length);
    else throw malformed(`prompt[${at}]`, 'must be a text.');
  return value.length;
}

/** Priority costs more than the price knows. */
export function refuseDearTier(body: JsonObject, { allow }: DialectOptions): void {
  const tier = textField(body, 'service_tier') ?? 'auto';
  if (['auto', 'default', 'flex', 'standard', 'standard_only'].includes(tier)) return;
  if (!allow.includes('service_tier'))
    throw malformed('service_tier', 'is not served here: it has a price of its own.');
}

/** Gemini's own settings: harmless ones pass; a cache or tools of the server have a cost of their own. */
function refuseExtraBody(body: JsonObject, prompt: Prompt): void {
  const extra = body.extra_body ?? null;
  if (extra === null) return;
  if (!isObject(extra)) throw malformed('extra_body', 'must be an object.');
  const google = isObject(extra.google) ? extra.google : extra;
  if ('tools' in google) throw malformed('extra_body.google.tools', 'is not served here.');
  if ('cached_content' in google) prompt.open('extra_body.google.cached_content');
  prompt.json(extra);
}

/** Search models search once for each request, and say nothing about it. */
function searchesOf(body: JsonObject, model: string, { webSearchesMax }: DialectOptions): number {
  const isAsked = (body.web_search_options ?? null) !== null;
  if (isAsked && webSearchesMax < 1)
    throw malformed('web_search_options', 'is not served here: searches have a cost of their own.');
  return isAsked || /-search-(?:preview|api)/.test(model) ? 1 : 0;
}
