import { randomBytes, randomFillSync } from 'node:crypto';
import type { Random } from '../core/id.ts';

/** One call to the system's generator serves hundreds of ids; no byte is handed out twice. */
export function pooledRandom(): Random {
  const pool = Buffer.alloc(8_192);
  let used = pool.length;
  return (bytes) => {
    if (bytes > pool.length) return randomBytes(bytes);
    if (used + bytes > pool.length) {
      randomFillSync(pool);
      used = 0;
    }
    used += bytes;
    // A copy: what is handed out must not change when the pool is filled anew.
    return Uint8Array.prototype.slice.call(pool, used - bytes, used);
  };
}
