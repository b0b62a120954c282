/** As much load as the server takes, from wrk where it is installed, else from autocannon. */

import { execFile, spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

export interface LoadRequest {
  readonly url: string;
  readonly connections: number;
  readonly seconds: number;
  readonly body: string;
  readonly headers: Readonly<Record<string, string>>;
  /** Mean pause of a connection between its requests; only wrk pauses. */
  readonly pauseMs?: number;
  /** One value of this header per request, one per line of the file. */
  readonly prepared?: { readonly header: string; readonly file: string };
}

export interface LoadResult {
  readonly requests: number;
  readonly seconds: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  /** Connections that broke, and requests without an answer in time. */
  readonly failures: number;
  /** Above 0 when there were too few prepared values. */
  readonly exhausted: number;
}

export type LoadTool = 'wrk' | 'autocannon';

export function findLoadTool(): LoadTool {
  return spawnSync('wrk', ['-v']).error === undefined ? 'wrk' : 'autocannon';
}

const TIMEOUT_SECONDS = 10;

/** POSTs to `url` over and over for the given time. */
export async function runLoad(tool: LoadTool, request: LoadRequest): Promise<LoadResult> {
  const output =
    tool === 'wrk'
      ? await run('wrk', wrkArguments(request), request)
      : await run(
          process.execPath,
          [here('./autocannon-load.ts'), JSON.stringify(request)],
          request,
        );
  const line = output.trimEnd().split('\n').at(-1) ?? '';
  return JSON.parse(line) as LoadResult;
}

function wrkArguments(request: LoadRequest): string[] {
  const { connections, seconds, headers, prepared, pauseMs = 0 } = request;
  return [
    ...['--threads', '1', '--connections', String(connections)],
    ...['--duration', `${seconds}s`, '--timeout', `${TIMEOUT_SECONDS}s`],
    ...Object.entries(headers).flatMap(([name, value]) => ['--header', `${name}: ${value}`]),
    ...['--script', here('./wrk.lua'), request.url, '--', 'POST', request.body],
    String(pauseMs),
    ...(prepared === undefined ? [] : [prepared.header, prepared.file]),
  ];
}

async function run(file: string, args: readonly string[], request: LoadRequest): Promise<string> {
  const timeout = (request.seconds + 3 * TIMEOUT_SECONDS) * 1000;
  const { stdout } = await promisify(execFile)(file, [...args], { timeout });
  return stdout;
}

function here(file: string): string {
  return fileURLToPath(new URL(file, import.meta.url));
}
