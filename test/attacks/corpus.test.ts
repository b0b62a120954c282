/** Every input that once broke a parser, or was unlike all others, again; how long they take is for test/fuzz. */

import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { test } from 'node:test';
import { readCorpus } from '../fuzz/corpus.ts';
import { TARGETS } from '../fuzz/targets.ts';

for (const target of TARGETS)
  test(`the corpus of ${target.name} breaks nothing`, async () => {
    const { failed, kept } = readCorpus(target.name);
    for (const input of [...failed, ...kept]) await target.check(input);
  });

test('every file of the corpus belongs to a target', () => {
  const known = new Set(TARGETS.map(({ name }) => `${name}.json`));
  const files = readdirSync(new URL('../corpus/', import.meta.url));
  assert.deepEqual(
    files.filter((file) => !known.has(file)),
    [],
  );
});
