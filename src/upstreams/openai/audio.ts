/** OpenAI's Audio: speech from text, and text from speech. Counted as `audioSeconds`, and in tokens where stated. */

import type { Dialect, DialectRequest, Reading } from '../../core/ports/dialect.ts';
import { mp3SecondsMax, wavSeconds } from '../audio-seconds.ts';
import type { DialectOptions } from '../dialect-options.ts';
import { bufferOf } from '../event-meter.ts';
import { type JsonObject, JsonText } from '../json-text.ts';
import { probeReading, readingOf } from '../make-reading.ts';
import { HIDES_NOTHING, type MeterRules } from '../meter-rules.ts';
import { fieldsOf, readForm } from '../multipart.ts';
import { Prompt } from '../prompt.ts';
import {
  malformed,
  modelField,
  refuseEncoded,
  refuseLookalikes,
  textField,
} from '../read-fields.ts';
import { objectIn, type Stated, secondsIn, unitsOf } from '../stated-usage.ts';
import { tokensIn } from './usage.ts';

/** By this rule speech is priced: so many characters are a second, at speed 1. */
export const CHARACTERS_PER_SECOND = 15;
const SPEECH_CHARACTERS_MAX = 4_096;
const HEARD_TOKENS_PER_SECOND = 32;
const WRITTEN_TOKENS_PER_SECOND = 32;
const WRITTEN_TOKENS_MIN = 256;

const SPEECH_FIELDS = new Set([
  'model',
  'input',
  'speed',
  'voice',
  'instructions',
  'stream_format',
]);
const FORM_FIELDS = new Set(['model', 'prompt', 'language', 'response_format', 'stream']);
const FILES = new Set(['file']);

/** `/audio/speech`: what the seconds are is worked out from the characters, before and after. */
export function speechDialect(options: DialectOptions): Dialect {
  return { read: (request) => readSpeech(request, options) };
}

/** `/audio/transcriptions` and `/audio/translations`. */
export function transcriptionDialect(options: DialectOptions): Dialect {
  return { read: (request) => readTranscription(request, options) };
}

function readSpeech(request: DialectRequest, options: DialectOptions): Reading {
  if (request.body.length === 0) return probeReading(request, {});
  refuseEncoded(request.headers);
  const body = new JsonText(request.body).value;
  refuseLookalikes(body, SPEECH_FIELDS);
  const model = modelField(body);
  const input = textField(body, 'input');
  if (input === null || input === '') throw malformed('input', 'is missing.');
  const characters = [...input].length;
  if (characters > SPEECH_CHARACTERS_MAX)
    throw malformed('input', `may have ${SPEECH_CHARACTERS_MAX} characters at most.`);
  const speed = body.speed ?? 1;
  if (typeof speed !== 'number' || !(speed >= 0.25 && speed <= 4))
    throw malformed('speed', 'must be a number from 0.25 to 4.');
  const prompt = new Prompt(model, options);
  prompt.text(input);
  prompt.json(body.instructions);
  const audioSeconds = Math.ceil(characters / CHARACTERS_PER_SECOND / speed);
  const asked: Readonly<Record<string, number>> = { characters, audioSeconds };
  const rules: MeterRules = {
    members: ['usage'],
    fold: foldUsage,
    delta: null,
    written: null,
    listed: null,
    hides: HIDES_NOTHING,
    bounds: { ...asked, inputTokens: prompt.bound },
    needed: ['characters', 'audioSeconds', 'inputTokens'],
    count: (unit) => asked[unit] ?? prompt.estimate,
  };
  const streams = body.stream_format === 'sse';
  const found = { model, fields: body, body: request.body, rules, streams, hides: false };
  const reading = readingOf(request, found);
  return { ...reading, meter: (head) => audioMeter(head.status, reading.meter(head), asked) };
}

/** An answer of audio states nothing, and is what was asked for nevertheless. */
function audioMeter(
  status: number,
  meter: ReturnType<Reading['meter']>,
  asked: Readonly<Record<string, number>>,
): ReturnType<Reading['meter']> {
  let bytes = 0;
  return {
    pass(chunk) {
      bytes += chunk.length;
      return meter.pass(chunk);
    },
    end: () => meter.end(),
    measured() {
      const measured = meter.measured();
      const isAudio = measured.by === 'none' && bytes > 0 && status >= 200 && status < 300;
      return isAudio ? { units: asked, by: 'count' } : measured;
    },
  };
}

function readTranscription(request: DialectRequest, options: DialectOptions): Reading {
  if (request.body.length === 0)
    return probeReading(request, unitsOf({ audioSeconds: options.audioSecondsMax }));
  refuseEncoded(request.headers);
  const parts = readForm(request.headers, bufferOf(request.body));
  const fields = fieldsOf(parts, FILES);
  refuseLookalikes(fields, FORM_FIELDS);
  const model = modelField(fields);
  const files = parts.filter(({ isFile }) => isFile);
  const file = files[0]?.bytes;
  if (file === undefined || files.length !== 1) throw malformed('file', 'must be one file.');
  const exact = wavSeconds(file);
  const most = exact ?? mp3SecondsMax(file);
  const audioSeconds = secondsMax(most, exact !== null, options);
  const prompt = new Prompt(model, options);
  prompt.tokens(HEARD_TOKENS_PER_SECOND * audioSeconds);
  prompt.json(fields.prompt);
  const rules: MeterRules = {
    members: ['usage', 'duration'],
    fold: foldHeard,
    delta: null,
    written: null,
    listed: null,
    hides: HIDES_NOTHING,
    bounds: {
      audioSeconds,
      inputTokens: prompt.bound,
      outputTokens: WRITTEN_TOKENS_MIN + WRITTEN_TOKENS_PER_SECOND * audioSeconds,
    },
    needed: exact === null ? [] : ['audioSeconds'],
    count: () => exact,
  };
  const streams = /^(?:true|1|on|yes)$/i.test(fields.stream ?? '');
  const found = { model, fields, body: request.body, rules, streams, hides: false };
  return readingOf(request, found);
}

/** A length that is known beats the configured one; of the others the smaller one holds. */
function secondsMax(
  most: number | null,
  isExact: boolean,
  { audioSecondsMax }: DialectOptions,
): number {
  if (most === null && audioSecondsMax === null)
    throw malformed('file', 'must be WAV or MP3: the length of others cannot be told.');
  if (isExact && most !== null && audioSecondsMax !== null && most > audioSecondsMax)
    throw malformed('file', `may last ${audioSecondsMax} seconds at most.`);
  return Math.min(most ?? Number.POSITIVE_INFINITY, audioSecondsMax ?? Number.POSITIVE_INFINITY);
}

function foldUsage(stated: Stated, answer: JsonObject): Stated {
  const usage = objectIn(answer, 'usage');
  return usage === null ? stated : tokensIn(usage);
}

/** `usage` in seconds or tokens; `duration` of the verbose form. */
function foldHeard(stated: Stated, answer: JsonObject): Stated {
  const usage = objectIn(answer, 'usage');
  const seconds = secondsIn(usage, 'seconds') ?? secondsIn(answer, 'duration');
  const tokens = usage === null ? stated : tokensIn(usage);
  return seconds === null ? tokens : { ...tokens, audioSeconds: seconds };
}
