/** The child's side: serves until its parent says so or is gone, and tells what it used. */

import { subscribe } from 'node:diagnostics_channel';
import type { ServerResponse } from 'node:http';

export type ToProcess =
  | { readonly kind: 'start'; readonly settings: object }
  | { readonly kind: 'usage' }
  | { readonly kind: 'close' };

export type FromProcess =
  | {
      readonly kind: 'ready';
      readonly url: string;
      readonly details: Readonly<Record<string, string>>;
    }
  | { readonly kind: 'usage'; readonly usage: Usage }
  | { readonly kind: 'failed'; readonly message: string };

/** Since the start of the process. */
export interface Usage {
  /** All threads. */
  readonly cpuMs: number;
  /** The thread that serves. */
  readonly mainCpuMs: number;
  readonly rssBytes: number;
  /** Responses by status. */
  readonly statuses: Readonly<Record<string, number>>;
}

export interface Served {
  readonly url: string;
  readonly details?: Readonly<Record<string, string>>;
  close(): Promise<void>;
}

/** Starts what the parent asks for, with the settings that it sends. */
export function runProcess<Settings>(start: (settings: Settings) => Promise<Served>): void {
  const statuses: Record<string, number> = {};
  subscribe('http.server.response.finish', (message) => {
    const { statusCode } = (message as { response: ServerResponse }).response;
    statuses[statusCode] = (statuses[statusCode] ?? 0) + 1;
  });
  const send = (message: FromProcess): void => void process.send?.(message);
  let served: Served | null = null;
  const handle = async (message: ToProcess): Promise<void> => {
    if (message.kind === 'start') {
      served = await start(message.settings as Settings);
      send({ kind: 'ready', url: served.url, details: served.details ?? {} });
    } else if (message.kind === 'usage') {
      send({ kind: 'usage', usage: usageNow(statuses) });
    } else {
      await served?.close();
      process.disconnect();
      process.exit();
    }
  };
  process.on('message', (message: ToProcess) => {
    handle(message).catch((error: unknown) => {
      const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
      send({ kind: 'failed', message: text });
    });
  });
  // Ctrl-C goes to the whole group; the parent ends us in order.
  process.on('SIGINT', () => {});
  process.on('disconnect', () => process.exit());
}

function usageNow(statuses: Readonly<Record<string, number>>): Usage {
  const all = process.cpuUsage();
  const main = process.threadCpuUsage();
  return {
    cpuMs: (all.user + all.system) / 1000,
    mainCpuMs: (main.user + main.system) / 1000,
    rssBytes: process.memoryUsage.rss(),
    statuses: { ...statuses },
  };
}
