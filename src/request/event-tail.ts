/** Where events of an event stream end, for whoever wants to add one (WHATWG HTML §9.2). */

import { findHeader, type HeaderList } from '../core/exchange.ts';

const LF = 0x0a;
const CR = 0x0d;
/** CRLF twice. */
const BYTES = 4;

/** True for an event stream that can be added to: what is compressed can't. */
export function isPlainEvents(headers: HeaderList): boolean {
  const type = findHeader(headers, 'content-type')?.trimStart().toLowerCase() ?? '';
  const encoding = findHeader(headers, 'content-encoding')?.trim().toLowerCase() ?? '';
  return type.startsWith('text/event-stream') && (encoding === '' || encoding === 'identity');
}

/** The last bytes of what has left. */
export class EventTail {
  #last: Uint8Array = new Uint8Array(0);

  pass(chunk: Uint8Array): void {
    this.#last =
      chunk.length >= BYTES || this.#last.length === 0
        ? chunk
        : Buffer.concat([this.#last.subarray(-BYTES), chunk]);
  }

  /** Between two events: whatever follows would not be read as part of the last one. */
  get isComplete(): boolean {
    return endsEvent(this.#last, this.#last.length);
  }

  /** Where the last event ends that this next chunk completes; -1 when it completes none. */
  lastEndIn(chunk: Uint8Array): number {
    const before = this.#last.subarray(-BYTES);
    const bytes = Buffer.concat([before, chunk]);
    for (let end = bytes.length; end > before.length; end--)
      if (endsEvent(bytes, end) && !(bytes[end - 1] === CR && bytes[end] === LF))
        return end - before.length;
    return -1;
  }
}

/** Whether the bytes before `end` are the end of a line and an empty line. */
function endsEvent(bytes: Uint8Array, end: number): boolean {
  const line = lineStart(bytes, end);
  return line < end && lineStart(bytes, line) < line;
}

/** Before the line end that stands right before `end`; `end` itself when none does. */
function lineStart(bytes: Uint8Array, end: number): number {
  if (bytes[end - 1] === CR) return end - 1;
  if (bytes[end - 1] !== LF) return end;
  return bytes[end - 2] === CR ? end - 2 : end - 1;
}
