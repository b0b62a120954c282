import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { DocsError, parseBlocks } from '../support/docs-blocks.ts';
import { jsonMismatch, textMismatch } from '../support/match-output.ts';

describe('comparing text', () => {
  for (const [expected, actual] of [
    ['a\nb\n', 'a\nb'],
    ['a … c', 'a b b c'],
    [
      'HTTP/1.1 402 Payment Required\n…\n\n{…}',
      'HTTP/1.1 402 Payment Required\r\nX: y\r\nDate: now\r\n\r\n{"a":1}',
    ],
    ['…\nb', 'b'],
    ['a.c (1)', 'a.c (1)'],
  ])
    it(`${JSON.stringify(expected)} is ${JSON.stringify(actual)}`, () => {
      assert.equal(textMismatch(expected ?? '', actual ?? ''), undefined);
    });

  for (const [expected, actual] of [
    ['a\nb', 'a'],
    ['a', 'a\nb'],
    ['a.c', 'abc'],
    ['a …', 'a\nb'],
    ['', 'a'],
  ])
    it(`${JSON.stringify(expected)} is not ${JSON.stringify(actual)}`, () => {
      assert.ok(textMismatch(expected ?? '', actual ?? ''));
    });
});

describe('comparing JSON', () => {
  for (const [expected, actual] of [
    ['{ "a": 1, "b": "x" }', 'said before\n{"b":"x","a":1}'],
    ['{ "id": "pay_…", "…": "…" }', '{"id":"pay_1","more":[]}'],
    ['[1, "…"]', '[1,2,3]'],
    ['{ "a": "…" }', '{"a":{"deep":true}}'],
    ['{ "a": null }', '{"a":null}'],
  ])
    it(`${expected} is ${JSON.stringify(actual)}`, () => {
      assert.equal(jsonMismatch(expected ?? '', actual ?? ''), undefined);
    });

  for (const [expected, actual, at] of [
    ['{ "a": 1 }', '{"a":2}', '$.a'],
    ['{ "a": 1 }', '{"a":1,"b":2}', '$.b'],
    ['{ "a": { "b": [1, 2] } }', '{"a":{"b":[1]}}', '$.a.b.length'],
    ['{ "id": "pay_…" }', '{"id":"key_1"}', '$.id'],
    ['{ "id": "pay_…" }', '{"id":7}', '$.id'],
    ['{ "a": "…", "b": 1, "…": "…" }', '{"a":1}', '$.b'],
    ['{ "a": 1 }', 'no JSON', 'expected JSON'],
    ['{ a }', '{}', 'not JSON'],
  ])
    it(`${expected} is not ${actual}`, () => {
      assert.ok(jsonMismatch(expected ?? '', actual ?? '')?.includes(at ?? ''));
    });
});

describe('reading the blocks of a document', () => {
  it('finds language, attributes, code and line', () => {
    const text =
      'Text\n\n```sh background until="it is up"\nrun\n```\n\n- item\n\n  ```json\n  {}\n  ```\n';
    assert.deepEqual(parseBlocks(text), [
      { language: 'sh', attributes: { background: '', until: 'it is up' }, code: 'run\n', line: 3 },
      { language: 'json', attributes: {}, code: '{}\n', line: 9 },
    ]);
  });

  it('takes a fence inside a longer fence as text', () => {
    const [block] = parseBlocks('````md\n```sh\nx\n```\n````\n');
    assert.equal(block?.code, '```sh\nx\n```\n');
  });

  for (const text of [
    '```\nx\n```\n',
    '```sh\nx\n',
    'Text:\n\n    npm install x\n',
    '```sh until=unquoted\nx\n```\n',
  ])
    it(`refuses ${JSON.stringify(text)}`, () => {
      assert.throws(() => parseBlocks(text), DocsError);
    });
});
