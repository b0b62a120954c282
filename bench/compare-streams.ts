/** Streams side by side: events and megabytes per second, the CPU of each event, and the delay of the first one. */

import { decodePaymentRequired } from '../src/rails/x402/protocol.ts';
import {
  type FirstByte,
  readStreams,
  type StreamLoad,
  timeFirstBytes,
} from './load/stream-load.ts';
import { PaymentSigner } from './sign-payments.ts';
import type { Stage } from './stage.ts';
import { type ServerProcess, startProcess } from './start-process.ts';
import {
  STREAM_BODY,
  STREAM_CONTESTANTS,
  type StreamContestant,
  startOfficialStream,
  streamPath,
} from './stream-contestants.ts';

/**
 * `Events`: tokens as events of 260 bytes, as fast as they are read; `Megabytes`: events of 16 KB; `PacedEvents`: a
 * token every 5 ms in a packet of its own, as models write, for the CPU that one takes.
 */
export type StreamKind = keyof typeof KINDS;

const KINDS = {
  Events: { kind: 'events', connections: 32, count: (streams: number) => streams * 2_000 },
  Megabytes: { kind: 'bytes', connections: 8, count: (_: number, bytes: number) => bytes / 1e6 },
  PacedEvents: { kind: 'paced', connections: 40, count: (streams: number) => streams * 200 },
} as const;

/** The medians of one contestant's rounds. */
export interface StreamResult {
  readonly perSecond: number;
  /** Of all threads, per 1,000 of what is counted. */
  readonly cpuMs: number;
  readonly mainCpuMs: number;
  readonly rssMb: number;
}

export interface Delay {
  readonly p50Ms: number;
  readonly p99Ms: number;
}

/** The first event of a stream at moderate load. */
export interface FirstEvent {
  /** From the request, hold included. */
  readonly sinceRequest: Delay;
  /** From its writing by the upstream. */
  readonly sinceUpstream: Delay;
}

export interface StreamComparison {
  readonly kind: StreamKind;
  readonly connections: number;
  readonly results: ReadonlyMap<StreamContestant, StreamResult>;
}

export interface StreamReport {
  readonly comparisons: readonly StreamComparison[];
  readonly first: Readonly<Record<string, FirstEvent>>;
}

const WARM_UP_SECONDS = 1.5;
const ROUND_SECONDS = 1;
const FIRST_COUNT = 200;
const FIRST_EVERY_MS = 10;
const OFFICIAL_COUNT = 40;
const OFFICIAL_EVERY_MS = 50;

interface Running {
  readonly contestant: StreamContestant;
  readonly server: ServerProcess;
  load(kind: string, connections?: number): StreamLoad;
}

/** All in turns, forwards and backwards; medians of so many rounds. */
export async function compareStreams(
  stage: Stage,
  rounds: number,
  names: readonly string[] = [],
): Promise<StreamReport> {
  const upstream = await startProcess('stream-upstream.ts', {});
  const chosen = STREAM_CONTESTANTS.filter(
    ({ name, against }) => names.length === 0 || names.includes(name) || against === null,
  );
  const running: Running[] = [];
  for (const contestant of chosen)
    running.push(runningOf(contestant, await contestant.start(stage, upstream.url)));
  for (const one of running) await readStreams(one.load('events'), WARM_UP_SECONDS);
  const comparisons: StreamComparison[] = [];
  for (const kind of Object.keys(KINDS) as StreamKind[]) {
    const done = new Map<StreamContestant, StreamResult[]>();
    for (let round = 0; round < rounds; round++)
      for (const one of round % 2 === 0 ? running : running.toReversed()) {
        const results = done.get(one.contestant) ?? [];
        done.set(one.contestant, [...results, await runRound(one, kind)]);
      }
    const results = new Map([...done].map(([contestant, list]) => [contestant, medianOf(list)]));
    comparisons.push({ kind, connections: KINDS[kind].connections, results });
  }
  const first: Record<string, FirstEvent> = {};
  for (const one of running) {
    const load = one.load('first');
    await timeFirstBytes(load, FIRST_COUNT / 4, FIRST_EVERY_MS);
    first[one.contestant.name] = firstOf(await timeFirstBytes(load, FIRST_COUNT, FIRST_EVERY_MS));
  }
  for (const { server } of running) await server.close();
  if (names.length === 0) first.officialStream = await timeOfficial(stage, upstream.url);
  await upstream.close();
  return { comparisons, first };
}

function runningOf(contestant: StreamContestant, server: ServerProcess): Running {
  const { apiKey } = server.details;
  const load = (kind: string, connections = 8): StreamLoad => ({
    ...{ url: server.url, path: streamPath(kind), body: STREAM_BODY, connections },
    headers: apiKey === undefined ? {} : { 'X-API-Key': apiKey },
  });
  return { contestant, server, load };
}

async function runRound({ server, load }: Running, named: StreamKind): Promise<StreamResult> {
  const { kind, connections, count: countOf } = KINDS[named];
  const before = await server.usage();
  const { streams, bytes, seconds } = await readStreams(load(kind, connections), ROUND_SECONDS);
  const after = await server.usage();
  const count = countOf(streams, bytes);
  return {
    perSecond: count / seconds,
    cpuMs: ((after.cpuMs - before.cpuMs) * 1000) / count,
    mainCpuMs: ((after.mainCpuMs - before.mainCpuMs) * 1000) / count,
    rssMb: after.rssBytes / 1e6,
  };
}

/** Each stream with a payment of its own, fewer and slower: it simulates and settles. */
async function timeOfficial(stage: Stage, upstream: string): Promise<FirstEvent> {
  const server = await startOfficialStream(stage, upstream);
  const path = streamPath('first');
  const unpaid = await fetch(server.url + path, { method: 'POST', body: STREAM_BODY });
  await unpaid.arrayBuffer();
  const { accepts, resource } = decodePaymentRequired(unpaid.headers.get('payment-required') ?? '');
  const [offer] = accepts;
  if (offer === undefined) throw new Error('the official stack offers nothing');
  const signer = new PaymentSigner();
  const seen: FirstByte[] = [];
  for (let at = 0; at < OFFICIAL_COUNT; at++) {
    const headers = { 'PAYMENT-SIGNATURE': signer.header(offer, resource) };
    const load = { url: server.url, path, body: STREAM_BODY, connections: 1, headers };
    seen.push(...(await timeFirstBytes(load, 1, OFFICIAL_EVERY_MS)));
  }
  await server.close();
  return firstOf(seen.slice(OFFICIAL_COUNT / 4));
}

function firstOf(seen: readonly FirstByte[]): FirstEvent {
  const delayOf = (pick: (one: FirstByte) => number): Delay => {
    const sorted = seen.map(pick).sort((a, b) => a - b);
    const at = (share: number): number => sorted[Math.floor(sorted.length * share)] ?? Number.NaN;
    return { p50Ms: at(0.5), p99Ms: at(0.99) };
  };
  return {
    sinceRequest: delayOf((one) => one.sinceRequestMs),
    sinceUpstream: delayOf((one) => one.sinceUpstreamMs),
  };
}

function medianOf(results: readonly StreamResult[]): StreamResult {
  const median = (pick: (result: StreamResult) => number): number =>
    results.map(pick).sort((a, b) => a - b)[results.length >> 1] ?? Number.NaN;
  return {
    perSecond: median((one) => one.perSecond),
    cpuMs: median((one) => one.cpuMs),
    mainCpuMs: median((one) => one.mainCpuMs),
    rssMb: median((one) => one.rssMb),
  };
}
