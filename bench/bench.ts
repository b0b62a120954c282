/**
 * `npm run bench`: what payments cost, as ratios measured side by side on one machine in one run.
 * Contestants of a group run in short alternating rounds, so that a noisy machine hurts all alike.
 */

import { parseArgs } from 'node:util';
import { compareStreams } from './compare-streams.ts';
import { CONTESTANTS, type Contestant } from './contestants.ts';
import { compareAtHalfLoad } from './half-load.ts';
import { canCountInstructions, countInstructions } from './instructions.ts';
import { findLoadTool, type LoadTool } from './load/run-load.ts';
import { describeMachine } from './machine.ts';
import { type Entrant, enter, type Round } from './measure.ts';
import { publishedIdleMb } from './published-idle.ts';
import { Report, type Result } from './report.ts';
import { openStage, type Stage } from './stage.ts';
import { STREAM_CONTESTANTS } from './stream-contestants.ts';

const CONNECTIONS = [1, 32, 128] as const;
const GROUPS = ['proxy', 'unpaid', 'x402'] as const;
const WARM_UP_SECONDS = 2;
const ROUND_SECONDS = 1;

const { values } = parseArgs({
  options: {
    json: { type: 'boolean', default: false },
    only: { type: 'string', multiple: true, default: [] },
    seconds: { type: 'string', default: '4' },
  },
});

const rounds = Math.max(1, Math.round(Number(values.seconds) / ROUND_SECONDS) || 0);
const tool = findLoadTool();
const countsInstructions = canCountInstructions();
const stage = await openStage();
const report = new Report(await describeMachine(stage.folder, tool));
report.head();
for (const group of GROUPS) {
  const contestants = choose(values.only).filter((one) => one.group === group);
  if (contestants.length > 0) await runGroup(contestants, stage, tool);
}
const streaming = values.only.filter(isStreaming);
if (values.only.length === 0 || streaming.length > 0)
  report.streams(await compareStreams(stage, rounds, streaming));
const publishedMb = await publishedIdleMb(stage);
if (publishedMb !== null) report.idle('coinslot start, compiled', publishedMb);
await stage.close();
report.foot();
if (values.json) console.log(JSON.stringify(report.json()));
process.exit();

function isStreaming(name: string): boolean {
  return STREAM_CONTESTANTS.some((one) => one.name === name);
}

/** Those that are asked for, and those that they are compared with. */
function choose(names: readonly string[]): readonly Contestant[] {
  if (names.length === 0) return CONTESTANTS;
  const chosen = new Set<string>(names.filter((name) => !isStreaming(name)));
  for (const name of chosen) {
    const found = CONTESTANTS.find((one) => one.name === name);
    if (found === undefined)
      throw new Error(
        `There is no ${name}: take one of ${[...CONTESTANTS, ...STREAM_CONTESTANTS].map((one) => one.name).join(', ')}.`,
      );
    if (found.against !== null) chosen.add(found.against);
  }
  return CONTESTANTS.filter(({ name }) => chosen.has(name));
}

async function runGroup(
  contestants: readonly Contestant[],
  stage: Stage,
  tool: LoadTool,
): Promise<void> {
  const entrants: Entrant[] = [];
  for (const contestant of contestants) entrants.push(await enter(contestant, stage, tool));
  for (const entrant of entrants) {
    report.idle(entrant.contestant.name, entrant.idleRssMb);
    await entrant.run(32, WARM_UP_SECONDS);
  }
  for (const connections of CONNECTIONS)
    report.add(await compare(entrants, connections), connections);
  if (countsInstructions)
    for (const entrant of entrants)
      report.instructions(entrant.contestant.name, await countInstructions(entrant, 32));
  await compareHalf(entrants);
  for (const entrant of entrants) await entrant.close();
}

/** Runs all in turns, forwards and backwards, and takes each one's medians. */
async function compare(
  entrants: readonly Entrant[],
  connections: number,
): Promise<ReadonlyMap<Contestant, Result>> {
  const runs = new Map<Contestant, Round[]>();
  for (let round = 0; round < rounds; round++) {
    const order = round % 2 === 0 ? entrants : entrants.toReversed();
    for (const entrant of order) {
      const done = runs.get(entrant.contestant) ?? [];
      done.push(await entrant.run(connections, ROUND_SECONDS));
      runs.set(entrant.contestant, done);
    }
  }
  return new Map([...runs].map(([contestant, done]) => [contestant, medianOf(done)]));
}

async function compareHalf(entrants: readonly Entrant[]): Promise<void> {
  const bare = entrants.find(({ contestant }) => contestant.name === 'bare');
  const prepaid = entrants.find(({ contestant }) => contestant.name === 'prepaid');
  const full = report.resultOf('prepaid', 32);
  if (bare === undefined || prepaid === undefined || full === undefined) return;
  report.halfLoad(await compareAtHalfLoad(tool, bare, prepaid, full.perSecond / 2));
}

function medianOf(done: readonly Round[]): Result {
  const median = (pick: (round: Round) => number): number => {
    const sorted = done.map(pick).sort((a, b) => a - b);
    const middle = sorted.length >> 1;
    const upper = sorted[middle] ?? Number.NaN;
    return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? upper) + upper) / 2;
  };
  return {
    perSecond: median((round) => round.perSecond),
    p50Ms: median((round) => round.p50Ms),
    p99Ms: median((round) => round.p99Ms),
    cpuMs: median((round) => round.cpuMs),
    mainCpuMs: median((round) => round.mainCpuMs),
    rssMb: median((round) => round.rssMb),
    answered: median((round) => round.answered),
  };
}
