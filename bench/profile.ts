/**
 * `npm run bench:profile [CASE]`: one contestant at 32 connections under the CPU profiler of V8. Prints
 * where the time goes and writes a flame graph per thread into bench/out/.
 */

import { mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { CONTESTANTS } from './contestants.ts';
import { findLoadTool } from './load/run-load.ts';
import { enter } from './measure.ts';
import { type CpuProfile, readCpuProfile, topBySelfTime } from './profile/cpu-profile.ts';
import { flameGraph } from './profile/flame-graph.ts';
import { openStage } from './stage.ts';

const OUT = fileURLToPath(new URL('./out', import.meta.url));
const WARM_UP_SECONDS = 3;
const INTERVAL_US = 250;
const TOP = 25;

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    connections: { type: 'string', default: '32' },
    seconds: { type: 'string', default: '8' },
  },
});
const name = positionals[0] ?? 'prepaid';
const contestant = CONTESTANTS.find((one) => one.name === name);
if (contestant === undefined)
  throw new Error(`There is no ${name}: ${CONTESTANTS.map((one) => one.name).join(', ')}.`);

const stage = await openStage();
const folder = join(stage.folder, 'profiles');
const entrant = await enter(contestant, stage, findLoadTool(), {
  flags: ['--cpu-prof', '--cpu-prof-dir', folder, '--cpu-prof-interval', String(INTERVAL_US)],
});
const connections = Number(values.connections);
await entrant.run(connections, WARM_UP_SECONDS);
const startUs = nowUs();
const round = await entrant.run(connections, Number(values.seconds));
const endUs = nowUs();
await entrant.close();

console.log(
  `${name} at ${connections} connections, profiled: ${Math.round(round.perSecond)} requests/s, ` +
    `${round.cpuMs.toFixed(0)} ms CPU per 1,000 requests (main thread ${round.mainCpuMs.toFixed(0)})\n`,
);
rmSync(OUT, { recursive: true, force: true });
mkdirSync(OUT, { recursive: true });
for (const file of readdirSync(folder).sort()) {
  const profile = readCpuProfile(join(folder, file), startUs, endUs);
  if (profile.sampledUs > 0) show(profile, threadOf(file));
}
await stage.close();
process.exit();

/** V8 stamps its samples with the same monotonic clock. */
function nowUs(): number {
  return Number(process.hrtime.bigint() / 1000n);
}

/** `CPU.<date>.<time>.<pid>.<thread>.<number>.cpuprofile` */
function threadOf(file: string): string {
  const thread = Number(file.split('.')[4]);
  return thread === 0 ? 'main thread' : `worker ${thread}`;
}

function show(profile: CpuProfile, thread: string): void {
  const { sampledUs, idleUs } = profile;
  const busyUs = sampledUs - idleUs;
  const title = `${name}, ${thread}`;
  console.log(`${title}: busy ${((100 * busyUs) / sampledUs).toFixed(0)} % of the time`);
  console.log(`${'self'.padStart(7)} ${'total'.padStart(7)}  function`);
  for (const { frame, selfUs, totalUs } of topBySelfTime(profile, TOP)) {
    const share = (us: number): string => `${((100 * us) / busyUs).toFixed(1)} %`.padStart(7);
    console.log(`${share(selfUs)} ${share(totalUs)}  ${frame.name} ${frame.place}`.trimEnd());
  }
  const file = join(OUT, `${name}-${thread.replace(' ', '-')}.html`);
  writeFileSync(file, flameGraph(profile.root, title));
  console.log(`flame graph: ${relative('', file)}\n`);
}
