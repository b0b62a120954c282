/** What all contestants of a run stand on: a folder, the upstream and the instant chain. */

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { killProcesses, type ServerProcess, startProcess } from './start-process.ts';

export interface Stage {
  /** Removed at the end. */
  readonly folder: string;
  readonly upstream: ServerProcess;
  readonly chain: ServerProcess;
  close(): Promise<void>;
}

/** Whatever ends this process, its children and files go with it. */
export async function openStage(): Promise<Stage> {
  const folder = mkdtempSync(join(tmpdir(), 'coinslot-bench-'));
  const cleanUp = (): void => {
    killProcesses();
    rmSync(folder, { recursive: true, force: true });
  };
  process.on('exit', cleanUp);
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
    process.on(signal, () => process.exit(130));
  const [upstream, chain] = await Promise.all([
    startProcess('upstream.ts', {}),
    startProcess('instant-chain.ts', {}),
  ]);
  return {
    ...{ folder, upstream, chain },
    async close() {
      await Promise.all([upstream.close(), chain.close()]);
      cleanUp();
    },
  };
}
