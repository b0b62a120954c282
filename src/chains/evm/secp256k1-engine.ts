/** The curve arithmetic of secp256k1: native code where it loads, JavaScript elsewhere. */

import { createRequire } from 'node:module';
import { secp256k1 } from '@noble/curves/secp256k1.js';

export interface Secp256k1Engine {
  readonly name: 'native' | 'javascript';
  /** The 64-byte public key that made `r | s` over a 32-byte hash; null when there is none. */
  recover(hash: Uint8Array, rs: Uint8Array, yParity: 0 | 1): Uint8Array | null;
  /** Signs a 32-byte hash deterministically (RFC 6979), with the low `s` of EIP-2. */
  sign(hash: Uint8Array, key: Uint8Array): { readonly rs: Uint8Array; readonly yParity: 0 | 1 };
}

/** The binding of `secp256k1` 5: bytes in, bytes out, an exception when there is no answer. */
interface NativeBinding {
  ecdsaRecover(rs: Uint8Array, recovery: number, hash: Uint8Array, compressed: false): Uint8Array;
  ecdsaSign(hash: Uint8Array, key: Uint8Array): { signature: Uint8Array; recid: number };
}

/** What runs in this process; `doctor` shows its name, native is about twenty times faster. */
export const secp256k1Engine: Secp256k1Engine = loadNative() ?? javascriptEngine();

function loadNative(): Secp256k1Engine | null {
  let native: NativeBinding;
  try {
    // Not the package's main file: that one falls back to its own JavaScript, which is slower than ours.
    native = createRequire(import.meta.url)('secp256k1/bindings.js') as NativeBinding;
  } catch {
    return null;
  }
  return {
    name: 'native',
    recover(hash, rs, yParity) {
      try {
        return native.ecdsaRecover(rs, yParity, hash, false).subarray(1);
      } catch {
        return null;
      }
    },
    sign(hash, key) {
      const { signature, recid } = native.ecdsaSign(hash, key);
      return { rs: signature, yParity: recid === 0 ? 0 : 1 };
    },
  };
}

/** The same in JavaScript, for platforms without a binary of `secp256k1`. */
export function javascriptEngine(): Secp256k1Engine {
  return {
    name: 'javascript',
    recover(hash, rs, yParity) {
      try {
        return secp256k1.Signature.fromBytes(rs, 'compact')
          .addRecoveryBit(yParity)
          .recoverPublicKey(hash)
          .toBytes(false)
          .subarray(1);
      } catch {
        return null;
      }
    },
    sign(hash, key) {
      const signature = secp256k1.sign(hash, key, {
        prehash: false,
        lowS: true,
        format: 'recovered',
      });
      return { rs: signature.subarray(1), yParity: signature[0] === 0 ? 0 : 1 };
    },
  };
}
