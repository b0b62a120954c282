import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { before, describe, it, type TestContext } from 'node:test';
import { startChatModel } from './support/chat-model.ts';
import { DocsError } from './support/docs-blocks.ts';
import { freePort } from './support/free-port.ts';
import { runDocument } from './support/run-docs.ts';
import { findFiles, ROOT } from './support/source-files.ts';
import { tempDir } from './support/temp-dir.ts';

const documents = findFiles(['README.md', 'docs/**/*.md', 'examples/**/*.md']);

describe('every block of the documentation does what it says', () => {
  let port: number;
  // The port of the documents may be taken on this machine, by a demo that somebody is trying, say.
  before(async () => {
    port = await freePort();
  });
  for (const path of documents)
    it(path, async (t) => {
      const chainPort = await freePort();
      const text = readFileSync(join(ROOT, path), 'utf8')
        .replaceAll('127.0.0.1:4020', `127.0.0.1:${port}`)
        .replaceAll('--port 8545', `--port ${chainPort}`);
      const env = path.startsWith('examples/')
        ? await exampleEnv(t, port, chainPort)
        : { COINSLOT_DEMO_PORT: String(port) };
      const { notRun } = await runDocument(text, tempDir(t), env);
      for (const reason of notRun) t.diagnostic(`not run, ${reason}`);
    });
});

/** What a reader of an example has, or puts into its `.env`: a model, and ports that are free. */
async function exampleEnv(
  t: TestContext,
  port: number,
  chainPort: number,
): Promise<Record<string, string>> {
  const model = await startChatModel(t);
  return {
    LISTEN: `127.0.0.1:${port}`,
    SERVICE_URL: `http://127.0.0.1:${await freePort()}`,
    RPC_URL: `http://127.0.0.1:${chainPort}`,
    OPENAI_BASE_URL: model.baseUrl,
  };
}

const fence = (info: string, code: string): string => `\`\`\`${info}\n${code}\n\`\`\`\n\n`;

describe('the runner of the documentation', () => {
  it('runs a document as its reader would: files, services, programs and their output', async (t) => {
    const text = [
      fence(
        'sh norun="needs the net"',
        'npm i coinslot hono # once\nnpx coinslot start && npm run build',
      ),
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
    const { blocks, notRun } = await runDocument(text, tempDir(t));
    assert.equal(blocks, 16);
    assert.deepEqual(notRun, ['line 1: needs the net']);
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
    ['a missing entry', fence('ts', "import { a } from 'coinslot/none'; a();"), /types: /],
    ['a service that ends early', fence('sh background until="x"', 'echo y'), /it ended before/],
    ['a missing package', fence('sh norun="x"', 'npm i left-pad'), /no such thing: npm i/],
    ['a missing script', fence('sh norun="x"', 'npm run none'), /no such thing: npm run/],
    ['a missing command', fence('sh norun="x"', 'npx coinslot stop'), /no such thing: npx/],
    ['broken shell', fence('sh norun="x"', 'if true'), /syntax error/],
    ['no reason', fence('sh norun', 'ls'), /says why/],
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
