/** The latency that payments add where a gateway should live: at half of what it could take. */

import { BODY, PATH } from './contestants.ts';
import { runPacedLoad } from './load/paced-load.ts';
import type { LoadTool } from './load/run-load.ts';
import type { Entrant } from './measure.ts';

export interface Paced {
  /** What was reached. */
  readonly perSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
}

export interface HalfLoad {
  readonly bare: Paced;
  readonly prepaid: Paced;
  readonly p99AddedMs: number;
}

const CONNECTIONS = 32;
const ROUNDS = 5;
const ROUND_SECONDS = 1;
/** Connections of wrk pause this long on average, so that their number sets the pace. */
const PAUSE_MS = 10;
/** What an answer takes, roughly. */
const ANSWER_MS = 1;

/** Alternating rounds at about the same pace; medians of each side. Throws when a request is refused. */
export async function compareAtHalfLoad(
  tool: LoadTool,
  bare: Entrant,
  prepaid: Entrant,
  perSecond: number,
): Promise<HalfLoad> {
  const run = tool === 'wrk' ? runPausing : runOnTime;
  const rounds = { bare: [] as Paced[], prepaid: [] as Paced[] };
  for (let round = 0; round < ROUNDS; round++) {
    rounds.bare.push(await run(bare, perSecond));
    rounds.prepaid.push(await run(prepaid, perSecond));
  }
  const result = { bare: medianOf(rounds.bare), prepaid: medianOf(rounds.prepaid) };
  return { ...result, p99AddedMs: result.prepaid.p99Ms - result.bare.p99Ms };
}

async function runPausing(entrant: Entrant, perSecond: number): Promise<Paced> {
  const connections = Math.ceil((perSecond * (PAUSE_MS + ANSWER_MS)) / 1000);
  return await entrant.run(connections, ROUND_SECONDS, PAUSE_MS);
}

async function runOnTime({ server, contestant }: Entrant, perSecond: number): Promise<Paced> {
  const { apiKey } = server.details;
  const { unexpected, ...latency } = await runPacedLoad({
    url: server.url,
    connections: CONNECTIONS,
    perSecond,
    seconds: ROUND_SECONDS,
    expectedStatus: contestant.expectedStatus,
    next: () => ({
      path: PATH,
      body: BODY,
      headers: apiKey === undefined ? {} : { 'X-API-Key': apiKey },
    }),
  });
  if (unexpected.length > 0)
    throw new Error(`${contestant.name} at half load: ${unexpected.slice(0, 3).join('; ')}`);
  return { perSecond, ...latency };
}

function medianOf(rounds: readonly Paced[]): Paced {
  const median = (pick: (paced: Paced) => number): number =>
    rounds.map(pick).sort((a, b) => a - b)[rounds.length >> 1] ?? Number.NaN;
  return {
    perSecond: median((paced) => paced.perSecond),
    p50Ms: median((paced) => paced.p50Ms),
    p99Ms: median((paced) => paced.p99Ms),
  };
}
