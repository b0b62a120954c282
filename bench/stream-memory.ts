/**
 * `node bench/stream-memory.ts`: does the memory of a gateway stay flat while it streams? One metered stream of 1 GB,
 * then 2,000 slow ones at the same time. Exits 1 when it does not.
 */

import { parseArgs } from 'node:util';
import { readStream, type StreamLoad } from './load/stream-load.ts';
import { openStage } from './stage.ts';
import { type ServerProcess, startProcess } from './start-process.ts';
import { STREAM_BODY, STREAM_CONTESTANTS, streamPath } from './stream-contestants.ts';

/** A gateway that kept a gigabyte would show it. */
const GROWTH_MAX_MB = 150;
/** Sockets on both sides, their buffers, a meter and a hold. */
const STREAM_MAX_KB = 150;
const SAMPLE_MS = 250;

const { values } = parseArgs({ options: { streams: { type: 'string', default: '2000' } } });
const streams = Number(values.streams);

const stage = await openStage();
const upstream = await startProcess('stream-upstream.ts', {});
const metered = STREAM_CONTESTANTS.find(({ name }) => name === 'meteredStream');
if (metered === undefined) throw new Error('there is no metered contestant');
const server = await metered.start(stage, upstream.url);
const loadOf = (kind: string): StreamLoad => ({
  ...{ url: server.url, path: streamPath(kind), body: STREAM_BODY, connections: 1 },
  headers: { 'X-API-Key': server.details.apiKey ?? '' },
});

await readStream(loadOf('bytes'));
const large = await peakOf(server, async () => {
  const { bytes } = await readStream(loadOf('gigabyte'));
  return bytes;
});
const grownMb = large.peakMb - large.beforeMb;
console.log(
  `${(large.result / 1e9).toFixed(2)} GB in one metered stream: ${large.beforeMb.toFixed(0)} MB before, ${large.peakMb.toFixed(0)} MB at most`,
);
const slow = await peakOf(server, async () => {
  const reading = Array.from({ length: streams }, () => readStream(loadOf('slow')));
  return (await Promise.all(reading)).length;
});
const eachKb = ((slow.peakMb - slow.beforeMb) * 1000) / streams;
console.log(
  `${slow.result} slow metered streams at once: ${slow.beforeMb.toFixed(0)} MB before, ${slow.peakMb.toFixed(0)} MB at most, ${eachKb.toFixed(0)} KB each`,
);
await server.close();
await upstream.close();
await stage.close();
const isFlat = grownMb <= GROWTH_MAX_MB && eachKb <= STREAM_MAX_KB;
console.log(isFlat ? 'flat' : 'NOT flat');
process.exit(isFlat ? 0 : 1);

interface Peak<T> {
  readonly result: T;
  readonly beforeMb: number;
  readonly peakMb: number;
}

async function peakOf<T>(gateway: ServerProcess, work: () => Promise<T>): Promise<Peak<T>> {
  const rssMb = async (): Promise<number> => (await gateway.usage()).rssBytes / 1e6;
  const beforeMb = await rssMb();
  let peakMb = beforeMb;
  let isDone = false;
  const working = work().finally(() => {
    isDone = true;
  });
  while (!isDone) {
    await new Promise((resolve) => setTimeout(resolve, SAMPLE_MS));
    peakMb = Math.max(peakMb, await rssMb());
  }
  return { result: await working, beforeMb, peakMb };
}
