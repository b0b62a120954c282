import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { ROOT } from '../support/source-files.ts';
import { tempDir } from '../support/temp-dir.ts';

const OLD_NODE = fileURLToPath(new URL('fixtures/pretend-old-node.cjs', import.meta.url));

/** Prints what it was started with, and ends as its first argument says. */
const PROGRAM = `export async function main() {
  const [how, ...rest] = process.argv.slice(2);
  if (how === 'exit') process.exitCode = 3;
  if (how === 'wait') {
    process.on('SIGTERM', () => process.exit(4));
    setInterval(() => {}, 1000);
  }
  console.log(JSON.stringify({ node: process.versions.node, rest }));
  if (how === 'die') process.kill(process.pid, 'SIGKILL');
}`;

/** An installed package whose command is a small program, with the npm package `node` of this version above it, or none. */
function install(t: TestContext, nodeVersion?: string): string {
  const modules = join(tempDir(t), 'node_modules');
  const write = (path: string, text: string): void => {
    mkdirSync(dirname(join(modules, path)), { recursive: true });
    writeFileSync(join(modules, path), text);
  };
  cpSync(join(ROOT, 'bin'), join(modules, 'coinslot/bin'), { recursive: true });
  write('coinslot/package.json', '{ "name": "coinslot", "type": "module" }');
  write('coinslot/dist/cli/main.js', PROGRAM);
  if (nodeVersion !== undefined) {
    write('node/package.json', JSON.stringify({ name: 'node', version: nodeVersion }));
    write('node/bin/.keep', '');
    symlinkSync(process.execPath, join(modules, 'node/bin/node'));
  }
  return join(modules, 'coinslot/bin/coinslot.js');
}

function run(bin: string, args: readonly string[], old = true) {
  const preload = old ? ['-r', OLD_NODE] : [];
  return spawnSync(process.execPath, [...preload, bin, ...args], { encoding: 'utf8' });
}

describe('the command file', () => {
  it('runs the compiled command on a Node that is new enough', (t) => {
    const { status, stdout } = run(install(t), ['exit', 'a b'], false);
    assert.equal(status, 3);
    assert.deepEqual(JSON.parse(stdout), { node: process.versions.node, rest: ['a b'] });
  });

  it('says in one line which Node it needs and how to get it', (t) => {
    const { status, stdout, stderr } = run(install(t), ['exit']);
    assert.equal(status, 1);
    assert.equal(stdout, '');
    assert.match(stderr, /^coinslot needs Node 24 or newer, this is v18\.20\.4: .*node@24.*\n$/);
  });

  it('takes the npm package node when it is installed and new enough, arguments and exit code alike', (t) => {
    const { status, stdout } = run(install(t, '24.3.0'), ['exit', '--x', '$y']);
    assert.equal(status, 3);
    assert.deepEqual(JSON.parse(stdout), { node: process.versions.node, rest: ['--x', '$y'] });
  });

  it('does not take a package node that is too old as well', (t) => {
    const { status, stderr } = run(install(t, '22.9.0'), ['exit']);
    assert.equal(status, 1);
    assert.match(stderr, /needs Node 24/);
  });

  it('dies by the signal that its newer Node died by', (t) => {
    assert.equal(run(install(t, '24.3.0'), ['die']).signal, 'SIGKILL');
  });

  it('passes a signal on, and ends as the command ends', async (t) => {
    const child = spawn(process.execPath, ['-r', OLD_NODE, install(t, '24.3.0'), 'wait']);
    t.after(() => child.kill('SIGKILL'));
    const ended = new Promise((resolve) => child.once('close', resolve));
    child.stdout.once('data', () => child.kill('SIGTERM'));
    assert.equal(await ended, 4);
  });

  it('runs the source of a checkout that was not built', (t) => {
    const checkout = tempDir(t);
    cpSync(join(ROOT, 'bin'), join(checkout, 'bin'), { recursive: true });
    mkdirSync(join(checkout, 'src/cli'), { recursive: true });
    writeFileSync(join(checkout, 'package.json'), '{ "type": "module" }');
    const typed = PROGRAM.replace('main()', 'main(): Promise<void>');
    writeFileSync(join(checkout, 'src/cli/main.ts'), typed);
    assert.equal(run(join(checkout, 'bin/coinslot.js'), ['exit'], false).status, 3);
  });

  it('uses no syntax and no module name that Node 12 does not know', () => {
    const code = readFileSync(join(ROOT, 'bin/coinslot.js'), 'utf8').replace(/^\s*\/\/.*$/gm, '');
    assert.doesNotMatch(code, /\?\.|\?\?|\|\|=|node:|\bawait\b|^import |replaceAll|\.at\(/m);
  });
});
