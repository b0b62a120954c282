/** Parts of a message's content, as Chat Completions and Responses write them. */

import { mp3SecondsMax, wavSeconds } from '../audio-seconds.ts';
import type { DialectOptions } from '../dialect-options.ts';
import { imageTokensMax } from '../image-tokens.ts';
import { isObject, type JsonObject } from '../json-text.ts';
import type { Prompt } from '../prompt.ts';
import { malformed } from '../read-fields.ts';

/** No model hears more tokens in a second than this: OpenAI's 10, Gemini's 32. */
const AUDIO_TOKENS_PER_SECOND = 32;
const PART_TOKENS = 4;

/** Adds a content: a text, or a list of parts. */
export function addContent(
  content: unknown,
  field: string,
  prompt: Prompt,
  options: DialectOptions,
): void {
  if (content === null || content === undefined) return;
  if (typeof content === 'string') return void prompt.text(content);
  if (!Array.isArray(content)) throw malformed(field, 'must be a text or a list of parts.');
  for (const [at, part] of content.entries()) {
    if (typeof part === 'string') prompt.text(part);
    else if (!isObject(part)) throw malformed(`${field}[${at}]`, 'must be an object.');
    else addPart(part, `${field}[${at}]`, prompt, options);
  }
}

function addPart(part: JsonObject, field: string, prompt: Prompt, options: DialectOptions): void {
  prompt.tokens(PART_TOKENS);
  switch (part.type) {
    case 'text':
    case 'input_text':
    case 'output_text':
    case 'summary_text':
    case 'reasoning_text':
      if (typeof part.text !== 'string') throw malformed(`${field}.text`, 'must be a text.');
      return void prompt.json(part.text);
    case 'refusal':
      return void prompt.json(part.refusal);
    case 'image_url':
    case 'input_image':
    case 'computer_screenshot':
      return void addImage(part, prompt, options);
    case 'input_audio':
      return void addAudio(part, field, prompt, options);
    case 'file':
    case 'input_file':
      return void addFile(part, field, prompt);
    default:
      prompt.open(`${field}.type`);
  }
}

function addImage(part: JsonObject, prompt: Prompt, options: DialectOptions): void {
  const inner = part.image_url;
  const detail = isObject(inner) ? inner.detail : part.detail;
  prompt.tokens(imageTokensMax(prompt.model, detail, options.imageTokensMax));
}

function addAudio(
  part: JsonObject,
  field: string,
  prompt: Prompt,
  { audioSecondsMax }: DialectOptions,
): void {
  const audio = part.input_audio;
  const data = isObject(audio) ? audio.data : null;
  if (typeof data !== 'string') throw malformed(`${field}.input_audio.data`, 'must be base64.');
  const bytes = Buffer.from(
    data.slice(data.startsWith('data:') ? data.indexOf(',') + 1 : 0),
    'base64',
  );
  const seconds = wavSeconds(bytes) ?? mp3SecondsMax(bytes) ?? audioSecondsMax;
  if (seconds === null) return void prompt.open(`${field}.input_audio`);
  if (audioSecondsMax !== null && seconds > audioSecondsMax)
    throw malformed(`${field}.input_audio`, `may last ${audioSecondsMax} seconds at most.`);
  prompt.tokens(AUDIO_TOKENS_PER_SECOND * seconds);
}

/** Only plain text is as large as it looks: the pages of a PDF are read as images too. */
function addFile(part: JsonObject, field: string, prompt: Prompt): void {
  const file = isObject(part.file) ? part.file : part;
  const data = file.file_data;
  const text = typeof data === 'string' ? /^data:text\/[\w.+-]+;base64,/.exec(data) : null;
  if (typeof data !== 'string' || text === null) return void prompt.open(field);
  prompt.text(Buffer.from(data.slice(text[0].length), 'base64').toString('utf8'));
  prompt.json(file.filename);
}
