/** A folder in which a document's commands run as its reader would run them, `coinslot` from this checkout included. */

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { readManifest } from './pack-package.ts';
import { ROOT } from './source-files.ts';

const COMMAND_MS = 60_000;
const END_MS = 10_000;

export interface Output {
  readonly stdout: string;
  /** Both streams, as a terminal shows them. */
  readonly terminal: string;
}

export interface Finished extends Output {
  readonly code: number | null;
}

export class DocsWorkspace {
  readonly folder: string;
  readonly #background: ChildProcess[] = [];

  readonly #env: Readonly<Record<string, string>>;

  constructor(folder: string, env: Readonly<Record<string, string>> = {}) {
    this.folder = folder;
    this.#env = env;
    linkPackages(join(folder, 'node_modules'));
    this.write('package.json', JSON.stringify({ type: 'module', scripts: scriptsFromSource() }));
    // A terminal shows no progress meter for output that goes to it.
    this.write('.curlrc', 'no-progress-meter\n');
  }

  write(path: string, text: string): void {
    const file = join(this.folder, path);
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, text);
  }

  /** Runs shell commands to their end; variables and the folder they leave behind hold for the next ones. */
  async run(script: string): Promise<Finished> {
    const child = this.#start(`${script}\n{ export -p; echo "cd '$PWD'"; } > "$DOCS_STATE"`);
    const output = collect(child);
    const timer = setTimeout(() => killGroup(child, 'SIGKILL'), COMMAND_MS);
    const [code] = (await once(child, 'close')) as [number | null];
    clearTimeout(timer);
    return { code, ...output() };
  }

  /** Starts shell commands that stay, and resolves once they have printed `until`. */
  async runInBackground(script: string, until: string): Promise<Output> {
    const child = this.#start(script);
    this.#background.push(child);
    const output = collect(child);
    await new Promise<void>((resolve, reject) => {
      const fail = (why: string): void =>
        reject(new Error(`${why} before it printed "${until}"; it printed\n${output().terminal}`));
      const timer = setTimeout(() => fail(`${COMMAND_MS} ms passed`), COMMAND_MS);
      const check = (): void => {
        if (!output().terminal.includes(until)) return;
        clearTimeout(timer);
        resolve();
      };
      child.stdout?.on('data', check);
      child.stderr?.on('data', check);
      child.once('close', () => {
        clearTimeout(timer);
        fail('it ended');
      });
    });
    return output();
  }

  /** The variables that the commands so far have exported. */
  async env(): Promise<Record<string, string>> {
    const { stdout } = await this.run('env -0');
    return Object.fromEntries(
      stdout
        .split('\0')
        .filter((pair) => pair.includes('='))
        .map((pair) => [pair.slice(0, pair.indexOf('=')), pair.slice(pair.indexOf('=') + 1)]),
    );
  }

  /** Ends what runs in the background, as Ctrl-C would; throws when something does not end. */
  async close(): Promise<void> {
    for (const child of this.#background.reverse()) {
      if (child.exitCode !== null || child.signalCode !== null) continue;
      const ended = once(child, 'close');
      killGroup(child, 'SIGTERM');
      let late = false;
      const timer = setTimeout(() => {
        late = true;
        killGroup(child, 'SIGKILL');
      }, END_MS);
      await ended;
      clearTimeout(timer);
      if (late) throw new Error('a command in the background did not end on SIGTERM');
    }
  }

  #start(script: string): ChildProcess {
    const state = join(this.folder, 'node_modules', '.docs-state');
    const restore = existsSync(state) ? readFileSync(state, 'utf8') : '';
    return spawn('bash', ['-c', `set -eo pipefail\n${restore}\n${script}`], {
      cwd: this.folder,
      detached: true,
      stdio: ['ignore', 'pipe', 'pipe'],
      env: {
        PATH: `${join(this.folder, 'node_modules/.bin')}:${join(ROOT, 'node_modules/.bin')}:${process.env.PATH}`,
        HOME: this.folder,
        NO_COLOR: '1',
        DOCS_STATE: state,
        ...this.#env,
      },
    });
  }
}

/** The packages of this checkout, and coinslot itself from its source, so that nothing stale is run. */
function linkPackages(modules: string): void {
  const installed = join(ROOT, 'node_modules');
  mkdirSync(join(modules, '.bin'), { recursive: true });
  for (const name of readdirSync(installed))
    if (!name.startsWith('.') && name !== 'coinslot')
      symlinkSync(join(installed, name), join(modules, name));
  const coinslot = join(modules, 'coinslot');
  mkdirSync(coinslot);
  for (const name of ['src', 'schema', 'migrations', 'bin', 'examples'])
    symlinkSync(join(ROOT, name), join(coinslot, name));
  const manifest = readManifest();
  const exports = Object.fromEntries(
    Object.entries(manifest.exports).map(([entry, target]) => [
      entry,
      typeof target === 'string'
        ? target
        : (target.default ?? '').replace('/dist/', '/src/').replace(/\.js$/, '.ts'),
    ]),
  );
  const { name, version } = manifest;
  const text = JSON.stringify({ name, version, type: 'module', exports });
  writeFileSync(join(coinslot, 'package.json'), text);
  const command = `#!/bin/sh\nexec '${process.execPath}' '${join(ROOT, 'src/cli/main.ts')}' "$@"\n`;
  writeFileSync(join(modules, '.bin', 'coinslot'), command, { mode: 0o755 });
  writeFileSync(join(modules, '.bin', 'npm'), npmCommand(), { mode: 0o755 });
}

/** The npm scripts of the checkout, with the command from its source. */
function scriptsFromSource(): Record<string, string> {
  const scripts = Object.entries(readManifest().scripts);
  return Object.fromEntries(
    scripts.map(([name, script]) => [name, script.replace('node bin/coinslot.js', 'coinslot')]),
  );
}

/** `npm ci` is what made this checkout's node_modules: it is taken as done. Every other npm command is npm's. */
function npmCommand(): string {
  const path = process.env.PATH?.split(':').find((folder) => existsSync(join(folder, 'npm')));
  return `#!/bin/sh\n[ "$*" = ci ] && exit 0\nexec '${join(path ?? '', 'npm')}' "$@"\n`;
}

function collect(child: ChildProcess): () => Output {
  let stdout = '';
  let terminal = '';
  child.stdout?.setEncoding('utf8').on('data', (text: string) => {
    stdout += text;
    terminal += text;
  });
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    terminal += text;
  });
  return () => ({ stdout, terminal });
}

function killGroup(child: ChildProcess, signal: NodeJS.Signals): void {
  if (child.pid === undefined) return;
  try {
    process.kill(-child.pid, signal);
  } catch {
    // It ended by itself in the meantime.
  }
}
