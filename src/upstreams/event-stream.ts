/**
 * Server-sent events in the bytes that pass (WHATWG HTML §9.2): split anywhere, any line ends, comments, data over
 * several lines. An event that lies within one chunk is shown where it lies; only one that is split is copied.
 */

const LF = 0x0a;
const CR = 0x0d;
/** `data` */
const DATA = [0x64, 0x61, 0x74, 0x61] as const;
const COLON = 0x3a;
const SPACE = 0x20;

/** More of one event than this is not kept, but shown in pieces. */
export const EVENT_BYTES_MAX = 256 * 1024;

/** A longer event is no statement of usage alone: it leaves as it comes. */
const HIDDEN_BYTES_MAX = 4 * 1024;

export interface EventSink {
  /** The data of one event; true: the event must not leave. */
  onData(bytes: Buffer, from: number, to: number): boolean;
  /** Pieces of an event that is too long to be kept, its data first; `isLast` ends it. */
  onHuge(bytes: Buffer, from: number, to: number, isLast: boolean): void;
}

export class EventStream {
  readonly #sink: EventSink;
  /** What leaves may lack an event, so an event leaves when it is complete. */
  readonly #holds: boolean;

  /** The beginning of an event that is not complete; leaves later if `#holds`. */
  #kept: Buffer = Buffer.alloc(0);
  #keptBytes = 0;
  /** Whether there may be a CR in what is kept. */
  #keptHasCr = false;
  /** What is kept has left already: it is too long to be hidden. */
  #keptLeft = false;
  /** Of an event that is too long: it has passed already. */
  #isHuge = false;
  #lineIsEmpty = true;
  #afterCr = false;
  /** A hidden event ended with CR: the LF that may follow goes with it. */
  #dropsLf = false;
  #isFirst = true;
  /** Whether this chunk needs more than a search for LF. */
  #hasCr = false;
  /** The first line end that was found for the event that ends. */
  #firstLf = -1;

  constructor(sink: EventSink, holds: boolean) {
    this.#sink = sink;
    this.#holds = holds;
  }

  /** The bytes that leave now, null for none: the chunk itself where nothing is held back or hidden. */
  pass(chunk: Buffer): Buffer | null {
    this.#hasCr = this.#afterCr || chunk.includes(CR);
    const leaving: Buffer[] = [];
    /** Of the chunk, what is before this has been dealt with. */
    let at = this.#dropLf(chunk);
    /** From here to `at` it leaves. */
    let from = at;
    for (;;) {
      at += this.#skipLf(chunk, at);
      const end = at < chunk.length ? this.#eventEnd(chunk, at) : -1;
      if (end === -1) break;
      const held = this.#heldBytes();
      const canHide = this.#holds && !this.#keptLeft;
      this.#keptLeft = false;
      if (this.#ended(chunk, at, end) && canHide) {
        if (at > from) leaving.push(chunk.subarray(from, at));
        at = from = end + this.#dropLf(chunk, end);
        continue;
      }
      if (held) leaving.push(held);
      at = end;
    }
    const wasLeft = this.#isHuge || this.#keptLeft;
    if (!wasLeft && this.#holds && this.#keptBytes + chunk.length - at > HIDDEN_BYTES_MAX) {
      const held = this.#heldBytes();
      if (held) leaving.push(held);
      this.#keptLeft = true;
    }
    if (at < chunk.length) this.#keep(chunk, at);
    if (!this.#holds) return chunk;
    if (this.#isHuge || this.#keptLeft) at = chunk.length;
    if (from === 0 && at === chunk.length && leaving.length === 0) return chunk;
    if (at > from) leaving.push(chunk.subarray(from, at));
    if (leaving.length <= 1) return leaving[0] ?? null;
    return Buffer.concat(leaving);
  }

  /** The LF of the CRLF that ended the last event belongs to that one. */
  #skipLf(chunk: Buffer, at: number): number {
    if (!this.#afterCr || this.#keptBytes > 0 || this.#isHuge || chunk[at] !== LF) return 0;
    this.#afterCr = false;
    return 1;
  }

  /** How many bytes of a line end are left of a hidden event: its LF may come late. */
  #dropLf(chunk: Buffer, at = 0): number {
    if (at > 0) this.#dropsLf = this.#afterCr;
    if (!this.#dropsLf || at === chunk.length) return 0;
    this.#dropsLf = false;
    if (chunk[at] !== LF) return 0;
    this.#afterCr = false;
    return 1;
  }

  /** What was held back when the stream ended within an event. */
  end(): Buffer | null {
    return this.#heldBytes() === null ? null : this.#takeHeld();
  }

  #heldBytes(): Buffer | null {
    if (!this.#holds || this.#keptBytes === 0 || this.#keptLeft) return null;
    return Buffer.from(this.#kept.subarray(0, this.#keptBytes));
  }

  #takeHeld(): Buffer {
    const held = Buffer.from(this.#kept.subarray(0, this.#keptBytes));
    this.#keptBytes = 0;
    return held;
  }

  /** Right behind the empty line that ends the event; -1 while it goes on. */
  #eventEnd(chunk: Buffer, from: number): number {
    this.#firstLf = -1;
    if (this.#hasCr) return this.#eventEndByBytes(chunk, from);
    if (this.#lineIsEmpty && chunk[from] === LF) return from + 1;
    for (let at = from; ; ) {
      const lf = chunk.indexOf(LF, at);
      if (lf === -1) {
        this.#lineIsEmpty = at === chunk.length;
        return -1;
      }
      if (this.#firstLf === -1) this.#firstLf = lf;
      at = lf + 1;
      if (chunk[at] === LF) return at + 1;
    }
  }

  #eventEndByBytes(chunk: Buffer, from: number): number {
    let lineIsEmpty = this.#lineIsEmpty;
    let afterCr = this.#afterCr;
    let end = -1;
    for (let at = from; at < chunk.length; at++) {
      const byte = chunk[at] as number;
      if (byte > CR || (byte !== LF && byte !== CR)) {
        lineIsEmpty = false;
        afterCr = false;
        continue;
      }
      // The LF of a CRLF ends no other line.
      const isSecond = byte === LF && afterCr;
      afterCr = byte === CR;
      if (isSecond) continue;
      if (lineIsEmpty) {
        end = at + 1;
        break;
      }
      lineIsEmpty = true;
    }
    this.#lineIsEmpty = lineIsEmpty;
    this.#afterCr = afterCr;
    return end;
  }

  /** Shows the event whose last bytes are these. */
  #ended(chunk: Buffer, from: number, to: number): boolean {
    this.#lineIsEmpty = true;
    if (this.#isHuge) {
      this.#sink.onHuge(chunk, from, to, true);
      this.#isHuge = false;
      return false;
    }
    if (this.#keptBytes === 0) {
      const lf = this.#firstLf;
      const isOneLine = lf !== -1 && lf + 2 === to && to - from <= EVENT_BYTES_MAX;
      if (isOneLine && !this.#isFirst && isData(chunk, from, lf) && chunk[from + 4] === COLON)
        return this.#sink.onData(chunk, from + (chunk[from + 5] === SPACE ? 6 : 5), lf);
      return this.#show(chunk, from, to);
    }
    this.#append(chunk, from, to);
    const bytes = this.#keptBytes;
    this.#keptBytes = 0;
    return this.#show(this.#kept, 0, bytes);
  }

  #keep(chunk: Buffer, from: number): void {
    if (this.#isHuge) {
      this.#sink.onHuge(chunk, from, chunk.length, false);
      return;
    }
    this.#append(chunk, from, chunk.length);
    if (this.#keptBytes <= EVENT_BYTES_MAX) return;
    this.#isHuge = true;
    this.#sink.onHuge(this.#kept, dataStart(this.#kept, 0), this.#keptBytes, false);
    this.#keptBytes = 0;
  }

  #append(chunk: Buffer, from: number, to: number): void {
    const bytes = this.#keptBytes + to - from;
    if (bytes > this.#kept.length) {
      const grown = Buffer.allocUnsafe(Math.max(bytes, 2 * this.#kept.length, 1024));
      this.#kept.copy(grown, 0, 0, this.#keptBytes);
      this.#kept = grown;
    }
    chunk.copy(this.#kept, this.#keptBytes, from, to);
    this.#keptHasCr = this.#hasCr || (this.#keptHasCr && this.#keptBytes > 0);
    this.#keptBytes = bytes;
  }

  #show(bytes: Buffer, from: number, to: number): boolean {
    const start = this.#isFirst ? afterBom(bytes, from) : from;
    this.#isFirst = false;
    if (to - from > EVENT_BYTES_MAX) {
      this.#sink.onHuge(bytes, dataStart(bytes, start), to, true);
      return false;
    }
    const hasCr = bytes === this.#kept ? this.#keptHasCr : this.#hasCr;
    let data: [number, number] | null = null;
    let more: Buffer[] | null = null;
    for (let at = start; at < to; ) {
      const end = lineEnd(bytes, at, to, hasCr);
      if (isData(bytes, at, end)) {
        let value = Math.min(at + 5, end);
        if (value < end && bytes[value] === SPACE) value++;
        if (data === null) data = [value, end];
        else {
          more ??= [bytes.subarray(...data)];
          more.push(LINE_END, bytes.subarray(value, end));
        }
      }
      at = end + 1;
    }
    if (data === null) return false;
    if (more === null) return this.#sink.onData(bytes, data[0], data[1]);
    const joined = Buffer.concat(more);
    return this.#sink.onData(joined, 0, joined.length);
  }
}

const LINE_END = Buffer.from('\n');

function lineEnd(bytes: Buffer, from: number, to: number, hasCr: boolean): number {
  if (!hasCr) {
    const lf = bytes.indexOf(LF, from);
    return lf === -1 || lf > to ? to : lf;
  }
  for (let at = from; at < to; at++) {
    const byte = bytes[at] as number;
    if (byte <= CR && (byte === LF || byte === CR)) return at;
  }
  return to;
}

function isData(bytes: Buffer, at: number, end: number): boolean {
  if (end - at < 4) return false;
  for (let i = 0; i < 4; i++) if (bytes[at + i] !== DATA[i]) return false;
  return end === at + 4 || bytes[at + 4] === COLON;
}

function afterBom(bytes: Buffer, at: number): number {
  return bytes[at] === 0xef && bytes[at + 1] === 0xbb && bytes[at + 2] === 0xbf ? at + 3 : at;
}

/** Where the data of a long event begins: its other lines are short and come first. */
function dataStart(bytes: Buffer, from: number): number {
  for (let at = from; at < from + 1024; ) {
    const end = lineEnd(bytes, at, from + EVENT_BYTES_MAX, true);
    if (isData(bytes, at, end)) return at + 5;
    at = end + 1;
  }
  return from;
}
