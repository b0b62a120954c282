import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

const MAIN = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url));

export interface CliResult {
  readonly exitCode: number | null;
  readonly stdout: string;
  readonly stderr: string;
  /** The last line of stdout, parsed; throws when it is no JSON. */
  json(): Record<string, unknown>;
}

/** A folder of its own with a config, in which commands run as real processes. */
export class CliFolder {
  readonly path: string;
  readonly env: Record<string, string>;
  readonly #children = new Set<ChildProcess>();

  private constructor(path: string, env: Record<string, string>) {
    this.path = path;
    this.env = { PATH: process.env.PATH ?? '', ...env };
  }

  static async open(yaml: string | null, env: Record<string, string> = {}): Promise<CliFolder> {
    const path = await mkdtemp(join(tmpdir(), 'coinslot-cli-'));
    const folder = new CliFolder(path, env);
    if (yaml !== null) await folder.write('coinslot.yaml', yaml);
    return folder;
  }

  async write(name: string, text: string): Promise<string> {
    const file = join(this.path, name);
    await writeFile(file, text);
    return file;
  }

  /** Starts a command; ended with the folder if it still runs then. */
  spawn(args: readonly string[], nodeOptions: readonly string[] = []): ChildProcess {
    const child = spawn(process.execPath, [...nodeOptions, MAIN, ...args], {
      cwd: this.path,
      env: this.env,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.#children.add(child);
    child.once('exit', () => this.#children.delete(child));
    return child;
  }

  async run(...args: string[]): Promise<CliResult> {
    return await resultOf(this.spawn(args));
  }

  /** Ends what still runs and removes the folder. */
  async close(): Promise<void> {
    for (const child of [...this.#children]) {
      const exit = once(child, 'exit');
      child.kill('SIGKILL');
      await exit;
    }
    await rm(this.path, { recursive: true });
  }
}

/** Waits for a process to end. */
export async function resultOf(child: ChildProcess): Promise<CliResult> {
  const [stdout, stderr, [exitCode]] = await Promise.all([
    textOf(child.stdout),
    textOf(child.stderr),
    once(child, 'exit') as Promise<[number | null]>,
  ]);
  return {
    exitCode,
    stdout,
    stderr,
    json: () => JSON.parse(stdout.trimEnd().split('\n').at(-1) ?? ''),
  };
}

/** The first line that a process prints on stdout; rejects when it ends without one. */
export async function firstLine(child: ChildProcess): Promise<string> {
  if (!child.stdout) throw new Error('stdout is not a pipe');
  for await (const line of createInterface({ input: child.stdout })) return line;
  throw new Error(`ended without a line: ${await textOf(child.stderr)}`);
}

async function textOf(stream: NodeJS.ReadableStream | null): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of stream ?? []) chunks.push(Buffer.from(chunk));
  return Buffer.concat(chunks).toString('utf8');
}
