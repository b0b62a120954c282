/** Reads the usage of an event stream; parses only the events that seem to state it. */

import type { Meter } from '../core/ports/dialect.ts';
import type { Measured } from '../core/work.ts';
import { completeUsage } from './complete-usage.ts';
import { DeltaText, endsWith, startsWith } from './delta-text.ts';
import { type EventSink, EventStream } from './event-stream.ts';
import { JsonScan } from './json-scan.ts';
import { isObject, type JsonObject } from './json-text.ts';
import type { MeterRules } from './meter-rules.ts';
import type { Stated } from './stated-usage.ts';

const MEMBER_BYTES_MAX = 64 * 1024;
const QUOTE = 0x22;
const BRACE = 0x7b;
const USAGE = Buffer.from('"usage"');
const COLON = 0x3a;

export class EventMeter implements Meter, EventSink {
  readonly #rules: MeterRules;
  readonly #hides: boolean;
  readonly #stream: EventStream;
  readonly #text: DeltaText | null;
  /** The name of the member that holds text, quoted. */
  readonly #member: Buffer;
  #stated: Stated = {};
  /** How much text there was when usage was stated last. */
  #textStated = 0;
  #scan: JsonScan | null = null;

  constructor(rules: MeterRules, hides: boolean) {
    this.#rules = rules;
    this.#hides = hides;
    this.#text = rules.delta && new DeltaText(rules.delta.texts);
    this.#member = Buffer.from(`"${rules.delta?.member ?? ''}"`);
    this.#stream = new EventStream(this, hides);
  }

  pass(chunk: Uint8Array): Uint8Array | null {
    if (chunk.length === 0) return chunk;
    const bytes = bufferOf(chunk);
    const leaving = this.#stream.pass(bytes);
    return leaving === bytes ? chunk : leaving;
  }

  end(): Uint8Array | null {
    return this.#stream.end();
  }

  measured(): Measured {
    const text = (): string => this.#text?.text ?? '';
    return completeUsage(this.#withLater(), this.#rules, text, this.#text?.tokensBeyond ?? 0);
  }

  /** Text that comes after the usage is not in it. */
  #withLater(): Stated {
    const { outputTokens } = this.#stated;
    const later = this.#text?.textFrom(this.#textStated) ?? '';
    if (outputTokens === undefined || later === '') return this.#stated;
    return {
      ...this.#stated,
      outputTokens: outputTokens + (this.#rules.count('outputTokens', later) ?? 0),
    };
  }

  #fold(event: JsonObject): void {
    const stated = this.#rules.fold(this.#stated, event);
    if (stated !== this.#stated) this.#textStated = this.#text?.length ?? 0;
    this.#stated = stated;
  }

  onData(bytes: Buffer, from: number, to: number): boolean {
    if (!this.#readMembers(bytes, from, to)) return false;
    const event = parse(bytes.toString('utf8', from, to));
    if (event === null) return false;
    this.#fold(event);
    return this.#hides && this.#rules.hides(event);
  }

  onHuge(bytes: Buffer, from: number, to: number, isLast: boolean): void {
    this.#scan ??= new JsonScan(
      this.#rules.members.map((path) => ({ path, bytesMax: MEMBER_BYTES_MAX })),
    );
    this.#scan.push(bytes, from, to);
    if (!isLast) return;
    const event = this.#scan.isJson ? scanned(this.#scan, this.#rules.members) : null;
    this.#scan = null;
    if (event) this.#fold(event);
  }

  /**
   * Takes the text; true if there seems to be usage. Usage is an object, so its brace is looked for and then the
   * name before it. Within a string every quote has a backslash before it: no name is found there.
   */
  #readMembers(bytes: Buffer, from: number, to: number): boolean {
    const [text, member] = [this.#text, this.#member];
    let states = false;
    for (let at = nextOf(BRACE, bytes, from, to); at < to; at = nextOf(BRACE, bytes, at + 1, to)) {
      const name = nameEnd(bytes, at, from);
      if (name === -1) continue;
      if (endsWith(bytes, name, USAGE)) states = true;
      else if (text !== null && endsWith(bytes, name, member)) at = text.takeObject(bytes, at, to);
    }
    if (text !== null && this.#rules.delta?.isText) this.#readTexts(text, bytes, from, to);
    return states;
  }

  #readTexts(text: DeltaText, bytes: Buffer, from: number, to: number): void {
    const first = this.#member[1];
    for (let at = from; at < to; at++)
      if (bytes[at] === QUOTE && bytes[at + 1] === first && startsWith(bytes, at, this.#member))
        at = text.takeText(bytes, at + this.#member.length, to) - 1;
  }
}

/** Short parts are not worth a call of the machine's own search, which would also look behind them. */
const SEARCHED_BYTES_MIN = 64;

function nextOf(byte: number, bytes: Buffer, from: number, to: number): number {
  if (to - from >= SEARCHED_BYTES_MIN) {
    const at = bytes.indexOf(byte, from);
    return at === -1 ? to : at;
  }
  let at = from;
  while (at < to && bytes[at] !== byte) at++;
  return at;
}

/** Behind the last quote of the name whose value begins here; -1 for a value without a name. */
function nameEnd(bytes: Buffer, value: number, from: number): number {
  let at = value - 1;
  while (at > from && (bytes[at] as number) <= 0x20) at--;
  if (at <= from || bytes[at] !== COLON) return -1;
  at--;
  while (at > from && (bytes[at] as number) <= 0x20) at--;
  return at + 1;
}

/** The wanted members of a scanned text as an object again. */
export function scanned(scan: JsonScan, members: readonly string[]): JsonObject {
  const answer: Record<string, unknown> = {};
  for (const path of members) {
    const text = scan.textOf(path);
    if (text === null) continue;
    const [outer = '', inner] = path.split('.');
    const value = parseAny(text);
    if (inner === undefined) answer[outer] = value;
    else answer[outer] = { ...(isObject(answer[outer]) ? answer[outer] : {}), [inner]: value };
  }
  return answer;
}

export function parse(json: string): JsonObject | null {
  const value = parseAny(json);
  return isObject(value) ? value : null;
}

function parseAny(json: string): unknown {
  try {
    return JSON.parse(json);
  } catch {
    return null;
  }
}

export function bufferOf(bytes: Uint8Array): Buffer {
  return Buffer.isBuffer(bytes)
    ? bytes
    : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
