/** OpenAI's Images: generations (JSON), edits and variations (forms). Counted as `images`, and in tokens where stated. */

import type { Dialect, DialectRequest, Reading } from '../../core/ports/dialect.ts';
import type { Units } from '../../core/work.ts';
import type { DialectOptions } from '../dialect-options.ts';
import { bufferOf } from '../event-meter.ts';
import { type JsonObject, JsonText } from '../json-text.ts';
import { probeReading, readingOf } from '../make-reading.ts';
import { HIDES_NOTHING, type MeterRules } from '../meter-rules.ts';
import { fieldsOf, readForm, wholeInForm } from '../multipart.ts';
import { Prompt } from '../prompt.ts';
import {
  flagField,
  malformed,
  refuseEncoded,
  refuseLookalikes,
  textField,
  wholeField,
} from '../read-fields.ts';
import { countIn, objectIn, type Stated } from '../stated-usage.ts';
import { tokensIn } from './usage.ts';

const IMAGES_MAX = 10;
const PARTIAL_IMAGES_MAX = 3;
/** Output tokens of the largest image at the highest quality (1,024 × 1,536, `high`), and of each partial one. */
const OUTPUT_TOKENS_MAX = 6_240;
const PARTIAL_TOKENS = 100;
/** Input tokens of an image that is edited, at high fidelity. */
const INPUT_TOKENS_MAX = 7_400;
/** Models that are known to be paid by these tokens. */
const TOKEN_MODEL = /(?:^|\/)gpt-image-1|^chatgpt-image/;

const READ = new Set([
  ...['model', 'prompt', 'n', 'size', 'quality', 'stream', 'partial_images', 'response_format'],
]);
const FILES = new Set(['image', 'image[]', 'mask']);

interface Asked {
  readonly fields: Readonly<Record<string, unknown>>;
  readonly model: string;
  readonly prompt: string;
  readonly images: number;
  readonly partialImages: number;
  readonly inputImages: number;
  readonly streams: boolean;
}

export function imagesDialect(options: DialectOptions): Dialect {
  return {
    read(request) {
      if (request.body.length === 0) return probeReading(request, { images: 1 });
      refuseEncoded(request.headers);
      const isForm = !/\/images\/generations$/.test(request.path);
      return readingFor(request, isForm ? askedInForm(request) : askedInJson(request), options);
    },
  };
}

function askedInJson(request: DialectRequest): Asked {
  const body = new JsonText(request.body).value;
  refuseLookalikes(body, READ);
  const prompt = textField(body, 'prompt');
  if (prompt === null || prompt === '') throw malformed('prompt', 'is missing.');
  return {
    fields: body,
    model: textField(body, 'model') ?? '',
    prompt,
    images: wholeField(body, 'n', 1, IMAGES_MAX) ?? 1,
    partialImages: wholeField(body, 'partial_images', 0, PARTIAL_IMAGES_MAX) ?? 0,
    inputImages: 0,
    streams: flagField(body, 'stream'),
  };
}

function askedInForm(request: DialectRequest): Asked {
  const parts = readForm(request.headers, bufferOf(request.body));
  const fields = fieldsOf(parts, FILES);
  refuseLookalikes(fields, READ);
  const inputImages = parts.filter(({ isFile }) => isFile).length;
  if (inputImages === 0) throw malformed('image', 'is missing.');
  return {
    fields,
    model: fields.model ?? '',
    prompt: fields.prompt ?? '',
    images: wholeInForm(fields, 'n', 1, IMAGES_MAX) ?? 1,
    partialImages: wholeInForm(fields, 'partial_images', 0, PARTIAL_IMAGES_MAX) ?? 0,
    inputImages,
    streams: /^(?:true|1|on|yes)$/i.test(fields.stream ?? ''),
  };
}

function readingFor(request: DialectRequest, asked: Asked, options: DialectOptions): Reading {
  const prompt = new Prompt(asked.model, options);
  prompt.text(asked.prompt);
  prompt.tokens(asked.inputImages * (options.imageTokensMax ?? INPUT_TOKENS_MAX));
  const perImage = OUTPUT_TOKENS_MAX + asked.partialImages * PARTIAL_TOKENS;
  const tokens: Units = TOKEN_MODEL.test(asked.model)
    ? { inputTokens: prompt.bound, outputTokens: asked.images * perImage }
    : {};
  const rules: MeterRules = {
    members: ['usage', 'type'],
    fold,
    delta: null,
    written: null,
    listed: { member: 'data', unit: 'images' },
    hides: HIDES_NOTHING,
    bounds: { images: asked.images, ...tokens },
    // A stream that was cut off: what was asked for may have been made.
    needed: ['images'],
    count: () => (asked.streams ? 0 : asked.images),
  };
  return readingOf(request, {
    model: asked.model === '' ? null : asked.model,
    fields: asked.fields,
    body: request.body,
    rules,
    streams: asked.streams,
    hides: false,
  });
}

/** Each finished image of a stream is an event of its own. */
function fold(stated: Stated, answer: JsonObject): Stated {
  const { type } = answer;
  const isImage = typeof type === 'string' && /^image_(?:generation|edit)\.completed$/.test(type);
  const usage = objectIn(answer, 'usage');
  const tokens = usage === null ? stated : tokensIn(usage);
  return isImage
    ? { ...tokens, images: (countIn(stated, 'images') ?? 0) + 1 }
    : { ...stated, ...tokens };
}
