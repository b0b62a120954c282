import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { test } from 'node:test';
import fc from 'fast-check';
import { newApiKey, parseApiKey } from '../../src/rails/prepaid/protocol.ts';

test('a new key reads back as itself, and only its prefix may be shown', () => {
  for (const mode of ['live', 'test'] as const) {
    const made = newApiKey(mode, randomBytes);
    assert.match(made.key, /^cs_(live|test)_[A-Za-z0-9]{23}_[A-Za-z0-9]{23}$/);
    assert.ok(made.key.startsWith(`${made.prefix}_`));
    assert.equal(made.prefix, `cs_${mode}_${made.id.slice('key_'.length)}`);
    assert.deepEqual(parseApiKey(made.key), { id: made.id, secretHash: made.secretHash, mode });
    assert.equal(made.secretHash, createHash('sha256').update(made.key).digest('hex'));
  }
});

test('a rotated key keeps its id and gets another secret', () => {
  const first = newApiKey('live', randomBytes);
  const second = newApiKey('live', randomBytes, first.id);
  assert.equal(second.id, first.id);
  assert.equal(second.prefix, first.prefix);
  assert.notEqual(second.secretHash, first.secretHash);
  assert.throws(() => newApiKey('live', randomBytes, 'key_short'), RangeError);
});

test('security: one changed character is another key or none', () => {
  const { key, secretHash } = newApiKey('live', randomBytes);
  for (let i = 0; i < key.length; i++) {
    const changed = `${key.slice(0, i)}${key[i] === 'x' ? 'y' : 'x'}${key.slice(i + 1)}`;
    assert.notEqual(parseApiKey(changed)?.secretHash, secretHash);
  }
  for (const text of [` ${key}`, `${key}\n`, `${key}x`, key.toUpperCase(), '', 'unused', 'sk-1234'])
    assert.equal(parseApiKey(text), null);
});

test('fuzz: reading a key never throws, whatever the text', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), (text) => {
      const parsed = parseApiKey(text);
      assert.ok(parsed === null || parsed.id.startsWith('key_'));
    }),
    { numRuns: 2_000 },
  );
  const nearly = fc.stringMatching(/^cs_(live|test|prod)_[0-9A-Za-z]{20,24}_[0-9A-Za-z_]{20,24}$/);
  fc.assert(
    fc.property(nearly, (text) => void parseApiKey(text)),
    { numRuns: 2_000 },
  );
});
