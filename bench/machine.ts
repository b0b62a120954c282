/** What the figures were measured on: enough to know whether two runs may be compared. */

import { closeSync, fsyncSync, openSync, statfsSync, writeSync } from 'node:fs';
import { cpus, loadavg, totalmem } from 'node:os';
import { join } from 'node:path';
import type { LoadTool } from './load/run-load.ts';

export interface Machine {
  readonly cpu: string;
  readonly cores: number;
  readonly memoryGb: number;
  readonly platform: string;
  readonly node: string;
  readonly load: LoadTool;
  /** Of the last minute, before the run. */
  readonly loadAverage: number;
  /** Of the folder that holds the databases: its file system, and the median of one durable write. */
  readonly fileSystem: string;
  readonly fsyncMs: number;
}

/** Magic numbers of statfs(2). */
const FILE_SYSTEMS: Readonly<Record<number, string>> = {
  61267: 'ext4',
  16914836: 'tmpfs',
  1481003842: 'xfs',
  2435016766: 'btrfs',
  2035054128: 'overlay',
  26: 'apfs',
};
const WRITES = 51;

export async function describeMachine(folder: string, load: LoadTool): Promise<Machine> {
  const { type } = statfsSync(folder);
  return {
    cpu: cpus()[0]?.model.trim() ?? 'unknown',
    cores: cpus().length,
    memoryGb: Math.round(totalmem() / 1e9),
    platform: `${process.platform} ${process.arch}`,
    node: process.version,
    load,
    loadAverage: Math.round((loadavg()[0] ?? 0) * 100) / 100,
    fileSystem: FILE_SYSTEMS[type] ?? String(type),
    fsyncMs: Math.round(medianFsyncMs(join(folder, 'fsync')) * 1000) / 1000,
  };
}

function medianFsyncMs(file: string): number {
  const fd = openSync(file, 'w');
  const times: number[] = [];
  const page = Buffer.alloc(4096, 1);
  for (let i = 0; i < WRITES; i++) {
    const start = performance.now();
    writeSync(fd, page);
    fsyncSync(fd);
    times.push(performance.now() - start);
  }
  closeSync(fd);
  return times.sort((a, b) => a - b)[WRITES >> 1] ?? 0;
}
