import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { recoverAddress as viemRecover } from 'viem';
import { privateKeyToAccount } from 'viem/accounts';
import {
  kindOfSignature,
  recoverAddress,
  SignatureMalformed,
} from '../../src/chains/evm/recover.ts';
import { javascriptEngine, secp256k1Engine } from '../../src/chains/evm/secp256k1-engine.ts';
import { addressOfPrivateKey, type Hex, signHash } from '../../src/chains/evm/sign.ts';

const ORDER = 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141n;
const keys = fc
  .bigInt({ min: 1n, max: ORDER - 1n })
  .map((key): Hex => `0x${key.toString(16).padStart(64, '0')}`);
const hashes = fc.uint8Array({ minLength: 32, maxLength: 32 });
const javascript = javascriptEngine();

const GOOD = signHash(new Uint8Array(32).fill(7), `0x${'11'.repeat(32)}`);
const r = GOOD.slice(2, 66);
const s = GOOD.slice(66, 130);
const v = GOOD.slice(130);

describe('recovery of the signer', () => {
  it('loads the native binding in this environment', () => {
    assert.equal(secp256k1Engine.name, 'native');
  });

  it('finds the signer of every signature, natively and in JavaScript', () => {
    fc.assert(
      fc.property(keys, hashes, (key, hash) => {
        const signature = signHash(hash, key);
        const expected = addressOfPrivateKey(key).toLowerCase();
        assert.equal(recoverAddress(hash, signature), expected);
        assert.equal(recoverAddress(hash, signature, javascript), expected);
      }),
      { numRuns: 50 },
    );
  });

  it('agrees with another implementation', async () => {
    const account = privateKeyToAccount(`0x${'42'.repeat(32)}`);
    const hash = new Uint8Array(32).fill(3);
    const signature = await account.sign({ hash: `0x${'03'.repeat(32)}` });
    assert.equal(recoverAddress(hash, signature), account.address.toLowerCase());
    assert.equal(await viemRecover({ hash: `0x${'03'.repeat(32)}`, signature }), account.address);
  });

  it('answers alike in both engines for bytes that nobody signed, and never throws', () => {
    const words = fc.uint8Array({ minLength: 65, maxLength: 65 });
    fc.assert(
      fc.property(hashes, words, fc.constantFrom(27, 28), (hash, bytes, last) => {
        bytes[64] = last;
        const signature: Hex = `0x${Buffer.from(bytes).toString('hex')}`;
        assert.equal(recoverAddress(hash, signature), recoverAddress(hash, signature, javascript));
      }),
      { numRuns: 200 },
    );
  });

  it('signs alike in both engines, with a low s', () => {
    fc.assert(
      fc.property(keys, hashes, (key, hash) => {
        const bytes = Buffer.from(key.slice(2), 'hex');
        const native = secp256k1Engine.sign(hash, bytes);
        const other = javascript.sign(hash, bytes);
        assert.deepEqual(Buffer.from(native.rs), Buffer.from(other.rs));
        assert.equal(native.yParity, other.yParity);
      }),
      { numRuns: 50 },
    );
  });
});

describe('kinds of signatures', () => {
  it('takes 65 bytes for a key and more for a contract wallet', () => {
    assert.equal(kindOfSignature(GOOD), 'key');
    assert.equal(kindOfSignature(`${GOOD}00`), 'contract');
  });

  const highS = (ORDER - BigInt(`0x${s}`)).toString(16).padStart(64, '0');
  const refused: readonly (readonly [string, Hex, RegExp])[] = [
    ['64 bytes', `0x${r}${s}`, /EIP-2098/],
    ['66 digits', '0x00', /1 bytes/],
    ['v = 0', `0x${r}${s}00`, /v = 0x00/],
    ['v = 1', `0x${r}${s}01`, /v = 0x01/],
    ['v = 31', `0x${r}${s}1f`, /v = 0x1f/],
    ['a high s', `0x${r}${highS}${v}`, /upper half/],
    ['s = 0', `0x${r}${'0'.repeat(64)}${v}`, /s = 0/],
    ['r = 0', `0x${'0'.repeat(64)}${s}${v}`, /r out of range/],
    ['r = n', `0x${ORDER.toString(16)}${s}${v}`, /r out of range/],
    ['ERC-6492', `0x${'ab'.repeat(96)}${'6492'.repeat(16)}`, /not deployed/],
  ];
  for (const [name, signature, reason] of refused)
    it(`refuses ${name} and says why`, () => {
      assert.throws(
        () => kindOfSignature(signature),
        (error) => error instanceof SignatureMalformed && reason.test(error.message),
      );
    });

  it('takes the largest low s and refuses the next one', () => {
    const half = ORDER >> 1n;
    const at = (value: bigint): Hex => `0x${r}${value.toString(16).padStart(64, '0')}1b`;
    assert.equal(kindOfSignature(at(half)), 'key');
    assert.throws(() => kindOfSignature(at(half + 1n)), SignatureMalformed);
  });
});
