import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { describe, it, type TestContext } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { fileURLToPath, pathToFileURL } from 'node:url';
import {
  AnvilFailed,
  AnvilMissing,
  findAnvil,
  startAnvil,
} from '../../src/devnet/anvil-process.ts';
import { RpcError } from '../../src/devnet/json-rpc.ts';
import { startEvmDevnet } from '../../src/devnet/start-evm-devnet.ts';
import { failOnLeaks } from '../support/leak-check.ts';

failOnLeaks();

const HOLDER = new URL('fixtures/hold-devnet.ts', import.meta.url);
const CLI = new URL('../../src/cli/main.ts', import.meta.url);

function run(t: TestContext, script: URL, ...args: string[]): ChildProcess {
  const file = fileURLToPath(script);
  const child = spawn(process.execPath, [file, ...args], { stdio: ['pipe', 'pipe', 'pipe'] });
  t.after(() => child.kill('SIGKILL'));
  return child;
}

async function firstLine(child: ChildProcess): Promise<string> {
  assert.ok(child.stdout);
  const [line] = await once(createInterface(child.stdout), 'line');
  return String(line);
}

/** Resolves when the system closed this connection: the process behind it is gone, reaped or not. */
async function connectionEnd(rpcUrl: string): Promise<{ gone: Promise<unknown> }> {
  const socket = connect(Number(new URL(rpcUrl).port), '127.0.0.1');
  socket.on('error', () => {});
  await once(socket, 'connect');
  return { gone: new Promise((resolve) => socket.once('close', resolve)) };
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  assert.ok(address !== null && typeof address === 'object');
  return address.port;
}

describe('the life of a devnet', () => {
  it('leaves no process when it is closed, and closing twice is harmless', async () => {
    const devnet = await startEvmDevnet();
    assert.ok(process.kill(devnet.pid, 0));
    await Promise.all([devnet.close(), devnet.close()]);
    assert.throws(() => process.kill(devnet.pid, 0), { code: 'ESRCH' });
    await devnet.close();
    await devnet.ended;
    // A process handle closes at the end of the loop turn in which its end was seen.
    await setImmediate();
    await setImmediate();
    assert.ok(!process.getActiveResourcesInfo().includes('ProcessWrap'));
  });

  it('runs twice at once, each chain on its own', async (t) => {
    const [one, two] = await Promise.all([startEvmDevnet(), startEvmDevnet({ chainId: 84532 })]);
    t.after(() => Promise.all([one.close(), two.close()]));
    assert.notEqual(one.rpcUrl, two.rpcUrl);
    const payer = one.accounts[0]?.address ?? '';
    await one.mint(payer, 1n);
    assert.equal(await one.usdcBalance(payer), 10_000_000_001n);
    assert.equal(await two.usdcBalance(payer), 10_000_000_000n);
  });

  it('listens on the port it is given, and says so when the port is taken', async (t) => {
    const port = await freePort();
    const devnet = await startEvmDevnet({ port, accountsCount: 1 });
    t.after(() => devnet.close());
    assert.equal(devnet.rpcUrl, `http://127.0.0.1:${port}`);
    assert.equal(devnet.accounts.length, 1);
    await assert.rejects(startEvmDevnet({ port }), AnvilFailed);
  });

  it('answers nothing while frozen, and goes on when thawed', async (t) => {
    const devnet = await startEvmDevnet({ accountsCount: 1 });
    t.after(() => devnet.close());
    devnet.freeze();
    const body = JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'eth_chainId', params: [] });
    await assert.rejects(
      fetch(devnet.rpcUrl, { method: 'POST', body, signal: AbortSignal.timeout(200) }),
      { name: 'TimeoutError' },
    );
    devnet.thaw();
    assert.equal(await devnet.rpc('eth_chainId'), '0x2105');
    devnet.freeze();
    await devnet.close();
    assert.throws(() => process.kill(devnet.pid, 0), { code: 'ESRCH' });
  });

  it('reports an error of the node with its code', async (t) => {
    const devnet = await startEvmDevnet({ accountsCount: 1 });
    t.after(() => devnet.close());
    await assert.rejects(
      devnet.rpc('no_such_method'),
      (error) => error instanceof RpcError && error.code < 0,
    );
  });

  it('tells when the chain ended by itself', async () => {
    const devnet = await startEvmDevnet({ accountsCount: 1 });
    process.kill(devnet.pid, 'SIGKILL');
    await devnet.ended;
    await assert.rejects(devnet.rpc('eth_chainId'));
  });

  for (const signal of ['SIGKILL', 'SIGTERM', 'SIGINT'] as const) {
    it(`dies with its parent on ${signal}`, async (t) => {
      const parent = run(t, HOLDER);
      const { gone } = await connectionEnd(JSON.parse(await firstLine(parent)).rpcUrl);
      parent.kill(signal);
      await gone;
    });
  }

  it('dies with its parent on an exception that nobody caught', async (t) => {
    const parent = run(t, HOLDER);
    const { gone } = await connectionEnd(JSON.parse(await firstLine(parent)).rpcUrl);
    parent.stdin?.write('throw\n');
    await gone;
  });
});

describe('finding and starting anvil', () => {
  it('names the package to install when it is missing', () => {
    const nowhere = pathToFileURL(join(tmpdir(), 'no-such-folder', 'package.json'));
    assert.throws(
      () => findAnvil([nowhere]),
      (error) =>
        error instanceof AnvilMissing &&
        error.message === 'anvil is not installed' &&
        error.hint === 'npm i -D @foundry-rs/anvil',
    );
  });

  it('finds the native binary, not the launcher script', () => {
    assert.match(findAnvil(), /anvil-[a-z0-9]+-[a-z0-9]+[/\\]bin[/\\]anvil(\.exe)?$/);
  });

  it('passes on what a binary said that could not start', async () => {
    await assert.rejects(startAnvil(findAnvil(), ['--no-such-flag']), AnvilFailed);
    await assert.rejects(startAnvil('/no/such/binary', []), AnvilFailed);
  });
});

describe('coinslot devnet', () => {
  it('prints one JSON line on stdout, serves, and ends on SIGINT with exit code 0', async (t) => {
    const cli = run(t, CLI, 'devnet');
    let stdout = '';
    cli.stdout?.on('data', (chunk) => {
      stdout += String(chunk);
    });
    const { networks } = JSON.parse(await firstLine(cli));
    assert.equal(networks.length, 1);
    const [{ network, rpcUrl, asset, accounts }] = networks;
    assert.equal(network, 'eip155:8453');
    assert.equal(asset, '0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913');
    assert.ok(accounts.length >= 10);
    for (const account of accounts) {
      assert.match(account.address, /^0x[0-9a-fA-F]{40}$/);
      assert.match(account.privateKey, /^0x[0-9a-f]{64}$/);
    }
    const { gone } = await connectionEnd(rpcUrl);
    cli.kill('SIGINT');
    const [code] = await once(cli, 'close');
    assert.equal(code, 0);
    await gone;
    assert.equal(stdout.trim().split('\n').length, 1);
  });

  it('takes --testnet and --port, and ends on SIGTERM with exit code 0', async (t) => {
    const port = await freePort();
    const cli = run(t, CLI, 'devnet', '--testnet', '--port', String(port));
    const [network] = JSON.parse(await firstLine(cli)).networks;
    assert.equal(network.network, 'eip155:84532');
    assert.equal(network.rpcUrl, `http://127.0.0.1:${port}`);
    cli.kill('SIGTERM');
    assert.deepEqual(await once(cli, 'close'), [0, null]);
  });

  it('refuses a port that is none', async (t) => {
    const cli = run(t, CLI, 'devnet', '--port', 'http');
    const [code] = await once(cli, 'close');
    assert.equal(code, 2);
  });

  it('exits with 1, a reason and a hint when the port is taken', async (t) => {
    const server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    t.after(() => server.close());
    const address = server.address();
    assert.ok(address !== null && typeof address === 'object');
    const cli = run(t, CLI, 'devnet', '--port', String(address.port));
    let stderr = '';
    cli.stderr?.on('data', (chunk) => {
      stderr += String(chunk);
    });
    const [code] = await once(cli, 'close');
    assert.equal(code, 1);
    assert.match(
      stderr,
      /^coinslot: anvil ended before it listened: .*in use.*\n {2}Choose another port.*\n$/,
    );
  });
});
