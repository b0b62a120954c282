/** `coinslot start` as a process of its own, so that a test can end it at any instant, or break it from inside. */

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { Order } from './inside-gateway.ts';

export interface GatewayProcess {
  readonly url: string;
  readonly pid: number;
  readonly child: ChildProcess;
  /** Resolves with the exit code, or the signal, once the process is gone, whoever ended it. */
  readonly ended: Promise<number | NodeJS.Signals>;
  /** Sends a signal, SIGKILL if none is named, and waits for the end. */
  end(signal?: NodeJS.Signals): Promise<void>;
  /** Has an order carried out inside the process. */
  order(order: Order): Promise<void>;
}

export interface SpawnOptions {
  /** The config file. */
  readonly config: string;
  readonly env?: Readonly<Record<string, string>>;
  /** Where the process writes its log; omitted: nowhere. */
  readonly stderr?: 'inherit' | 'ignore' | number;
}

const MAIN = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url));
const INSIDE = new URL('./inside-gateway.ts', import.meta.url).href;

/** Resolves when it listens; rejects when it ends before. */
export async function spawnGateway(
  t: { after(end: () => Promise<void>): void },
  { config, env = {}, stderr = 'ignore' }: SpawnOptions,
): Promise<GatewayProcess> {
  const flags = ['--import', INSIDE, MAIN, 'start', '--config', config, '--json'];
  const child = spawn(process.execPath, flags, {
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', stderr, 'ipc'],
  });
  const ended = once(child, 'exit').then(
    ([code, signal]) => (signal ?? code) as number | NodeJS.Signals,
  );
  const end = async (signal: NodeJS.Signals = 'SIGKILL'): Promise<void> => {
    child.kill(signal);
    await ended;
  };
  t.after(() => end());
  const url = await readyUrl(child);
  return {
    ...{ url, child, ended, end, pid: child.pid ?? 0 },
    async order(order) {
      const done = once(child, 'message');
      child.send(order);
      await done;
    },
  };
}

async function readyUrl({ stdout }: ChildProcess): Promise<string> {
  if (stdout === null) throw new Error('the gateway has no stdout');
  for await (const line of createInterface({ input: stdout })) {
    const url = urlIn(line);
    if (url === null) continue;
    stdout.resume();
    return url;
  }
  throw new Error('coinslot start ended without being ready');
}

function urlIn(line: string): string | null {
  try {
    const value: unknown = JSON.parse(line);
    return typeof value === 'object' && value !== null && 'url' in value ? String(value.url) : null;
  } catch {
    return null;
  }
}
