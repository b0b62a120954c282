/** One round of load on one contestant, and what its process used meanwhile. */

import { join } from 'node:path';
import { BODY, type Contestant, PATH } from './contestants.ts';
import { type LoadResult, type LoadTool, runLoad } from './load/run-load.ts';
import type { Usage } from './processes/run-process.ts';
import { PaymentSigner } from './sign-payments.ts';
import type { Stage } from './stage.ts';
import type { ProcessOptions, ServerProcess } from './start-process.ts';

export interface Round {
  readonly perSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  /** Of all threads of the contestant's process, per 1,000 requests. */
  readonly cpuMs: number;
  readonly mainCpuMs: number;
  readonly rssMb: number;
  /** Requests that got the expected answer. */
  readonly answered: number;
}

export interface Entrant {
  readonly contestant: Contestant;
  readonly server: ServerProcess;
  /** Before the first request. */
  readonly idleRssMb: number;
  /** Loads it for some seconds. Throws when anything but the expected answer came. */
  run(connections: number, seconds: number, pauseMs?: number): Promise<Round>;
  /** Ends the process once what the load left behind is done. */
  close(): Promise<void>;
}

/** Signatures for the first round, before anything is known about the pace. */
const FIRST_PER_SECOND = 1_500;
/** A contestant may be this much faster than it was in its last round. */
const SPARE = 1.7;
const TRIES = 4;
/** The load ends in the middle of requests; the server finishes them. */
const QUIET_MS = 300;

export async function enter(
  contestant: Contestant,
  stage: Stage,
  tool: LoadTool,
  options?: ProcessOptions,
): Promise<Entrant> {
  const server = await contestant.start(stage, options);
  const idle = await server.usage();
  const signer = contestant.signs ? new PaymentSigner() : null;
  const { apiKey } = server.details;
  const url = server.url + PATH;
  let pace = FIRST_PER_SECOND;

  const load = async (
    connections: number,
    seconds: number,
    pauseMs: number,
  ): Promise<LoadResult> => {
    const request = {
      ...{ url, connections, seconds, pauseMs, body: BODY },
      headers: {
        'Content-Type': 'application/json',
        ...(apiKey === undefined ? {} : { 'X-API-Key': apiKey }),
      },
    };
    if (signer === null) return await runLoad(tool, request);
    const file = join(stage.folder, `${contestant.name}.txt`);
    const count = Math.ceil(pace * seconds * SPARE) + 2 * connections + 200;
    await signer.write(file, await requiredBy(url), count);
    return await runLoad(tool, { ...request, prepared: { header: 'PAYMENT-SIGNATURE', file } });
  };

  return {
    contestant,
    server,
    idleRssMb: idle.rssBytes / 1e6,
    async run(connections, seconds, pauseMs = 0) {
      for (let tries = 1; tries <= TRIES; tries++) {
        const before = await server.usage();
        const result = await load(connections, seconds, pauseMs);
        pace = Math.max(pace, result.requests / result.seconds);
        if (result.exhausted > 0) {
          pace *= 2;
          continue;
        }
        return roundOf(contestant, result, before, await server.usage());
      }
      throw new Error(`${contestant.name}: too few payments were signed`);
    },
    async close() {
      await new Promise((resolve) => setTimeout(resolve, QUIET_MS));
      await server.close();
    },
  };
}

/** The PAYMENT-REQUIRED header of a fresh 402. */
async function requiredBy(url: string): Promise<string> {
  const response = await fetch(url, { method: 'POST', body: BODY });
  await response.arrayBuffer();
  const required = response.headers.get('payment-required');
  if (response.status !== 402 || required === null)
    throw new Error(`${url} answered ${response.status} and no offer to an unpaid request`);
  return required;
}

function roundOf(
  { name, expectedStatus, signs }: Contestant,
  result: LoadResult,
  before: Usage,
  after: Usage,
): Round {
  const counts = Object.keys(after.statuses)
    .map((status) => [Number(status), count(after, status) - count(before, status)] as const)
    .filter(([, times]) => times > 0);
  const unexpected = counts.filter(
    // The 402 that the offer was taken from.
    ([status, times]) => status !== expectedStatus && !(signs && status === 402 && times === 1),
  );
  const answered = count(after, expectedStatus) - count(before, expectedStatus);
  if (unexpected.length > 0 || result.failures > 0 || answered === 0 || result.requests === 0)
    throw new Error(
      `${name}: expected only ${expectedStatus}, got ${JSON.stringify(Object.fromEntries(counts))} and ${result.failures} broken requests`,
    );
  return {
    perSecond: result.requests / result.seconds,
    p50Ms: result.p50Ms,
    p99Ms: result.p99Ms,
    cpuMs: ((after.cpuMs - before.cpuMs) * 1000) / answered,
    mainCpuMs: ((after.mainCpuMs - before.mainCpuMs) * 1000) / answered,
    rssMb: after.rssBytes / 1e6,
    answered,
  };
}

function count(usage: Usage, status: number | string): number {
  return usage.statuses[status] ?? 0;
}
