/** What the gateway takes as it is published: compiled, and started by its own command. */

import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Stage } from './stage.ts';

const COMMAND = fileURLToPath(new URL('../bin/coinslot.js', import.meta.url));
const COMPILED = fileURLToPath(new URL('../dist/cli/main.js', import.meta.url));
/** The rounds of the worker and the giving back of memory after the start are over by then. */
const CALM_MS = 2_000;

/** Resident MB of `coinslot start` with one prepaid route; null when nothing was compiled. */
export async function publishedIdleMb({ folder, upstream }: Stage): Promise<number | null> {
  if (!existsSync(COMPILED)) return null;
  const config = join(folder, 'published.yaml');
  const settings = {
    listen: '127.0.0.1:0',
    mode: 'test',
    database: `sqlite:${join(folder, 'published.db')}`,
    upstreams: { api: { url: upstream.url } },
    payments: { prepaid: {} },
    routes: { 'POST /summarize': { upstream: 'api', price: '$0.006' } },
  };
  writeFileSync(config, JSON.stringify(settings));
  const flags = [COMMAND, 'start', '--config', config, '--json', '--log-level', 'silent'];
  const child = spawn(process.execPath, flags, { stdio: ['ignore', 'pipe', 'inherit'] });
  const kill = (): void => void child.kill('SIGKILL');
  process.on('exit', kill);
  try {
    await Promise.race([once(child.stdout, 'data'), once(child, 'exit')]);
    await new Promise((resolve) => setTimeout(resolve, CALM_MS));
    const kibibytes = execFileSync('ps', ['-o', 'rss=', '-p', String(child.pid)]);
    return (Number(kibibytes.toString()) * 1024) / 1e6;
  } finally {
    const ended = child.exitCode === null ? once(child, 'exit') : null;
    child.kill();
    await ended;
    process.off('exit', kill);
  }
}
