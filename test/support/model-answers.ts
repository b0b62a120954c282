/** What a model writes, in the wire formats of OpenAI and Anthropic: whole, and as a list of events. */

import { type Conduct, countTestTokens, FALSE_COUNTS, wordsOf } from './model-conduct.ts';

export type Json = Record<string, unknown>;

export interface Written {
  readonly model: string;
  readonly pieces: readonly string[];
  readonly reasoning: readonly string[];
  readonly tool: { readonly name: string; readonly args: readonly string[] } | null;
  readonly inputTokens: number;
  readonly outputTokens: number;
  readonly reasoningTokens: number;
  /** Whether the limit ended it. */
  readonly isCut: boolean;
}

/** The answer to a request, as long as its limit allows. */
export function writtenFor(body: Json, conduct: Conduct, limit: number | null): Written {
  const tools = Array.isArray(body.tools) ? (body.tools as Json[]) : [];
  const first = tools[0];
  const named = (first?.function as Json | undefined) ?? first;
  const callsTool = conduct.callsTool === true && named !== undefined;
  const tool = callsTool ? { name: String(named.name), args: ['{"city":', '"Paris"', '}'] } : null;
  const reasoning = wordsOf(conduct.reasoningWords ?? 0);
  const all = conduct.reply === undefined ? wordsOf(conduct.words ?? 6) : [conduct.reply];
  const pieces: string[] = [];
  let left = limit ?? Number.POSITIVE_INFINITY;
  for (const piece of tool ? [] : all) {
    left -= countTestTokens(piece);
    if (left < 0) break;
    pieces.push(piece);
  }
  const reasoningTokens = countTestTokens(reasoning.join(''));
  const text = tool ? tool.name + tool.args.join('') : pieces.join('');
  return {
    model: String(body.model),
    ...{ pieces, reasoning, tool, reasoningTokens },
    inputTokens: inputTokensOf(body),
    outputTokens: countTestTokens(text) + reasoningTokens,
    isCut: tool === null && pieces.length < all.length,
  };
}

/** Every text of the request that a model would read, and three tokens for each message. */
export function inputTokensOf(body: Json): number {
  const read = ['messages', 'system', 'input', 'instructions', 'prompt', 'tools'];
  let tokens = 3;
  const add = (value: unknown, name: string): void => {
    if (typeof value === 'string') {
      if (name !== 'url' && name !== 'data') tokens += countTestTokens(value);
    } else if (Array.isArray(value)) for (const item of value) add(item, '');
    else if (typeof value === 'object' && value !== null) {
      if ('role' in value) tokens += 3;
      if ('image_url' in value || 'source' in value) tokens += 85;
      for (const [inner, item] of Object.entries(value)) if (inner !== 'role') add(item, inner);
    }
  };
  for (const name of read) add(body[name], name);
  return tokens;
}

/** A usage object as it should be, or with false numbers in it; undefined for none. */
export function usageOf(counts: Json, conduct: Conduct): Json | undefined {
  if (conduct.usage === 'none') return undefined;
  if (conduct.usage !== 'false') return counts;
  const names = Object.keys(counts).filter((name) => typeof counts[name] === 'number');
  return Object.fromEntries(names.map((name, at) => [name, FALSE_COUNTS[at % 5]]));
}

/** Chat Completions, whole. */
export function chatAnswer(written: Written, conduct: Conduct, choices: number): Json {
  const { tool } = written;
  const message = {
    role: 'assistant',
    content: tool ? null : written.pieces.join(''),
    ...(written.reasoning.length > 0 ? { reasoning_content: written.reasoning.join('') } : {}),
    ...(tool ? { tool_calls: [toolCall(tool.name, tool.args.join(''))] } : {}),
  };
  return {
    ...{ id: 'chatcmpl-test', object: 'chat.completion', created: 1, model: written.model },
    choices: Array.from({ length: choices }, (_, index) => ({
      ...{ index, message, logprobs: null, finish_reason: reasonOf(written) },
    })),
    usage: usageOf(chatUsage(written, choices), conduct),
  };
}

export function chatUsage(written: Written, choices: number): Json {
  const [prompt_tokens, completion_tokens] = [written.inputTokens, written.outputTokens * choices];
  return {
    ...{ prompt_tokens, completion_tokens, total_tokens: prompt_tokens + completion_tokens },
    prompt_tokens_details: { cached_tokens: 0, audio_tokens: 0 },
    completion_tokens_details: { reasoning_tokens: written.reasoningTokens * choices },
  };
}

/** Chat Completions, as events. */
export function chatEvents(
  written: Written,
  conduct: Conduct,
  choices: number,
  asksForUsage: boolean,
): Json[] {
  const usage = usageOf(chatUsage(written, choices), conduct);
  const states = asksForUsage && usage !== undefined;
  const chunk = (list: Json[], more: Json = {}): Json => ({
    ...{ id: 'chatcmpl-test', object: 'chat.completion.chunk', created: 1, model: written.model },
    ...{ choices: list, ...(states ? { usage: null } : {}), ...more },
  });
  const events: Json[] = [];
  for (let index = 0; index < choices; index++) {
    const say = (delta: Json, finish_reason: string | null = null): void => {
      events.push(chunk([{ index, delta, logprobs: null, finish_reason }]));
    };
    say({ role: 'assistant', content: '' });
    for (const reasoning_content of written.reasoning) say({ reasoning_content });
    for (const content of written.pieces) say({ content });
    if (written.tool) {
      say({ tool_calls: [{ index: 0, ...toolCall(written.tool.name, '') }] });
      for (const part of written.tool.args)
        say({ tool_calls: [{ index: 0, function: { arguments: part } }] });
    }
    say({}, reasonOf(written));
  }
  if (!states) return events;
  const low = { prompt_tokens: 1, completion_tokens: 1, total_tokens: 2 };
  if (conduct.usage === 'twice') events.push(chunk([], { usage: low }));
  return [...events, chunk([], { usage })];
}

function reasonOf({ tool, isCut }: Written): string {
  return tool ? 'tool_calls' : isCut ? 'length' : 'stop';
}

function toolCall(name: string, args: string): Json {
  return { id: 'call_1', type: 'function', function: { name, arguments: args } };
}

/** Responses, whole. */
export function responseAnswer(written: Written, conduct: Conduct, searches = 0): Json {
  const { inputTokens, outputTokens, tool } = written;
  const search = { type: 'web_search_call', status: 'completed', action: { type: 'search' } };
  const item = tool
    ? { type: 'function_call', id: 'fc_1', call_id: 'call_1', name: tool.name }
    : { type: 'message', id: 'msg_1', role: 'assistant', status: 'completed' };
  const said = tool
    ? { arguments: tool.args.join('') }
    : { content: [{ type: 'output_text', text: written.pieces.join(''), annotations: [] }] };
  return {
    ...{ id: 'resp_test', object: 'response', created_at: 1, status: 'completed', error: null },
    ...{ model: written.model, incomplete_details: null, tools: [], metadata: {} },
    output: [...Array.from({ length: searches }, () => search), { ...item, ...said }],
    usage: usageOf(
      {
        ...{ input_tokens: inputTokens, output_tokens: outputTokens },
        total_tokens: inputTokens + outputTokens,
        input_tokens_details: { cached_tokens: 0 },
        output_tokens_details: { reasoning_tokens: written.reasoningTokens },
      },
      conduct,
    ),
  };
}

/** Responses, as events. */
export function responseEvents(written: Written, conduct: Conduct): Json[] {
  const whole = responseAnswer(written, conduct);
  const begun = { ...whole, status: 'in_progress', output: [], usage: null };
  const place = { item_id: 'msg_1', output_index: 0, content_index: 0 };
  const kind = written.tool ? 'response.function_call_arguments' : 'response.output_text';
  const pieces = written.tool ? written.tool.args : written.pieces;
  const events: Json[] = [
    { type: 'response.created', response: begun },
    ...pieces.map((delta) => ({ type: `${kind}.delta`, ...place, delta })),
    { type: `${kind}.done`, ...place, text: pieces.join('') },
    { type: 'response.completed', response: whole },
  ];
  return events.map((event, sequence_number) => ({ ...event, sequence_number }));
}

/** Anthropic's Messages, whole. */
export function anthropicAnswer(written: Written, conduct: Conduct): Json {
  const { tool } = written;
  const block = tool
    ? { type: 'tool_use', id: 'toolu_1', name: tool.name, input: JSON.parse(tool.args.join('')) }
    : { type: 'text', text: written.pieces.join('') };
  return {
    ...{ id: 'msg_test', type: 'message', role: 'assistant', model: written.model },
    ...{ content: [block], stop_sequence: null },
    stop_reason: tool ? 'tool_use' : written.isCut ? 'max_tokens' : 'end_turn',
    usage: usageOf(anthropicUsage(written), conduct),
  };
}

/** A part of the input is read from the cache and a part is written to it, and counted apart. */
export function anthropicUsage({ inputTokens, outputTokens }: Written): Json {
  const cache_read_input_tokens = Math.floor(inputTokens / 2);
  return {
    input_tokens: inputTokens - cache_read_input_tokens - 1,
    cache_creation_input_tokens: 1,
    ...{ cache_read_input_tokens, output_tokens: outputTokens },
  };
}

/** Anthropic's Messages, as events. */
export function anthropicEvents(written: Written, conduct: Conduct): Json[] {
  const { tool } = written;
  const whole = anthropicAnswer(written, conduct);
  const usage = usageOf({ ...anthropicUsage(written), output_tokens: 1 }, conduct);
  const block = tool
    ? { type: 'tool_use', id: 'toolu_1', name: tool.name, input: {} }
    : { type: 'text', text: '' };
  const deltas = tool
    ? tool.args.map((partial_json) => ({ type: 'input_json_delta', partial_json }))
    : written.pieces.map((text) => ({ type: 'text_delta', text }));
  const end = usageOf({ output_tokens: written.outputTokens }, conduct);
  return [
    { type: 'message_start', message: { ...whole, content: [], stop_reason: null, usage } },
    { type: 'content_block_start', index: 0, content_block: block },
    { type: 'ping' },
    ...deltas.map((delta) => ({ type: 'content_block_delta', index: 0, delta })),
    { type: 'content_block_stop', index: 0 },
    {
      type: 'message_delta',
      delta: { stop_reason: whole.stop_reason, stop_sequence: null },
      ...(end ? { usage: end } : {}),
    },
    { type: 'message_stop' },
  ];
}
