/**
 * Finds a few members of a JSON text that passes in pieces, by its structure and not by its words: what stands
 * inside a string, or deeper than asked, is never taken for a member. Keeps only what it was asked for.
 */

const QUOTE = 0x22;
const COMMA = 0x2c;
const COLON = 0x3a;
const BACKSLASH = 0x5c;
const KEY_BYTES_MAX = 64;
const DEPTH_MAX = 512;

/** A member to look for, and the most bytes of it to keep. */
export interface Wanted {
  /** `usage`, or `response.usage` one level deeper. */
  readonly path: string;
  readonly bytesMax: number;
}

interface Capture {
  readonly bytesMax: number;
  pieces: Buffer[];
  bytes: number;
  /** Complete; the last one counts, as in JSON.parse. */
  text: string | null;
}

export class JsonScan {
  readonly #captures = new Map<string, Capture>();
  /** The path whose items are counted. */
  readonly #listed: string | null;
  #items: number | null = null;

  #depth = 0;
  /** Bit of each depth: an object, else an array. Deeper than it matters nothing is noted. */
  readonly #isObject: boolean[] = [];
  readonly #keys: [string, string] = ['', ''];
  #inString = false;
  #escaped = false;
  #isKey = false;
  #key: number[] | null = null;
  #awaitsKey = false;
  #begun = false;
  #broken = false;

  /** What is captured now, and since which depth. */
  #current: Capture | null = null;
  #currentDepth = 0;
  #listDepth = 0;

  constructor(wanted: readonly Wanted[], listed: string | null = null) {
    for (const { path, bytesMax } of wanted)
      this.#captures.set(path, { bytesMax, pieces: [], bytes: 0, text: null });
    this.#listed = listed;
  }

  /** Whether it was a JSON object so far. */
  get isJson(): boolean {
    return this.#begun && !this.#broken;
  }

  /** The JSON of a wanted member; null while there is none that is complete and short enough. */
  textOf(path: string): string | null {
    return this.#captures.get(path)?.text ?? null;
  }

  /** How many bytes a wanted member had so far, kept or not. */
  bytesOf(path: string): number {
    return this.#captures.get(path)?.bytes ?? 0;
  }

  /** How many items the listed member has; null when it is not there. */
  get items(): number | null {
    return this.#items;
  }

  push(bytes: Buffer, from: number, to: number): void {
    let captureFrom = from;
    let at = from;
    this.#quoteAt = -1;
    this.#backslashAt = -1;
    while (at < to && !this.#broken) {
      if (this.#inString) {
        at = this.#throughString(bytes, at, to);
        continue;
      }
      const byte = bytes[at] as number;
      if (byte <= 0x20) {
        at++;
        continue;
      }
      if (this.#current && this.#endsCapture(byte)) this.#finishCapture(bytes, captureFrom, at);
      this.#step(byte);
      if (this.#startsValue(byte)) captureFrom = this.#startCapture(at);
      at++;
    }
    if (this.#current && !this.#broken) this.#keep(bytes, captureFrom, to);
  }

  /** Set when a wanted value comes next. */
  #nextPath: string | null = null;

  #startsValue(byte: number): boolean {
    return this.#nextPath !== null && byte !== COLON && this.#current === null;
  }

  #startCapture(at: number): number {
    const capture = this.#captures.get(this.#nextPath ?? '');
    this.#nextPath = null;
    if (capture) {
      capture.pieces = [];
      capture.bytes = 0;
      capture.text = null;
      this.#current = capture;
    }
    return at;
  }

  /** A captured value ends at the comma or bracket that follows it on the depth of its key. */
  #endsCapture(byte: number): boolean {
    return this.#depth === this.#currentDepth && (byte === COMMA || byte === 0x7d || byte === 0x5d);
  }

  #finishCapture(bytes: Buffer, from: number, to: number): void {
    const capture = this.#current;
    this.#keep(bytes, from, to);
    this.#current = null;
    if (capture && capture.bytes <= capture.bytesMax)
      capture.text = Buffer.concat(capture.pieces).toString('utf8');
    if (capture) capture.pieces = [];
  }

  #keep(bytes: Buffer, from: number, to: number): void {
    const capture = this.#current;
    if (!capture || to <= from) return;
    capture.bytes += to - from;
    if (capture.bytes > capture.bytesMax) capture.pieces = [];
    else capture.pieces.push(Buffer.from(bytes.subarray(from, to)));
  }

  #throughString(bytes: Buffer, from: number, to: number): number {
    let at = from;
    while (at < to) {
      if (this.#escaped) {
        this.#escaped = false;
        this.#note(bytes, at, at + 1);
        at++;
        continue;
      }
      let end = at;
      while (end < to && bytes[end] !== QUOTE && bytes[end] !== BACKSLASH) {
        // Long strings are left to the machine's own search.
        if (end - at === 64) {
          end = this.#stringEnd(bytes, end, to);
          break;
        }
        end++;
      }
      this.#note(bytes, at, end);
      if (end >= to) return to;
      if (bytes[end] === BACKSLASH) {
        this.#note(bytes, end, end + 1);
        this.#escaped = true;
        at = end + 1;
        continue;
      }
      this.#inString = false;
      if (this.#isKey) this.#keyRead();
      return end + 1;
    }
    return to;
  }

  #note(bytes: Buffer, from: number, to: number): void {
    if (this.#key === null) return;
    for (let at = from; at < to; at++) this.#key.push(bytes[at] as number);
    if (this.#key.length > KEY_BYTES_MAX) this.#key = null;
  }

  #keyRead(): void {
    const name = this.#key === null ? '' : String.fromCharCode(...this.#key);
    this.#key = null;
    this.#isKey = false;
    this.#keys[this.#depth - 1] = name;
    if (this.#current) return;
    const path = this.#depth === 1 ? name : `${this.#keys[0]}.${name}`;
    this.#nextPath = this.#captures.has(path) ? path : null;
    this.#currentDepth = this.#depth;
  }

  #step(byte: number): void {
    const isTop = this.#depth <= 2 && this.#isObject[this.#depth] === true;
    switch (byte) {
      case QUOTE:
        this.#inString = true;
        if (isTop && this.#awaitsKey) {
          this.#isKey = true;
          this.#key = [];
          this.#awaitsKey = false;
        }
        break;
      case 0x7b:
      case 0x5b:
        this.#open(byte === 0x7b);
        return;
      case 0x7d:
      case 0x5d:
        this.#depth--;
        this.#awaitsKey = false;
        if (this.#depth < 0 || (this.#depth === 0 && byte === 0x5d)) this.#broken = true;
        if (this.#depth < this.#listDepth) this.#listDepth = 0;
        return;
      case COMMA:
        if (isTop) this.#awaitsKey = true;
        if (this.#depth === this.#listDepth && this.#items !== null) this.#items++;
        return;
      default:
    }
    this.#countFirst();
    if (this.#depth === 0) this.#broken = true;
  }

  #open(isObject: boolean): void {
    this.#countFirst();
    if (this.#depth === 0) {
      // One object, and nothing else.
      if (this.#begun || !isObject) this.#broken = true;
      this.#begun = true;
    }
    const isListed = this.#depth === 1 && !isObject && this.#keys[0] === this.#listed;
    this.#depth++;
    if (this.#depth > DEPTH_MAX) this.#broken = true;
    if (this.#depth <= 2) this.#isObject[this.#depth] = isObject && this.#isNamed();
    this.#awaitsKey = this.#depth <= 2 && this.#isObject[this.#depth] === true;
    if (isListed && this.#isObject[1]) {
      this.#listDepth = this.#depth;
      this.#items = 0;
      this.#listIsEmpty = true;
    }
  }

  #listIsEmpty = false;

  /** The first item of a list has no comma before it. */
  #countFirst(): void {
    if (!this.#listIsEmpty || this.#depth !== this.#listDepth) return;
    this.#listIsEmpty = false;
    this.#items = 1;
  }

  /** An object in a list has no path of its own. */
  #isNamed(): boolean {
    return this.#depth === 1 || this.#isObject[1] === true;
  }

  /** The next quote and backslash in what is pushed: each is looked for once. */
  #quoteAt = -1;
  #backslashAt = -1;

  #stringEnd(bytes: Buffer, from: number, to: number): number {
    if (this.#quoteAt < from) this.#quoteAt = indexOf(bytes, QUOTE, from);
    if (this.#backslashAt < from) this.#backslashAt = indexOf(bytes, BACKSLASH, from);
    return Math.min(this.#quoteAt, this.#backslashAt, to);
  }
}

function indexOf(bytes: Buffer, byte: number, from: number): number {
  const at = bytes.indexOf(byte, from);
  return at === -1 ? Number.POSITIVE_INFINITY : at;
}
