/** Anthropic's Messages. */

import type { Dialect, DialectRequest, Reading } from '../../core/ports/dialect.ts';
import type { DialectOptions } from '../dialect-options.ts';
import { isObject, type JsonObject, JsonText } from '../json-text.ts';
import { probeReading, readingOf } from '../make-reading.ts';
import { HIDES_NOTHING } from '../meter-rules.ts';
import { refuseDearTier } from '../openai/chat.ts';
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
  wholeField,
} from '../read-fields.ts';
import { countTokensOf, tokenBounds } from '../token-rules.ts';
import { addBlocks } from './blocks.ts';
import { foldUsage } from './usage.ts';

const MESSAGE_TOKENS = 12;
/** What tools add to the system prompt, at most. */
const TOOLS_TOKENS = 1_000;
const TOOL_TOKENS = 300;

const READ = new Set([
  ...['model', 'messages', 'system', 'max_tokens', 'stream', 'tools', 'tool_choice', 'metadata'],
  ...['thinking', 'temperature', 'top_k', 'top_p', 'stop_sequences', 'service_tier'],
  ...['cache_control', 'inference_geo'],
]);

const REFUSED: Readonly<Record<string, string>> = {
  mcp_servers: 'it lets the upstream call others, for tokens without bounds',
  container: 'containers have a cost of their own',
  context_management: 'the request does not tell how large its context is',
  speed: 'it has a price of its own',
};

/** Tools that the client runs: its own ones, and those that the model knows by name. */
const CLIENT_TOOL = /^(?:custom|(?:bash|text_editor|computer|memory)_\d{8})$/;
const WEB_SEARCH = /^web_search_\d{8}$/;
const TEXTS = ['text', 'thinking', 'partial_json'];
const WHOLE_TEXTS = ['text', 'thinking'];

export function messagesDialect(options: DialectOptions): Dialect {
  return { read: (request) => read(request, options) };
}

function read(request: DialectRequest, options: DialectOptions): Reading {
  const cap = request.outputTokensMax;
  if (request.body.length === 0) return probeReading(request, { outputTokens: cap });
  refuseEncoded(request.headers);
  const text = new JsonText(request.body);
  const body = text.value;
  refuseLookalikes(body, READ);
  refuseFields(body, REFUSED, options.allow);
  refuseDearTier(body, options);
  const model = modelField(body);
  const prompt = new Prompt(model, options);
  addMessages(body, prompt, options);
  const webSearches = addTools(body, prompt, options);
  for (const [name, value] of Object.entries(body)) if (!READ.has(name)) prompt.json(value);

  if ((body.max_tokens ?? null) === null) throw malformed('max_tokens', 'is missing.');
  const outputTokens = limitOutput(text, ['max_tokens'], 'max_tokens', cap);
  checkThinking(body, outputTokens);
  const bounds = {
    ...tokenBounds(prompt.bound, outputTokens * (webSearches + 1)),
    ...(webSearches > 0 ? { webSearches } : {}),
  };
  const rules = {
    members: ['type', 'usage', 'message.usage'],
    fold: foldUsage,
    delta: { member: 'delta', isText: false, texts: TEXTS },
    written: { member: 'content', texts: WHOLE_TEXTS },
    listed: null,
    hides: HIDES_NOTHING,
    bounds,
    needed: ['inputTokens', 'outputTokens'],
    count: countTokensOf(prompt, options.tokenizer),
  };
  const streams = flagField(body, 'stream');
  const found = { model, fields: body, body: text.toBytes(), rules, streams, hides: false };
  return readingOf(request, found);
}

function addMessages(body: JsonObject, prompt: Prompt, options: DialectOptions): void {
  if (!Array.isArray(body.messages) || body.messages.length === 0)
    throw malformed('messages', 'must be a list with at least one message.');
  for (const [at, message] of objectsField(body, 'messages').entries()) {
    if (typeof message.role !== 'string')
      throw malformed(`messages[${at}].role`, 'must be a text.');
    prompt.tokens(MESSAGE_TOKENS);
    addBlocks(message.content, `messages[${at}].content`, prompt, options);
  }
  if ((body.system ?? null) !== null) addBlocks(body.system, 'system', prompt, options);
}

/** The most searches that the request may cause: the `max_uses` of its tools, which must be set. */
function addTools(body: JsonObject, prompt: Prompt, { webSearchesMax }: DialectOptions): number {
  const tools = objectsField(body, 'tools');
  if (tools.length > 0) prompt.tokens(TOOLS_TOKENS);
  prompt.json(body.tool_choice);
  let searches = 0;
  for (const [at, tool] of tools.entries()) {
    prompt.tokens(TOOL_TOKENS);
    prompt.json(tool);
    const type = tool.type ?? 'custom';
    if (typeof type !== 'string') throw malformed(`tools[${at}].type`, 'must be a text.');
    if (CLIENT_TOOL.test(type)) continue;
    if (!WEB_SEARCH.test(type) || webSearchesMax < 1)
      throw malformed(
        `tools[${at}].type`,
        `is not served here: ${type.slice(0, 40)} has a cost of its own.`,
      );
    const uses = wholeField(tool, 'max_uses', 1, Number.MAX_SAFE_INTEGER);
    if (uses === null) throw malformed(`tools[${at}].max_uses`, 'is missing.');
    searches += uses;
    if (searches > webSearchesMax)
      throw malformed(`tools[${at}].max_uses`, `may be ${webSearchesMax} at most.`);
    prompt.open(`tools[${at}]`);
  }
  if (searches > 0) prompt.rounds(searches + 1);
  return searches;
}

/** The upstream refuses a limit that its thinking would use up. */
function checkThinking(body: JsonObject, outputTokens: number): void {
  const thinking = body.thinking ?? null;
  if (thinking === null) return;
  if (!isObject(thinking)) throw malformed('thinking', 'must be an object.');
  const budget = wholeField(thinking, 'budget_tokens', 1, Number.MAX_SAFE_INTEGER);
  if (budget !== null && budget >= outputTokens)
    throw malformed(
      'thinking.budget_tokens',
      `must be less than the ${outputTokens} output tokens that are served here.`,
    );
}
