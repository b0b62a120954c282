/** Frames as a test writes and reads them, on its own: not the gateway's reader. */

export interface Frame {
  readonly opcode: number;
  readonly isLast: boolean;
  readonly isMasked: boolean;
  readonly payload: Buffer;
}

export interface FrameOptions {
  readonly isLast?: boolean;
  /** A client's frames are masked. */
  readonly mask?: Buffer;
  /** Bits that mean nothing without an extension, 1 to 7. */
  readonly reserved?: number;
}

export function frame(opcode: number, payload: Buffer, options: FrameOptions = {}): Buffer {
  const { isLast = true, mask, reserved = 0 } = options;
  const masked = mask === undefined ? 0 : 0x80;
  const first = (isLast ? 0x80 : 0) | (reserved << 4) | opcode;
  const { length } = payload;
  const head =
    length < 126
      ? Buffer.from([first, masked | length])
      : length < 65_536
        ? Buffer.from([first, masked | 126, length >> 8, length & 255])
        : Buffer.concat([Buffer.from([first, masked | 127]), bigEndian(length)]);
  if (mask === undefined) return Buffer.concat([head, payload]);
  return Buffer.concat([head, mask, xor(payload, mask)]);
}

export const MASK = Buffer.from([1, 2, 3, 4]);

function bigEndian(length: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64BE(BigInt(length));
  return bytes;
}

function xor(payload: Buffer, mask: Buffer): Buffer {
  return Buffer.from(payload.map((byte, i) => byte ^ (mask[i % 4] ?? 0)));
}

/** Calls back with every whole frame; control frames may stand between the frames of a message. */
export class FrameParser {
  readonly #onFrame: (frame: Frame) => void;
  #bytes: Buffer = Buffer.alloc(0);

  constructor(onFrame: (frame: Frame) => void) {
    this.#onFrame = onFrame;
  }

  push(chunk: Buffer): void {
    this.#bytes = Buffer.concat([this.#bytes, chunk]);
    while (this.#next());
  }

  #next(): boolean {
    const bytes = this.#bytes;
    if (bytes.length < 2) return false;
    const [first = 0, second = 0] = bytes;
    const short = second & 127;
    const extra = short === 126 ? 2 : short === 127 ? 8 : 0;
    const maskAt = 2 + extra;
    const at = maskAt + (second & 128 ? 4 : 0);
    if (bytes.length < at) return false;
    const length =
      extra === 2 ? bytes.readUInt16BE(2) : extra === 8 ? Number(bytes.readBigUInt64BE(2)) : short;
    if (bytes.length < at + length) return false;
    const isMasked = (second & 128) !== 0;
    const raw = bytes.subarray(at, at + length);
    const payload = isMasked ? xor(raw, bytes.subarray(maskAt, at)) : Buffer.from(raw);
    this.#bytes = bytes.subarray(at + length);
    this.#onFrame({ opcode: first & 15, isLast: (first & 128) !== 0, isMasked, payload });
    return true;
  }
}
