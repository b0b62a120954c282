/** The parent's side of the processes of a benchmark: started, asked what they used, and ended, whatever happens. */

import { type ChildProcess, fork } from 'node:child_process';
import type { FromProcess, ToProcess, Usage } from './processes/run-process.ts';

export interface ServerProcess {
  readonly pid: number;
  readonly url: string;
  /** What the process tells about itself, such as the API key it made. */
  readonly details: Readonly<Record<string, string>>;
  usage(): Promise<Usage>;
  /** Ends it in order, so that it writes what it has to write. */
  close(): Promise<void>;
}

export interface ProcessOptions {
  /** Flags of node itself, such as `--cpu-prof`. */
  readonly flags?: readonly string[];
}

const CLOSE_MS = 15_000;

const running = new Set<ChildProcess>();

/** Ends every process that still runs, at once; for exit and signals. */
export function killProcesses(): void {
  for (const child of running) child.kill('SIGKILL');
  running.clear();
}

/** Starts a file of `processes/` with its settings; rejects when it ends before it serves. */
export async function startProcess(
  file: string,
  settings: object,
  options: ProcessOptions = {},
): Promise<ServerProcess> {
  const child = fork(new URL(`./processes/${file}`, import.meta.url), [], {
    execArgv: [...(options.flags ?? [])],
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  });
  running.add(child);
  let isClosing = false;
  const ended = new Promise<void>((resolve) =>
    child.once('exit', (code, signal) => {
      if (running.delete(child) && !isClosing)
        process.stderr.write(`${file} ended by itself: ${signal ?? `exit code ${code}`}\n`);
      resolve();
    }),
  );
  const ask = async (message: ToProcess): Promise<FromProcess> => {
    const answered = new Promise<FromProcess>((resolve) => child.once('message', resolve));
    child.send(message);
    const answer = await Promise.race([answered, ended]);
    if (answer === undefined) throw new Error(`${file} ended`);
    if (answer.kind === 'failed') throw new Error(`${file}: ${answer.message}`);
    return answer;
  };
  const ready = await ask({ kind: 'start', settings });
  if (ready.kind !== 'ready') throw new Error(`${file} answered ${ready.kind}`);
  return {
    pid: child.pid ?? 0,
    url: ready.url,
    details: ready.details,
    async usage() {
      const answer = await ask({ kind: 'usage' });
      if (answer.kind !== 'usage') throw new Error(`${file} answered ${answer.kind}`);
      return answer.usage;
    },
    async close() {
      isClosing = true;
      if (child.connected) child.send({ kind: 'close' } satisfies ToProcess);
      const timer = setTimeout(() => child.kill('SIGKILL'), CLOSE_MS);
      await ended;
      clearTimeout(timer);
    },
  };
}
