/**
 * OpenAI's Realtime over WebSocket: each `response.done` states its own usage, so they add up. A response that is left
 * before it is done is counted from what passed of it.
 */

import type { Dialect, MessageMeter } from '../../core/ports/dialect.ts';
import type { Measured, Units } from '../../core/work.ts';
import type { DialectOptions } from '../dialect-options.ts';
import { bufferOf } from '../event-meter.ts';
import { genericDialect } from '../generic.ts';
import { JsonScan } from '../json-scan.ts';
import { isObject } from '../json-text.ts';
import { valueReader } from '../read-fields.ts';
import { countIn, objectIn, type Stated, unitsOf } from '../stated-usage.ts';

/** The handshake names its model in the query; the messages state what they used. */
export function realtimeDialect(options: DialectOptions): Dialect {
  const generic = genericDialect(options);
  return {
    read(request) {
      const reading = generic.read(request);
      const { bounds } = reading.work;
      const value = valueReader(request, () => null);
      return {
        work: { model: value('query.model'), bounds, value },
        isProbe: false,
        body: reading.body,
        meter: (head) => reading.meter(head),
        messages: () => new RealtimeMeter(),
      };
    },
  };
}

/** Members of an event that are looked at; of a delta only its length. */
const WANTED = [
  { path: 'type', bytesMax: 128 },
  { path: 'item_id', bytesMax: 256 },
  { path: 'usage', bytesMax: 4_096 },
  { path: 'response.id', bytesMax: 256 },
  { path: 'response.usage', bytesMax: 4_096 },
  { path: 'delta', bytesMax: 0 },
];
/** Base 64 of 16-bit samples at 24 kHz; a token of the model's own audio is 50 ms of it. */
const AUDIO_TOKEN_CHARS = 3_200;
const TEXT_TOKEN_BYTES = 4;
/** Ids that are remembered, so that an event that comes twice counts once. */
const IDS_MAX = 10_000;

/** Adds up what the events of one connection state. */
export class RealtimeMeter implements MessageMeter {
  readonly #units: Record<string, number> = {};
  readonly #ids = new Set<string>();
  #scan: JsonScan | null = null;
  /** Of the response that is under way. */
  #textBytes = 0;
  #audioChars = 0;
  #isOpen = false;
  /** What the conversation so far came to as input: the next response reads at least as much. */
  #lastInput = 0;
  #hasCounted = false;

  text(bytes: Uint8Array, isEnd: boolean): void {
    this.#scan ??= new JsonScan(WANTED);
    this.#scan.push(bufferOf(bytes), 0, bytes.length);
    if (!isEnd) return;
    if (this.#scan.isJson) this.#event(this.#scan);
    this.#scan = null;
  }

  measured(): Measured {
    const units: Record<string, number> = { ...this.#units };
    if (this.#isOpen) add(units, this.#unfinished());
    return { units, by: this.#isOpen || this.#hasCounted ? 'count' : 'upstream' };
  }

  #event(scan: JsonScan): void {
    const type = scan.textOf('type') ?? '';
    if (type === '"response.created"') this.#isOpen = true;
    if (/\.delta"$/.test(type)) this.#delta(type, scan.bytesOf('delta'));
    const member = (path: string): string => scan.textOf(path) ?? 'null';
    const stated = realtimeUsage(
      `{"type":${type || 'null'},"item_id":${member('item_id')},"usage":${member('usage')},` +
        `"response":{"id":${member('response.id')},"usage":${member('response.usage')}}}`,
    );
    if (stated !== null) this.#state(stated);
    if (type !== '"response.done"') return;
    if (stated === null && this.#isOpen) {
      this.#hasCounted = true;
      add(this.#units, this.#unfinished());
    }
    this.#isOpen = false;
    this.#textBytes = 0;
    this.#audioChars = 0;
  }

  #state({ id, units }: { readonly id: string; readonly units: Stated }): void {
    if (id !== '' && this.#ids.has(id)) return;
    if (this.#ids.size < IDS_MAX) this.#ids.add(id);
    if (!id.startsWith(HEARD)) this.#lastInput = units.inputTokens ?? this.#lastInput;
    add(this.#units, units);
  }

  /** The words of spoken audio come beside it and cost nothing more. */
  #delta(type: string, length: number): void {
    if (/^"response\.(?:output_)?audio\.delta"$/.test(type)) this.#audioChars += length;
    else if (/^"response\.(?:(?:output_)?text|function_call_arguments)\.delta"$/.test(type))
      this.#textBytes += length;
  }

  #unfinished(): Units {
    const outputAudioTokens = Math.ceil(this.#audioChars / AUDIO_TOKEN_CHARS);
    const outputTokens = outputAudioTokens + Math.ceil(this.#textBytes / TEXT_TOKEN_BYTES);
    return { inputTokens: this.#lastInput, outputTokens, outputAudioTokens };
  }
}

function add(sum: Record<string, number>, more: Units): void {
  for (const [unit, count] of Object.entries(more))
    sum[unit] = Math.min((sum[unit] ?? 0) + count, Number.MAX_SAFE_INTEGER);
}

const HEARD = 'heard ';

/** What a frame of the upstream states; null for every other frame. */
export function realtimeUsage(
  frame: string,
): { readonly id: string; readonly units: Stated } | null {
  if (!frame.includes('"usage"')) return null;
  let event: unknown;
  try {
    event = JSON.parse(frame);
  } catch {
    return null;
  }
  if (!isObject(event)) return null;
  if (event.type === 'response.done') {
    const response = objectIn(event, 'response');
    const usage = objectIn(response, 'usage');
    return usage && { id: idOf(response?.id), units: tokensOf(usage) };
  }
  if (event.type !== 'conversation.item.input_audio_transcription.completed') return null;
  const usage = objectIn(event, 'usage');
  return usage && { id: HEARD + idOf(event.item_id), units: tokensOf(usage) };
}

function idOf(id: unknown): string {
  return typeof id === 'string' ? id : '';
}

function tokensOf(usage: unknown): Stated {
  const input = objectIn(usage, 'input_token_details');
  const output = objectIn(usage, 'output_token_details');
  return unitsOf({
    inputTokens: countIn(usage, 'input_tokens'),
    outputTokens: countIn(usage, 'output_tokens'),
    cachedInputTokens: countIn(input, 'cached_tokens'),
    inputAudioTokens: countIn(input, 'audio_tokens'),
    outputAudioTokens: countIn(output, 'audio_tokens'),
  });
}
