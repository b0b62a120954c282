#!/usr/bin/env node
// Plain CommonJS without newer syntax: this file alone must still run on Node 12, to say what to do there.
// biome-ignore-all lint/style/useNodejsImportProtocol: Node 12 does not know it.

const { spawn } = require('child_process');
const { existsSync } = require('fs');
const { dirname, join } = require('path');
const { pathToFileURL } = require('url');

const NODE_MIN = 24;
const FORWARDED = ['SIGINT', 'SIGTERM', 'SIGHUP'];

if (majorOf(process.versions.node) >= NODE_MIN) start();
else startOnNewerNode();

function start() {
  const compiled = join(__dirname, '..', 'dist', 'cli', 'main.js');
  const source = join(__dirname, '..', 'src', 'cli', 'main.ts');
  import(pathToFileURL(existsSync(compiled) ? compiled : source).href).then((cli) => cli.main());
}

function startOnNewerNode() {
  const node = findNode();
  if (node === undefined) {
    process.stderr.write(
      `coinslot needs Node ${NODE_MIN} or newer, this is ${process.version}: ` +
        `run "npx -p node@${NODE_MIN} coinslot …", or "npm i -D node@${NODE_MIN}" once.\n`,
    );
    process.exitCode = 1;
    return;
  }
  const child = spawn(node, [__filename].concat(process.argv.slice(2)), { stdio: 'inherit' });
  for (const signal of FORWARDED) process.on(signal, () => child.kill(signal));
  child.on('exit', (code, signal) => {
    if (signal === null) process.exit(code);
    for (const forwarded of FORWARDED) process.removeAllListeners(forwarded);
    process.kill(process.pid, signal);
  });
}

/** The binary of the npm package `node`, beside this package or hoisted above it, when it is new enough. */
function findNode() {
  try {
    const manifest = require.resolve('node/package.json');
    const binary = join(
      dirname(manifest),
      'bin',
      process.platform === 'win32' ? 'node.exe' : 'node',
    );
    const newEnough = majorOf(require(manifest).version) >= NODE_MIN;
    return newEnough && existsSync(binary) ? binary : undefined;
  } catch (_error) {
    return undefined;
  }
}

function majorOf(version) {
  return Number(version.split('.')[0]);
}
