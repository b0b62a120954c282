/** Content blocks of Anthropic's Messages, as input of the model. */

import type { DialectOptions } from '../dialect-options.ts';
import { imageTokensMax } from '../image-tokens.ts';
import { isObject, type JsonObject } from '../json-text.ts';
import type { Prompt } from '../prompt.ts';
import { malformed } from '../read-fields.ts';

const BLOCK_TOKENS = 8;

/** Adds a content: a text, or a list of blocks. Throws RequestMalformed for anything else. */
export function addBlocks(
  content: unknown,
  field: string,
  prompt: Prompt,
  options: DialectOptions,
): void {
  if (typeof content === 'string') return void prompt.text(content);
  if (!Array.isArray(content)) throw malformed(field, 'must be a text or a list of blocks.');
  for (const [at, block] of content.entries()) {
    if (!isObject(block)) throw malformed(`${field}[${at}]`, 'must be an object.');
    addBlock(block, `${field}[${at}]`, prompt, options);
  }
}

function addBlock(block: JsonObject, field: string, prompt: Prompt, options: DialectOptions): void {
  prompt.tokens(BLOCK_TOKENS);
  switch (block.type) {
    case 'text':
      if (typeof block.text !== 'string') throw malformed(`${field}.text`, 'must be a text.');
      return void prompt.json(block);
    case 'image':
      return void prompt.tokens(
        imageTokensMax(`claude ${prompt.model}`, null, options.imageTokensMax),
      );
    case 'document':
      return void addDocument(block, field, prompt, options);
    case 'tool_result':
      prompt.json(block.tool_use_id);
      if ((block.content ?? null) !== null)
        addBlocks(block.content, `${field}.content`, prompt, options);
      return;
    case 'tool_use':
    case 'server_tool_use':
    case 'thinking':
    case 'redacted_thinking':
    case 'search_result':
      return void prompt.json(block);
    default:
      prompt.open(`${field}.type`);
  }
}

/** Only plain text is as large as it looks: the pages of a PDF are read as images too. */
function addDocument(
  block: JsonObject,
  field: string,
  prompt: Prompt,
  options: DialectOptions,
): void {
  prompt.json(block.title);
  prompt.json(block.context);
  const source = isObject(block.source) ? block.source : {};
  if (source.type === 'text') return void prompt.json(source.data);
  if (source.type === 'content')
    return void addBlocks(source.content, `${field}.source.content`, prompt, options);
  prompt.open(`${field}.source`);
}
