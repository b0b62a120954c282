import assert from 'node:assert/strict';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { createServer, request, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { after, afterEach, before, beforeEach, describe, it } from 'node:test';
import { until } from '../support/until.ts';
import { CliFolder, firstLine, resultOf } from './cli-folder.ts';

interface Ready {
  readonly url: string;
  readonly mode: string;
  readonly routes: number;
}

/** Answers at once, except /slow, which waits until the test releases it. */
class Upstream {
  readonly #server: Server = createServer((request, response) => {
    if (request.url === '/slow') {
      this.#arrived.resolve(response);
      return;
    }
    response.end(JSON.stringify({ authorization: request.headers.authorization }));
  });
  readonly #arrived = Promise.withResolvers<ServerResponse>();

  get slow(): Promise<ServerResponse> {
    return this.#arrived.promise;
  }

  async listen(): Promise<string> {
    this.#server.listen(0, '127.0.0.1');
    await once(this.#server, 'listening');
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections();
    this.#server.close();
    await once(this.#server, 'close');
  }
}

/** The body of an answer on a connection of its own. */
async function send(method: string, url: string): Promise<string> {
  const sent = request(url, { method, agent: false }).end();
  const [answer] = await once(sent, 'response');
  const chunks: Buffer[] = [];
  for await (const chunk of answer) chunks.push(chunk);
  return Buffer.concat(chunks).toString('utf8');
}

const yamlFor = (upstream: string, more = ''): string => `listen: 127.0.0.1:0
upstreams:
  models: { url: "${upstream}", headers: { authorization: "Bearer \${UPSTREAM_KEY}" } }
payments: { prepaid: {}, free: { callsPerDay: 1 } }
routes:
  POST /a: { upstream: models, price: $0.01 }
  GET /free: { upstream: models, price: free }
  POST /slow: { upstream: models, price: $0.01 }
${more}`;

describe('coinslot start', () => {
  let upstream: Upstream;
  let upstreamUrl: string;
  let folder: CliFolder;
  beforeEach(async () => {
    upstream = new Upstream();
    upstreamUrl = await upstream.listen();
    folder = await CliFolder.open(yamlFor(upstreamUrl), { UPSTREAM_KEY: 'upstream-secret-1' });
  });
  afterEach(async () => {
    await folder.close();
    await upstream.close();
  });

  const start = async (...more: string[]): Promise<{ child: ChildProcess; ready: Ready }> => {
    const child = folder.spawn(['start', '--json', '--log-level', 'silent', ...more]);
    return { child, ready: JSON.parse(await firstLine(child)) as Ready };
  };
  const stop = async (child: ChildProcess, signal: NodeJS.Signals = 'SIGTERM') => {
    const exit = once(child, 'exit');
    child.kill(signal);
    return await exit;
  };
  const json = async (...args: string[]) => (await folder.run(...args, '--json')).json();

  it('prints one JSON line as soon as it listens, and ends with 0 at SIGTERM and SIGINT', async () => {
    for (const signal of ['SIGTERM', 'SIGINT'] as const) {
      const { child, ready } = await start();
      assert.match(ready.url, /^http:\/\/127\.0\.0\.1:\d+$/);
      assert.deepEqual({ ...ready, url: '' }, { url: '', mode: 'live', routes: 3 });
      const answer = await fetch(`${ready.url}/free`);
      assert.deepEqual(await answer.json(), { authorization: 'Bearer upstream-secret-1' });
      assert.deepEqual(await stop(child, signal), [0, null]);
    }
  });

  it('sells a call to a key that was made beside it, and the books are right while it runs', async () => {
    const { child, ready } = await start();
    const key = await json('keys', 'create', '--topup', '$1');
    const headers = { 'x-api-key': String(key.key) };
    const answer = await fetch(`${ready.url}/a`, { method: 'POST', headers });
    assert.equal(answer.status, 200);
    const { payments } = (await json('payments', 'list')) as {
      payments: { id: string; cost: string }[];
    };
    assert.equal(payments[0]?.id, answer.headers.get('x-payment-id'));
    assert.equal(payments[0]?.cost, '0.01');
    assert.deepEqual(await json('ledger', 'audit'), { ok: true, differences: [] });
    await json('keys', 'revoke', String(key.id));
    const refused = await fetch(`${ready.url}/a`, { method: 'POST', headers });
    assert.equal(refused.status, 401);
    assert.deepEqual(await stop(child), [0, null]);
  });

  it('at SIGTERM takes no new requests and lets the running one end', async () => {
    const { child, ready } = await start();
    const running = send('POST', `${ready.url}/slow`);
    const response = await upstream.slow;
    const exit = once(child, 'exit');
    child.kill('SIGTERM');
    // The port is closed as soon as the signal is handled; until then a request would still be served.
    while ((await send('GET', `${ready.url}/free`).catch(() => null)) !== null);
    response.end('done');
    assert.equal(await running, 'done');
    assert.deepEqual(await exit, [0, null]);
    assert.deepEqual(await json('ledger', 'audit'), { ok: true, differences: [] });
  });

  for (const how of ['at SIGHUP', 'with --watch'])
    it(`${how} goes on by the changed config, and by the old one where the new one is wrong`, async () => {
      const flags = how === 'with --watch' ? ['--watch'] : [];
      const child = folder.spawn(['start', '--json', '--log-level', 'info', ...flags]);
      const { url } = JSON.parse(await firstLine(child)) as Ready;
      let logged = '';
      child.stderr?.on('data', (chunk: Buffer) => {
        logged += chunk;
      });
      const change = async (yaml: string, message: string): Promise<void> => {
        logged = '';
        await folder.write('coinslot.yaml', yaml);
        if (how === 'at SIGHUP') child.kill('SIGHUP');
        await until(() => logged.includes(message), { what: message });
      };
      const asked = async (): Promise<unknown> => {
        const body = JSON.stringify({ path: '/a' });
        const answer = await fetch(`${url}/_pay/quote`, { method: 'POST', body });
        return ((await answer.json()) as { quote: { max: string } }).quote.max;
      };
      assert.equal(await asked(), '0.01');
      const yaml = yamlFor(upstreamUrl);
      await change(
        yaml.replace(
          'POST /a: { upstream: models, price: $0.01',
          'POST /a: { upstream: models, price: $0.07',
        ),
        'was reloaded',
      );
      assert.equal(await asked(), '0.07');
      await change(yaml.replace('price: free', 'prize: free'), 'not reloaded');
      assert.match(logged, /prize/);
      await change(yaml.replace('127.0.0.1:0', '127.0.0.1:1'), 'not reloaded');
      assert.match(logged, /listen can't be changed/);
      assert.equal(await asked(), '0.07');
      await change(
        yamlFor(upstreamUrl, 'limits: { bodyBytes: 1KiB }\n').replace(
          'Bearer ${',
          'Bearer changed-${',
        ),
        'was reloaded',
      );
      assert.equal(await asked(), '0.01');
      const answer = await fetch(`${url}/free`);
      assert.deepEqual(await answer.json(), { authorization: 'Bearer changed-upstream-secret-1' });
      assert.deepEqual(await stop(child), [0, null]);
    });

  it('a second one on the same database ends with a hint', async () => {
    await start();
    const second = await folder.run('start', '--json');
    assert.equal(second.exitCode, 1);
    assert.match(second.stderr, /Another gateway is running on .*coinslot\.db\n {2}Stop the other/);
    assert.equal((second.json().error as { code: string }).code, 'database_in_use');
  });

  it('on a port that is taken ends with a hint', async () => {
    const config = await folder.write(
      'taken.yaml',
      yamlFor(upstreamUrl).replace('127.0.0.1:0', new URL(upstreamUrl).host),
    );
    const { exitCode, stderr } = await folder.run('start', '--config', config);
    assert.equal(exitCode, 1);
    assert.match(stderr, /EADDRINUSE.*\n {2}.*listen/);
  });

  it('on a database of the other mode ends with code 2', async () => {
    await json('keys', 'create');
    const test = await folder.write('test.yaml', yamlFor(upstreamUrl, 'mode: test\n'));
    const { exitCode, stderr } = await folder.run('start', '--config', test);
    assert.equal(exitCode, 2);
    assert.match(stderr, /live money.*test money/);
  });

  it('shows routes with prices, rails and mode to people', async () => {
    const child = folder.spawn(['start']);
    const lines = resultOf(child);
    child.stdout?.on('data', (chunk: Buffer) => {
      if (chunk.includes('Ctrl-C')) child.kill('SIGTERM');
    });
    const { exitCode, stdout, stderr } = await lines;
    assert.equal(exitCode, 0);
    assert.match(stdout, /^Coinslot sells at http:\/\/127/);
    assert.match(stdout, /Money: live\. Rails: prepaid, free\./);
    assert.match(stdout, /^POST \/a +\$0\.01 +models$/m);
    assert.match(stdout, /^GET \/free +free +models$/m);
    assert.match(stderr, /"level":"info".*"msg":"stopped"/);
  });
});

describe('coinslot start when its ledger thread dies', () => {
  let folder: CliFolder;
  before(async () => {
    folder = await CliFolder.open(yamlFor('http://127.0.0.1:9'), { UPSTREAM_KEY: 'x' });
  });
  after(() => folder.close());

  it('ends at once with code 1', async () => {
    // Runs in every thread of the process; the ledger's is the only worker.
    const trigger = `import { existsSync } from 'node:fs';
      import { isMainThread } from 'node:worker_threads';
      if (!isMainThread) setInterval(() => { if (existsSync('die')) process.exit(7); }, 10);`;
    const preload = await folder.write('die.mjs', trigger);
    const child = folder.spawn(['start', '--json'], ['--import', preload]);
    const exit = once(child, 'exit');
    await firstLine(child);
    await folder.write('die', '');
    assert.deepEqual(await exit, [1, null]);
  });
});
