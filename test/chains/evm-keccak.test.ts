import assert from 'node:assert/strict';
import { test } from 'node:test';
import { keccak_256 } from '@noble/hashes/sha3.js';
import fc from 'fast-check';
import { type Keccak256, keccak256, loadKeccak } from '../../src/chains/evm/keccak.ts';

test('hashes in WebAssembly where there is WebAssembly', () => {
  assert.notEqual(keccak256, keccak_256);
});

test('hashes as the Keccak team publishes it', () => {
  const hashOf = (text: string): string => hex(keccak256(Buffer.from(text)));
  assert.equal(hashOf(''), 'c5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470');
  assert.equal(hashOf('abc'), '4e03657aea45a94fc7d47ba826c8d667c0d1e6e33a64a036ec44f58fa12d6c45');
});

test('hashes every length around the blocks and pieces as @noble/hashes does', () => {
  const piece = 64 * 136;
  const lengths = [
    ...Array(600).keys(),
    ...[-137, -136, -1, 0, 1, 135, 136, 137].map((n) => piece + n),
  ];
  for (const length of [...lengths, 2 * piece, 3 * piece + 7]) {
    const message = Uint8Array.from({ length }, (_, index) => (index * 31 + length) & 0xff);
    assert.equal(hex(keccak256(message)), hex(keccak_256(message)), `${length} bytes`);
  }
});

test('hashes anything as @noble/hashes does, whatever it hashed before', () => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ maxLength: 700 }), { minLength: 1 }), (messages) => {
      const found = messages.map((message) => keccak256(message));
      assert.deepEqual(
        found.map(hex),
        messages.map((message) => hex(keccak_256(message))),
      );
    }),
  );
});

test('leaves the message as it was, and gives bytes that no later hash changes', () => {
  const message = Buffer.from('once');
  const first = keccak256(message);
  const copy = Uint8Array.from(first);
  keccak256(Buffer.from('twice'));
  assert.deepEqual(first, copy);
  assert.equal(message.toString(), 'once');
});

test('is null where the engine refuses WebAssembly', () => {
  class Refused {
    readonly exports = {};
    constructor() {
      throw new EvalError('Refused by the policy of the page');
    }
  }
  assert.equal(loadKeccak({ Module: Refused, Instance: Refused }), null);
});

function hex(bytes: ReturnType<Keccak256>): string {
  return Buffer.from(bytes).toString('hex');
}
