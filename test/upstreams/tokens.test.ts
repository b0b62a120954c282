import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { pathToFileURL } from 'node:url';
import fc from 'fast-check';
import { loadTokenizer, tokensAbout, tokensAtMost } from '../../src/upstreams/tokens.ts';
import { TEST_TOKENIZER } from '../support/model-conduct.ts';
import { tempDir } from '../support/temp-dir.ts';

describe('the tokens of a text', () => {
  it('are at most its bytes, whatever the tokenizer says', () => {
    for (const count of [1e9, -1, Number.NaN, 0.5]) {
      const tokenizer = { countTokens: () => count, isExactFor: () => true };
      assert.equal(tokensAtMost('héllo', 'm', tokenizer), 6);
    }
    assert.equal(tokensAtMost('héllo', 'm', null), 6);
    assert.equal(tokensAtMost('one two', 'm', TEST_TOKENIZER), 2);
    assert.equal(tokensAbout('12345', 'm', null), 2);
    assert.equal(tokensAbout('', 'm', null), 0);
  });

  it('are counted in parts where a run is long, and by bytes where a text is', () => {
    let longest = 0;
    const tokenizer = {
      countTokens: (text: string) => {
        longest = Math.max(longest, text.length);
        return 1;
      },
      isExactFor: () => true,
    };
    assert.equal(tokensAtMost('x'.repeat(1_280), 'm', tokenizer), 10);
    assert.equal(longest, 128);
    const long = 'word '.repeat(20_000);
    assert.equal(
      tokensAtMost(long, 'm', TEST_TOKENIZER),
      65_536 / 5 + 1 + (100_000 - 65_536) - 0.2,
    );
  });

  it('lose nothing of a text that is counted in parts', () => {
    const bytes = {
      countTokens: (text: string) => Buffer.byteLength(text),
      isExactFor: () => true,
    };
    const texts = fc.array(
      fc.oneof(fc.string(), fc.constant('a'.repeat(300)), fc.constant(' '.repeat(300))),
    );
    fc.assert(
      fc.property(texts, (parts) => {
        const text = parts.join('');
        assert.equal(tokensAtMost(text, 'm', bytes), Buffer.byteLength(text));
      }),
    );
  });
});

describe('a tokenizer', () => {
  it('is loaded by name, and exact for the models of its encodings only', async (t) => {
    const folder = tempDir(t);
    mkdirSync(join(folder, 'encoding'));
    writeFileSync(join(folder, 'package.json'), '{"type":"module"}');
    writeFileSync(
      join(folder, 'encoding/o200k_base'),
      'export const countTokens = (t) => t.length;',
    );
    const tokenizer = await loadTokenizer(pathToFileURL(folder).href);
    assert.equal(tokenizer.countTokens('abc', 'gpt-4o'), 3);
    for (const model of [
      'gpt-4o',
      'gpt-5-mini',
      'o3',
      'openai/gpt-4.1',
      'ft:gpt-4o:x',
      'gpt-oss-120b',
    ])
      assert.equal(tokenizer.isExactFor(model), true, model);
    for (const model of [
      'gpt-4',
      'gpt-3.5-turbo',
      'claude',
      'llama3',
      'text-embedding-3-small',
      '',
    ])
      assert.equal(tokenizer.isExactFor(model), false, model);
    await assert.rejects(loadTokenizer('no-such-tokenizer'));
  });
});
