/**
 * Instructions per request, where Linux perf may count them: unlike times they hardly change with what
 * else runs on the machine, so that two versions can be told apart on a busy one.
 */

import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import type { Entrant } from './measure.ts';

export interface Instructions {
  /** Thousands per request. */
  readonly user: number;
  readonly kernel: number;
}

const EVENTS = ['instructions:u', 'instructions:k'];
const ATTACH_MS = 200;
const SECONDS = 1;

export function canCountInstructions(): boolean {
  const { error, stderr } = spawnSync('perf', ['stat', '-x,', '-e', EVENTS.join(), 'true']);
  return error === undefined && countsOf(String(stderr)).every((count) => count > 0);
}

/** Loads a contestant for a second while its process is watched. */
export async function countInstructions(
  entrant: Entrant,
  connections: number,
): Promise<Instructions> {
  const { server } = entrant;
  const flags = ['stat', '-x,', '-e', EVENTS.join(), '-p', String(server.pid)];
  const perf = spawn('perf', flags, { stdio: ['ignore', 'ignore', 'pipe'] });
  let output = '';
  perf.stderr.on('data', (chunk: Buffer) => {
    output += chunk.toString();
  });
  // perf says nothing when it is attached; what is idle until then adds next to nothing.
  await new Promise((resolve) => setTimeout(resolve, ATTACH_MS));
  const { answered } = await entrant.run(connections, SECONDS);
  perf.kill('SIGINT');
  await once(perf, 'close');
  const [user, kernel] = countsOf(output);
  return { user: (user ?? 0) / answered / 1000, kernel: (kernel ?? 0) / answered / 1000 };
}

/** `123456,,instructions:u,…` in the order of the events; 0 for what was not counted. */
function countsOf(output: string): number[] {
  const lines = output.split('\n');
  return EVENTS.map((event) => {
    const line = lines.find((one) => one.includes(event));
    return Number(line?.split(',')[0]) || 0;
  });
}
