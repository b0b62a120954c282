/** WebSocket frames as they pass (RFC 6455 §5): where each begins, what it is, and that it may be one. */

export interface FrameHead {
  readonly opcode: number;
  /** The last frame of its message. */
  readonly isLast: boolean;
  readonly isMasked: boolean;
  /** Bytes of the frame before its payload. */
  readonly headBytes: number;
  /** Bytes of its payload. */
  readonly length: number;
}

export interface FrameSink {
  /** Before a byte of the frame passes; false stops everything before it. */
  begin(frame: FrameHead): boolean;
  /** Payload as it was sent, in pieces; `isEnd` with the last one, which may be empty. */
  payload(frame: FrameHead, bytes: Uint8Array, isEnd: boolean): void;
}

/** Why nothing passes any more: the sink refused a frame, a close frame has passed, or this is no WebSocket. */
export type FrameStop = 'refused' | 'closed' | 'malformed';

export interface PassedFrames {
  readonly bytes: Uint8Array;
  readonly stop: FrameStop | null;
}

export const OPCODE = {
  continuation: 0,
  text: 1,
  binary: 2,
  close: 8,
  ping: 9,
  pong: 10,
} as const;

const KNOWN: ReadonlySet<number> = new Set(Object.values(OPCODE));
const NONE = new Uint8Array(0);
/** RFC 6455 §5.5. */
const CONTROL_BYTES_MAX = 125;

export function isControl({ opcode }: Pick<FrameHead, 'opcode'>): boolean {
  return opcode >= OPCODE.close;
}

/** One direction of a connection. Keeps at most an incomplete frame head, and never throws. */
export class FrameReader {
  readonly #isMasked: boolean;
  readonly #sink: FrameSink;
  #head: Uint8Array = NONE;
  #frame: FrameHead | null = null;
  #left = 0;
  #inMessage = false;

  /** `isMasked`: frames of a client are, those of a server never (§5.1). */
  constructor(isMasked: boolean, sink: FrameSink) {
    this.#isMasked = isMasked;
    this.#sink = sink;
  }

  /** Whether a frame of our own could follow what has passed. */
  get isBetweenFrames(): boolean {
    return this.#frame === null;
  }

  /** What of the next bytes may pass: all of them but an incomplete head, which passes with its rest. */
  read(chunk: Uint8Array): PassedFrames {
    const bytes = this.#head.length === 0 ? chunk : Buffer.concat([this.#head, chunk]);
    this.#head = NONE;
    let at = 0;
    while (at < bytes.length || this.#frame !== null) {
      if (this.#frame !== null) {
        const frame = this.#frame;
        if (at === bytes.length && this.#left > 0) break;
        const to = Math.min(bytes.length, at + this.#left);
        at = this.#payload(frame, bytes, at, to);
        if (frame.opcode === OPCODE.close && this.#frame === null)
          return { bytes: bytes.subarray(0, at), stop: 'closed' };
        continue;
      }
      const frame = readHead(bytes, at);
      if (frame === 'incomplete') break;
      if (frame === 'malformed' || !this.#fits(frame))
        return { bytes: bytes.subarray(0, at), stop: 'malformed' };
      if (!this.#sink.begin(frame)) return { bytes: bytes.subarray(0, at), stop: 'refused' };
      if (!isControl(frame)) this.#inMessage = !frame.isLast;
      this.#frame = frame;
      this.#left = frame.length;
      at += frame.headBytes;
    }
    if (at < bytes.length) this.#head = Buffer.from(bytes.subarray(at));
    return { bytes: bytes.subarray(0, at), stop: null };
  }

  #payload(frame: FrameHead, bytes: Uint8Array, from: number, to: number): number {
    this.#left -= to - from;
    if (this.#left === 0) this.#frame = null;
    this.#sink.payload(frame, bytes.subarray(from, to), this.#left === 0);
    return to;
  }

  #fits({ opcode, isMasked, isLast, length }: FrameHead): boolean {
    if (isMasked !== this.#isMasked || !KNOWN.has(opcode)) return false;
    if (opcode === OPCODE.close && length === 1) return false;
    if (opcode >= OPCODE.close) return isLast && length <= CONTROL_BYTES_MAX;
    return (opcode === OPCODE.continuation) === this.#inMessage;
  }
}

function readHead(bytes: Uint8Array, at: number): FrameHead | 'incomplete' | 'malformed' {
  const [first, second] = [bytes[at], bytes[at + 1]];
  // No extension was negotiated that could give the reserved bits a meaning.
  if (first !== undefined && (first & 0x70) !== 0) return 'malformed';
  if (first === undefined || second === undefined) return 'incomplete';
  const short = second & 0x7f;
  const lengthBytes = short === 126 ? 2 : short === 127 ? 8 : 0;
  const isMasked = (second & 0x80) !== 0;
  const headBytes = 2 + lengthBytes + (isMasked ? 4 : 0);
  if (bytes.length - at < headBytes) return 'incomplete';
  let length = lengthBytes === 0 ? short : 0;
  for (let i = 0; i < lengthBytes; i++) length = length * 256 + (bytes[at + 2 + i] ?? 0);
  if (length > Number.MAX_SAFE_INTEGER) return 'malformed';
  return { opcode: first & 0x0f, isLast: (first & 0x80) !== 0, isMasked, headBytes, length };
}

const REASON_BYTES_MAX = CONTROL_BYTES_MAX - 2;

/** A close frame; `mask`: four bytes for a frame that a client sends, null for a server's. */
export function closeFrame(code: number, reason: string, mask: Uint8Array | null): Uint8Array {
  let text = Buffer.from(reason);
  while (text.length > REASON_BYTES_MAX) text = Buffer.from(text.toString().slice(0, -1));
  const body = Buffer.alloc(2 + text.length);
  body.writeUInt16BE(code);
  text.copy(body, 2);
  const head = [0x80 | OPCODE.close, body.length | (mask === null ? 0 : 0x80)];
  if (mask === null) return Buffer.concat([Buffer.from(head), body]);
  for (let i = 0; i < body.length; i++) body[i] = (body[i] ?? 0) ^ (mask[i % 4] ?? 0);
  return Buffer.concat([Buffer.from(head), mask, body]);
}
