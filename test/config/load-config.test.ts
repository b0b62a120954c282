import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import fc from 'fast-check';
import { readYaml } from '../../src/config/read-yaml.ts';
import { ConfigError, loadConfig } from '../../src/config.ts';

let folder = '';
before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'coinslot-config-'));
});
after(() => rm(folder, { recursive: true }));

async function load(name: string, text: string, env: Record<string, string> = {}) {
  const file = join(folder, name);
  await writeFile(file, text);
  return await loadConfig(file, env);
}

async function failure(name: string, text: string): Promise<ConfigError> {
  try {
    await load(name, text);
  } catch (error) {
    if (error instanceof ConfigError) return error;
    throw error;
  }
  throw new Error('the config has no problem');
}

const GOOD = `upstreams:
  models: { url: https://api.example.com, headers: { authorization: "Bearer \${KEY}" } }
payments:
  prepaid: {}
routes:
  POST /summarize: { upstream: models, price: $0.006, description: Summarise a text }
`;

describe('a YAML config', () => {
  it('is loaded, with variables and dollars as they are written', async () => {
    const config = await load('good.yaml', GOOD, { KEY: 'abc' });
    assert.deepEqual(config.routes[0]?.price, { kind: 'flat', amount: 6000n });
    assert.equal(config.upstreams.models?.headers.authorization, 'Bearer abc');
  });

  it('names the line of every problem, in the order of the file', async () => {
    const error = await failure(
      'lines.yaml',
      [
        'upstreams:',
        '  models: { url: https://api.example.com }',
        'pyments: {}',
        'payments:',
        '  free:',
        '    per: key',
        'trustProxy:',
        '  - 10.0.0.0/8',
        '  - 10.0.0.0/99',
        'routes:',
        '  # a comment',
        '  POST /a:',
        '    upstream: models',
        '    price: 0.006',
        '  post /b: { upstream: modles, price: $1 }',
      ].join('\n'),
    );
    assert.deepEqual(
      error.problems.map(({ path, line }) => [line, path]),
      [
        [3, 'pyments'],
        [5, 'payments.free.callsPerDay'],
        [9, 'trustProxy.1'],
        [14, 'routes.POST /a.price'],
        [15, 'routes.post /b'],
        [15, 'routes.post /b.upstream'],
      ],
    );
    const lines = error.message.split('\n');
    assert.equal(lines.length, 6);
    assert.match(
      lines[3] ?? '',
      /^lines\.yaml:14: routes\.POST \/a\.price: .*bare number.*\$0\.006/,
    );
  });

  it('finds the line of a problem inside an alias where the value is written', async () => {
    const text = 'upstreams:\n  a: &a\n    url: nowhere\n  b: *a\nroutes: {}\n';
    const { problems } = await failure('alias.yaml', text);
    assert.deepEqual(
      problems.filter(({ path }) => path.endsWith('url')).map(({ line }) => line),
      [3, 3],
    );
  });

  it('refuses a key that is written twice, with its line', async () => {
    const { problems } = await failure('twice.yaml', `${GOOD}routes:\n  GET /a: {}\n`);
    assert.equal(problems.length, 1);
    assert.equal(problems[0]?.message, 'a key is written twice');
    assert.equal(problems[0]?.line, 7);
  });

  it('reports broken syntax with its line', async () => {
    const { problems } = await failure('broken.yaml', 'routes:\n  - a\n b: [\n');
    assert.ok(problems.length > 0);
    for (const { line } of problems) assert.ok(line !== undefined && line > 1);
  });

  it('that is empty, a list, or a bomb of aliases is a problem and no crash', async () => {
    const bomb = `a: &a [x, x, x, x, x, x, x, x, x, x]\nb: &b [*a, *a, *a, *a, *a, *a, *a, *a, *a, *a]
c: &c [*b, *b, *b, *b, *b, *b, *b, *b, *b, *b]\nd: [*c, *c, *c, *c, *c, *c, *c, *c, *c, *c]\n`;
    for (const text of ['', '- 1', '42', bomb, '%YAML 9\n---\na: !!foo b', '\0', '? [a]\n: b'])
      await failure('odd.yaml', text);
  });

  it('throws nothing but ConfigError, whatever the file holds', () => {
    const pieces = fc.array(
      fc.oneof(
        fc.string({ unit: 'binary' }),
        fc.constantFrom(
          ...[
            'a: ',
            '\n',
            '  ',
            '- ',
            '&a ',
            '*a',
            '{',
            '}',
            '[',
            ']',
            '!!',
            '"',
            '|',
            '? ',
            '<<: ',
          ],
        ),
      ),
    );
    fc.assert(
      fc.property(pieces, (parts) => {
        try {
          readYaml(parts.join(''), 'fuzz.yaml').lineOf(['a', 0, 'b']);
        } catch (error) {
          assert.ok(error instanceof ConfigError, String(error));
        }
      }),
      { numRuns: 1000 },
    );
  });
});

describe('a config file', () => {
  it('may be a module with a default export', async () => {
    const config = await load(
      'module.config.ts',
      `const price: string = '$1';
       export default { upstreams: { m: { url: 'http://a.example' } }, payments: { prepaid: {} },
         routes: { 'GET /a': { upstream: 'm', price } } };`,
    );
    assert.equal(config.routes[0]?.id, 'GET /a');
  });

  it('that is a broken module or exports nothing says so', async () => {
    assert.match((await failure('throws.config.ts', 'throw new Error("oh no");')).message, /oh no/);
    assert.match(
      (await failure('none.config.ts', 'export const a = 1;')).message,
      /default export/,
    );
    assert.match((await failure('config.toml', 'a = 1')).message, /not a config file/);
  });

  it('that is missing leads to coinslot init', async () => {
    for (const name of ['missing.yaml', 'missing.config.ts'])
      await assert.rejects(loadConfig(join(folder, name), {}), (error) => {
        assert.ok(error instanceof ConfigError);
        assert.match(error.message, /no such file.*coinslot init/);
        return true;
      });
  });

  it('has its database beside it, wherever the command was started', async () => {
    const database = async (url: string) =>
      (await load('db.yaml', `database: "${url}"\n${GOOD}`, { KEY: 'k' })).database;
    assert.equal(await database('sqlite:data/coins.db'), `sqlite:${join(folder, 'data/coins.db')}`);
    assert.equal(await database('sqlite:/var/coins.db'), 'sqlite:/var/coins.db');
    assert.equal(await database('sqlite:///var/coins.db'), 'sqlite:/var/coins.db');
    assert.equal(await database('sqlite::memory:'), 'sqlite::memory:');
  });
});
