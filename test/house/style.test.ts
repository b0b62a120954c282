import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { findFiles, ROOT, readSourceFiles, sourceFileOf } from '../support/source-files.ts';
import {
  leftovers,
  tooLongFile,
  tooLongFunctions,
  uncheckedTypes,
  vagueName,
  wrongWords,
} from '../support/style-rules.ts';

const source = readSourceFiles([
  '{src,scripts,bench,examples}/**/*.{ts,js}',
  'bin/*.js',
  'test/support/**/*.ts',
]);
const tests = readSourceFiles(['test/**/*.ts']).filter(
  ({ path }) => !path.startsWith('test/support/'),
);
const everything = findFiles([
  '{src,test,scripts,bench,examples,bin,docs,migrations,schema}/**/*.{ts,js,mjs,json,yaml,yml,sql,md,html,css,sh}',
  '.ci/*',
  '*.{md,json,ts,yaml,yml}',
]).filter((path) => path !== 'package-lock.json' && !path.startsWith('test/corpus/'));

describe('the style of the house', () => {
  it('looks at all there is', () => {
    assert.ok(source.length > 50 && tests.length > 10 && everything.length > source.length);
    for (const path of ['CHANGELOG.md', 'package.json', '.ci/run', 'src/cli/main.ts'])
      assert.ok(everything.includes(path), `${path} is not among the files looked at`);
  });

  it('keeps files short', () => {
    assert.deepEqual([...source, ...tests].flatMap(tooLongFile), []);
  });

  it('keeps functions short', () => {
    assert.deepEqual(source.flatMap(tooLongFunctions), []);
  });

  it('names files for what they are', () => {
    assert.deepEqual(
      everything.flatMap((path) => vagueName(path)),
      [],
    );
  });

  it('exports names in the words of the project', () => {
    assert.deepEqual(source.flatMap(wrongWords), []);
  });

  it('leaves no type unchecked', () => {
    assert.deepEqual([...source, ...tests].flatMap(uncheckedTypes), []);
  });

  it('leaves no unfinished work and no trace of one machine', () => {
    const found = everything.flatMap((path) =>
      leftovers(path, readFileSync(join(ROOT, path), 'utf8')),
    );
    assert.deepEqual(found, []);
  });
});

describe('the rules of style themselves', () => {
  const fileOf = (text: string, path = 'src/request/x.ts') => sourceFileOf(path, text);

  it('count 300 lines as a file that is short enough, 301 as one that is not', () => {
    assert.equal(tooLongFile(fileOf('a;\n'.repeat(300))).length, 0);
    assert.equal(tooLongFile(fileOf('a;\n'.repeat(301))).length, 1);
  });

  it('measure every kind of function, braces in strings included', () => {
    const body = "log('}');\n".repeat(69);
    for (const text of [
      `function a() {\n${body}}`,
      `const a = () => {\n${body}};`,
      `class A { b() {\n${body}} }`,
      `const a = { get b() {\n${body}} };`,
    ])
      assert.equal(tooLongFunctions(fileOf(text)).length, 1, text.slice(0, 20));
    assert.deepEqual(tooLongFunctions(fileOf(`function a() {\n${body.slice(10)}}`)), []);
  });

  it('refuse names that could mean anything', () => {
    for (const path of ['src/utils/x.ts', 'src/core/http-helpers.ts', 'src/key-manager.ts'])
      assert.equal(vagueName(path).length, 1, path);
    assert.deepEqual(vagueName('src/core/money.ts'), []);
  });

  it('refuse the wrong word and name the right one', () => {
    const [offence] = wrongWords(fileOf('export const endpointUrl = 1;'));
    assert.match(offence ?? '', /endpointUrl says "endpoint": say route/);
    for (const text of [
      'export interface Customer {}',
      'export function createCharge() {}',
      'export class PaymentProvider {}',
      'const reserve = 1; export { reserve as reserveFunds };',
      'export type HTTPEndpoint = 1;',
    ])
      assert.equal(wrongWords(fileOf(text)).length, 1, text);
    assert.deepEqual(wrongWords(fileOf('const endpoint = 1; export const route = endpoint;')), []);
    assert.deepEqual(
      wrongWords(fileOf('export function signTransaction() {}', 'src/chains/evm/sign.ts')),
      [],
    );
  });

  it('find what switches the type checker off', () => {
    const text = `const a: ${'an'}y = 1;\n// @ts-${'ignore'}\nconst b = 'an${'y'}';`;
    assert.equal(uncheckedTypes(fileOf(text)).length, 2);
  });

  it('find marks and machine paths, not urls and words', () => {
    for (const text of [
      `// TO${'DO'}: later`,
      `readFile('/wo${'rk'}/main/x')`,
      `/ro${'ot'}/.ssh/`,
      `https://registry.np${'mjs'}.org/x`,
    ])
      assert.equal(leftovers('x.ts', text).length, 1, text);
    assert.deepEqual(leftovers('x.ts', 'https://a.example/work/x mastodons ./root/'), []);
  });
});
