import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { DocsError } from './support/docs-blocks.ts';
import { runDocument } from './support/run-docs.ts';
import { findFiles, ROOT } from './support/source-files.ts';
import { tempDir } from './support/temp-dir.ts';

const documents = findFiles(['README.md', 'docs/**/*.md']);

describe('every block of the documentation does what it says', () => {
  for (const path of documents)
    it(path, async (t) => {
      await runDocument(readFileSync(join(ROOT, path), 'utf8'), tempDir(t));
    });
});

const fence = (info: string, code: string): string => `\`\`\`${info}\n${code}\n\`\`\`\n\n`;

describe('the runner of the documentation', () => {
  it('runs a document as its reader would: files, services, programs and their output', async (t) => {
    const text = [
      fence('sh unrun', 'npm install coinslot hono  # once\ncd my-project && npm test'),
      fence('sh', 'export NAME=world\nmkdir -p sub && cd sub'),
      fence('sh', 'echo "hello $NAME in $(basename "$PWD")"; echo oops >&2'),
      fence('text', 'hello … in sub\noops'),
      fence('text figure', 'gateway → upstream'),
      fence('sh', 'cd ..'),
      fence('csv file="data/x.csv"', 'a,b'),
      fence(
        'ts file="upstream.ts" background until="listening"',
        `import { createServer } from 'node:http';
         const server = createServer((_, response) => response.end('{"ok":true}'));
         server.listen(0, '127.0.0.1', () => console.log('listening'));`,
      ),
      fence('text', 'listening'),
      fence('sh', 'cat data/x.csv; coinslot --version'),
      fence('text', 'a,b\n….….…'),
      fence(
        'yaml file="coinslot.yaml"',
        `upstreams:
  models: { url: http://127.0.0.1:9, headers: { authorization: "Bearer \${OPENAI_API_KEY}" } }
payments: { order: [free], free: { callsPerDay: 3 } }
routes:
  GET /x: { upstream: models, price: $0.01 }`,
      ),
      fence('yaml', 'limits: { bodyBytes: 1000000 }'),
      fence(
        'ts',
        `import { defineConfig, parseConfig } from 'coinslot';
         import { payFetch } from 'coinslot/client';
         const config = parseConfig(defineConfig({
           upstreams: { a: { url: 'http://127.0.0.1:9' } },
           payments: { order: ['free'], free: { callsPerDay: 3 } },
           routes: { 'GET /x': { upstream: 'a', price: '$0.01' } },
         }), {});
         console.log(JSON.stringify({ routes: config.routes.length, kind: typeof payFetch, at: 7 }));`,
      ),
      fence('json', '{ "routes": 1, "kind": "func…", "…": "…" }'),
      fence('sh exit="2"', 'coinslot devnet --port none 2> /dev/null'),
    ].join('Some words.\n\n');
    assert.equal(await runDocument(text, tempDir(t)), 16);
  });

  for (const [what, text, message] of [
    ['a command that fails', fence('sh', 'true\nfalse\ntrue'), /line 1: ended with 1/],
    ['a pipe that fails', fence('sh', 'false | cat'), /ended with 1/],
    ['a command that should fail and does not', fence('sh exit="1"', 'true'), /ended with 0/],
    ['other output', fence('sh', 'echo a') + fence('text', 'b'), /line 5: expected\s+b/],
    ['output without a command', fence('text', 'b'), /right behind the command/],
    ['other JSON', fence('sh', 'echo 1') + fence('json', '2'), /differs at \$/],
    ['an unknown language', fence('console', '$ ls'), /nobody can check console/],
    ['an unknown attribute', fence('sh skip', 'ls'), /no attribute skip/],
    ['a wrong config', fence('yaml', 'routs: {}'), /line 1: .*/s],
    ['broken YAML', fence('yaml', 'a: ['), /line 1: .*/s],
    ['wrong types', fence('ts', 'const a: string = 7;'), /types: .*not assignable/s],
    ['a program that throws', fence('js', "throw new Error('no');"), /ended with 1/],
    ['a missing entry', fence('ts', "import 'coinslot/nothing';"), /types: /],
    ['a service that ends early', fence('sh background until="x"', 'echo y'), /it ended before/],
    ['a missing package', fence('sh unrun', 'npm i left-pad'), /unrun knows no such command/],
    ['a missing script', fence('sh unrun', 'npm run nothing'), /unrun knows no such command/],
    ['a real command as unrun', fence('sh unrun', 'coinslot start'), /unrun knows no such command/],
  ] as const)
    it(`fails on ${what}`, async (t) => {
      await assert.rejects(
        runDocument(text, tempDir(t)),
        (error) => error instanceof DocsError && message.test(error.message),
      );
    });

  it('ends the services that a document started, also when the document fails', async (t) => {
    const started = fence('sh background until="up"', 'echo $$ > pid; echo up; exec sleep 1000');
    const folder = tempDir(t);
    await assert.rejects(runDocument(started + fence('sh', 'false'), folder), DocsError);
    const pid = Number(readFileSync(join(folder, 'pid'), 'utf8'));
    assert.throws(() => process.kill(pid, 0), { code: 'ESRCH' });
  });
});
