/** The messages and tools of a chat, as input of the model. */

import type { DialectOptions } from '../dialect-options.ts';
import { isObject, type JsonObject } from '../json-text.ts';
import type { Prompt } from '../prompt.ts';
import { malformed, objectsField } from '../read-fields.ts';
import { addContent } from './parts.ts';

/** What a template puts around a message: three tokens at OpenAI, up to twelve elsewhere. */
const MESSAGE_TOKENS = 12;
const TOOLS_TOKENS = 400;
const TOOL_TOKENS = 16;

/** Throws RequestMalformed unless there is at least one message, each with a role. */
export function addMessages(body: JsonObject, prompt: Prompt, options: DialectOptions): void {
  if (!Array.isArray(body.messages) || body.messages.length === 0)
    throw malformed('messages', 'must be a list with at least one message.');
  for (const [at, message] of objectsField(body, 'messages').entries()) {
    const field = `messages[${at}]`;
    if (typeof message.role !== 'string') throw malformed(`${field}.role`, 'must be a text.');
    prompt.tokens(MESSAGE_TOKENS);
    for (const [name, value] of Object.entries(message)) {
      if (name === 'role') continue;
      if (name === 'content') addContent(value, `${field}.content`, prompt, options);
      // An earlier spoken answer is named, not sent.
      else if (name === 'audio' && isObject(value)) prompt.open(`${field}.audio`);
      else prompt.json(value);
    }
  }
}

/** Throws RequestMalformed for tools that the server would run, and bill. */
export function addTools(body: JsonObject, prompt: Prompt): void {
  const tools = objectsField(body, 'tools');
  const functions = objectsField(body, 'functions');
  for (const [at, tool] of tools.entries())
    if (tool.type !== 'function' && tool.type !== 'custom')
      throw malformed(`tools[${at}].type`, 'is not served here: only functions are.');
  if (tools.length + functions.length > 0) prompt.tokens(TOOLS_TOKENS);
  for (const tool of [...tools, ...functions]) {
    prompt.tokens(TOOL_TOKENS);
    prompt.json(tool);
  }
  prompt.json(body.tool_choice);
  prompt.json(body.response_format);
}
