/** Reads a compressed answer on the side: what passes is kept up to a limit and decoded when it is asked for. */

import {
  brotliDecompressSync,
  constants,
  gunzipSync,
  inflateSync,
  zstdDecompressSync,
} from 'node:zlib';
import type { Meter } from '../core/ports/dialect.ts';
import type { Measured } from '../core/work.ts';
import { NOTHING } from './nothing-measured.ts';

const COMPRESSED_BYTES_MAX = 256 * 1024;
/** A small answer can decode to a huge one. */
const DECODED_BYTES_MAX = 4 * 1024 * 1024;

/** An answer that broke off is decoded as far as it came. */
const OPTIONS = {
  maxOutputLength: DECODED_BYTES_MAX,
  finishFlush: constants.Z_SYNC_FLUSH,
} as const;

const DECODERS: Readonly<Record<string, (bytes: Buffer) => Buffer>> = {
  gzip: (bytes) => gunzipSync(bytes, OPTIONS),
  'x-gzip': (bytes) => gunzipSync(bytes, OPTIONS),
  deflate: (bytes) => inflateSync(bytes, OPTIONS),
  br: (bytes) =>
    brotliDecompressSync(bytes, {
      maxOutputLength: DECODED_BYTES_MAX,
      finishFlush: constants.BROTLI_OPERATION_FLUSH,
    }),
  zstd: (bytes) =>
    zstdDecompressSync(bytes, {
      maxOutputLength: DECODED_BYTES_MAX,
      finishFlush: constants.ZSTD_e_flush,
    }),
};

export class CompressedMeter implements Meter {
  readonly #decode: ((bytes: Buffer) => Buffer) | null;
  readonly #plain: () => Meter;
  /** Null once there was too much of it. */
  #chunks: Uint8Array[] | null = [];
  #bytes = 0;

  constructor(encoding: string, plain: () => Meter) {
    this.#decode = Object.hasOwn(DECODERS, encoding) ? (DECODERS[encoding] ?? null) : null;
    this.#plain = plain;
  }

  pass(chunk: Uint8Array): Uint8Array {
    this.#bytes += chunk.length;
    if (this.#bytes > COMPRESSED_BYTES_MAX) this.#chunks = null;
    this.#chunks?.push(chunk);
    return chunk;
  }

  end(): null {
    return null;
  }

  measured(): Measured {
    if (this.#chunks === null || this.#decode === null || this.#bytes === 0) return NOTHING;
    const meter = this.#plain();
    try {
      meter.pass(this.#decode(Buffer.concat(this.#chunks)));
    } catch {
      return NOTHING;
    }
    return meter.measured();
  }
}
