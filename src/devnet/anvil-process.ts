import { type ChildProcess, spawn } from 'node:child_process';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

/** The optional package with the chain's binary is not installed. */
export class AnvilMissing extends Error {
  override readonly name = 'AnvilMissing';
  readonly code = 'anvil_missing';
  readonly hint = 'npm i -D @foundry-rs/anvil';
}

/** The chain did not start; the message is the last thing it said. */
export class AnvilFailed extends Error {
  override readonly name = 'AnvilFailed';
  readonly code = 'anvil_failed';
  readonly hint = 'Choose another port, or leave it out to get a free one.';
}

export interface AnvilProcess {
  readonly pid: number;
  readonly rpcUrl: string;
  /** Suspends the chain: connections stay open and nothing answers until `thaw`. */
  freeze(): void;
  thaw(): void;
  /** Resolves once the process is gone, whoever ended it. */
  readonly ended: Promise<void>;
  /** Ends the chain and resolves once the process is gone; repeating it is harmless. */
  close(): Promise<void>;
}

const PLATFORM_NAMES: Readonly<Record<string, string>> = { x64: 'amd64', arm64: 'arm64' };

/**
 * The path of Foundry's native anvil binary inside `@foundry-rs/anvil`, looked up from each of `from` in turn.
 * The npm package's own JavaScript launcher is passed by: it costs a second process that would have to be killed too.
 * Throws `AnvilMissing`.
 */
export function findAnvil(
  from: readonly URL[] = [
    new URL(import.meta.url),
    pathToFileURL(join(process.cwd(), 'package.json')),
  ],
): string {
  const arch = PLATFORM_NAMES[process.arch] ?? process.arch;
  const file = process.platform === 'win32' ? 'anvil.exe' : 'anvil';
  for (const origin of from) {
    try {
      const launcher = createRequire(origin).resolve('@foundry-rs/anvil/package.json');
      return createRequire(launcher).resolve(
        `@foundry-rs/anvil-${process.platform}-${arch}/bin/${file}`,
      );
    } catch {
      // Not installed as seen from here: the next origin may have it.
    }
  }
  throw new AnvilMissing('anvil is not installed');
}

/** Starts anvil on 127.0.0.1 and resolves when it listens. Port 0 lets the system choose, so starts never race. */
export async function startAnvil(
  binary: string,
  flags: readonly string[],
  port = 0,
): Promise<AnvilProcess> {
  const args = ['--host', '127.0.0.1', '--port', String(port), ...flags];
  const child = spawn(binary, args, { stdio: ['ignore', 'pipe', 'pipe'] });
  const exited = endOf(child);
  const watchdog = child.pid === undefined ? undefined : startWatchdog(child.pid);
  const over = exited.then(() => watchdog && end(watchdog, endOf(watchdog)));
  try {
    const address = await listening(child);
    const pid = child.pid ?? 0;
    return {
      pid,
      rpcUrl: `http://${address}`,
      freeze: () => void child.kill('SIGSTOP'),
      thaw: () => void child.kill('SIGCONT'),
      ended: over,
      close: () => end(child, over),
    };
  } catch (error) {
    await end(child, over);
    throw error;
  }
}

/** Resolves when the process is gone and its pipes are closed, or when it could not be started. */
function endOf(child: ChildProcess): Promise<void> {
  return new Promise((resolve) => {
    child.once('close', () => resolve());
    child.once('error', () => resolve());
  });
}

async function end(child: ChildProcess, over: Promise<void>): Promise<void> {
  child.ref();
  child.kill('SIGKILL');
  await over;
}

/** The `host:port` that anvil prints once it listens. */
function listening(child: ChildProcess): Promise<string> {
  return new Promise((resolve, reject) => {
    let output = '';
    const read = (chunk: Buffer): void => {
      output = (output + chunk.toString()).slice(-4096);
      const match = /Listening on (\S+)\s/.exec(output);
      if (match?.[1] !== undefined) resolve(match[1]);
    };
    // The listeners stay: a pipe that nobody reads would stop anvil once it is full.
    child.stdout?.on('data', read);
    child.stderr?.on('data', read);
    child.once('error', (error) => reject(new AnvilFailed(`anvil: ${error.message}`)));
    child.once('exit', () => {
      const last = output.trim().split('\n').at(-1) ?? '';
      reject(new AnvilFailed(`anvil ended before it listened: ${last}`));
    });
  });
}

/**
 * Kills anvil when this process is gone, however it went: anvil outlives its parent, and no handler runs on SIGKILL.
 * The watchdog waits on a pipe whose other end only this process holds; the system closes it with the process.
 * It runs in a session of its own, so that Ctrl-C in a terminal does not end it before its work is done.
 */
function startWatchdog(pid: number): ChildProcess {
  const script = `process.stdin.resume().on('close', () => process.kill(${pid}, 'SIGKILL'))`;
  const [command, args] =
    process.platform === 'win32'
      ? [process.execPath, ['-e', script]]
      : ['/bin/sh', ['-c', 'read -r _; kill -9 "$0"', String(pid)]];
  const watchdog = spawn(command, args, { stdio: ['pipe', 'ignore', 'ignore'], detached: true });
  watchdog.once('error', () => process.kill(pid, 'SIGKILL'));
  watchdog.unref();
  if (watchdog.stdin && 'unref' in watchdog.stdin && typeof watchdog.stdin.unref === 'function')
    watchdog.stdin.unref();
  return watchdog;
}
