/** The table for people and the JSON for machines. */

import type { FirstEvent, StreamComparison, StreamReport } from './compare-streams.ts';
import { CONTESTANTS, type Contestant } from './contestants.ts';
import type { HalfLoad, Paced } from './half-load.ts';
import type { Instructions } from './instructions.ts';
import type { Machine } from './machine.ts';
import type { Round } from './measure.ts';
import { STREAM_CONTESTANTS } from './stream-contestants.ts';

/** The medians of a contestant's rounds. */
export type Result = Round;

interface Row extends Result {
  readonly name: string;
  readonly connections: number;
  readonly against: string | null;
  /** Requests per second, divided by those of `against`. */
  readonly ratio: number;
}

const HEADINGS = [
  'case',
  'conns',
  'req/s',
  'ratio',
  'p50 ms',
  'p99 ms',
  'CPU ms',
  '(main)',
  'RSS MB',
];
const WIDTHS = [16, 6, 9, 26, 9, 9, 8, 8, 8];

export class Report {
  readonly #machine: Machine;
  readonly #rows: Row[] = [];
  readonly #idleRssMb: Record<string, number> = {};
  readonly #instructions: Record<string, Instructions> = {};
  #halfLoad: HalfLoad | null = null;
  #streams: StreamReport | null = null;

  constructor(machine: Machine) {
    this.#machine = machine;
  }

  head(): void {
    const { cpu, cores, node, load, fileSystem, fsyncMs, loadAverage } = this.#machine;
    console.log(`${cores} × ${cpu}, node ${node}, load from ${load} (load average ${loadAverage})`);
    console.log(`databases on ${fileSystem}, one durable write ${fsyncMs} ms`);
    console.log('CPU ms: of the server process per 1,000 requests, all threads and main thread\n');
    console.log(line(HEADINGS));
  }

  add(results: ReadonlyMap<Contestant, Result>, connections: number): void {
    for (const [{ name, against }, result] of results) {
      const yardstick = [...results].find(([other]) => other.name === against)?.[1];
      const ratio = yardstick === undefined ? 1 : result.perSecond / yardstick.perSecond;
      const row = { ...result, name, connections, against, ratio };
      this.#rows.push(row);
      console.log(line(cells(row)));
    }
    console.log('');
  }

  idle(name: string, rssMb: number): void {
    this.#idleRssMb[name] = Math.round(rssMb);
  }

  /** Counted at 32 connections. */
  instructions(name: string, counted: Instructions): void {
    this.#instructions[name] = {
      user: Math.round(counted.user),
      kernel: Math.round(counted.kernel),
    };
  }

  halfLoad(half: HalfLoad): void {
    this.#halfLoad = half;
    const show = ({ perSecond, p50Ms, p99Ms }: Paced): string =>
      `${Math.round(perSecond)} requests/s, p50 ${p50Ms.toFixed(2)} ms, p99 ${p99Ms.toFixed(2)} ms`;
    console.log(
      `at half of what prepaid takes: prepaid ${show(half.prepaid)}; bare ${show(half.bare)}`,
    );
    console.log(`p99 added by prepaid at half load: ${half.p99AddedMs.toFixed(2)} ms\n`);
  }

  /** In the JSON, `bareStreamEvents@8` is the events per second of `bareStream` at 8 connections; see `StreamKind`. */
  streams(report: StreamReport): void {
    this.#streams = report;
    for (const { kind, connections, results } of report.comparisons) {
      console.log(`streams, ${kind} at ${connections} connections; CPU ms per 1,000 of them`);
      for (const [{ name }, { perSecond, cpuMs, mainCpuMs, rssMb }] of results)
        console.log(
          line([name, '', Math.round(perSecond).toLocaleString('en')]),
          `CPU ${cpuMs.toFixed(3)} (main ${mainCpuMs.toFixed(3)}), RSS ${rssMb.toFixed(0)} MB`,
        );
    }
    console.log('first event of a stream, ms: since the request | since the upstream wrote it');
    for (const [name, { sinceRequest, sinceUpstream }] of Object.entries(report.first))
      console.log(
        `${name.padEnd(16)} p50 ${sinceRequest.p50Ms.toFixed(2)}, p99 ${sinceRequest.p99Ms.toFixed(2)}`,
        `| p50 ${sinceUpstream.p50Ms.toFixed(2)}, p99 ${sinceUpstream.p99Ms.toFixed(2)}`,
      );
    console.log('');
    for (const { name, does } of STREAM_CONTESTANTS) console.log(`${name.padEnd(16)} ${does}`);
    console.log(
      'officialStream   @x402/hono: verify, the whole answer, settle, then its first byte\n',
    );
  }

  resultOf(name: string, connections: number): Result | undefined {
    return this.#rows.find((row) => row.name === name && row.connections === connections);
  }

  foot(): void {
    const idle = Object.entries(this.#idleRssMb).map(([name, mb]) => `${name} ${mb}`);
    console.log(`idle memory in MB: ${idle.join(', ')}\n`);
    const counted = Object.entries(this.#instructions).map(
      ([name, { user, kernel }]) => `${name} ${user} + ${kernel}`,
    );
    if (counted.length > 0)
      console.log(`thousand instructions per request, own + kernel: ${counted.join(', ')}\n`);
    for (const { name, does } of CONTESTANTS)
      if (name in this.#idleRssMb) console.log(`${name.padEnd(16)} ${does}`);
  }

  json(): object {
    const results = Object.fromEntries(
      this.#rows.map(({ name, connections, against, ...row }) => [
        `${name}@${connections}`,
        {
          perSecond: round(row.perSecond, 1),
          ratio: round(row.ratio, 3),
          against: `${against ?? name}@${connections}`,
          p50Ms: round(row.p50Ms, 3),
          p99Ms: round(row.p99Ms, 3),
          cpuMsPer1000: round(row.cpuMs, 1),
          mainCpuMsPer1000: round(row.mainCpuMs, 1),
          rssMb: Math.round(row.rssMb),
        },
      ]),
    );
    Object.assign(results, ...(this.#streams?.comparisons ?? []).map(streamRows));
    const idleRssMb = this.#idleRssMb;
    const kiloInstructions = this.#instructions;
    return {
      machine: this.#machine,
      results,
      idleRssMb,
      kiloInstructions,
      halfLoad: this.#halfLoad,
      firstEvent: firstEvents(this.#streams?.first ?? {}),
    };
  }
}

function streamRows({ kind, connections, results }: StreamComparison): object {
  const nameOf = (name: string): string => `${name}${kind}@${connections}`;
  const rows = [...results].map(([{ name, against }, result]) => {
    const yardstick = [...results].find(([other]) => other.name === against)?.[1] ?? result;
    const row = {
      perSecond: round(result.perSecond, 1),
      ratio: round(result.perSecond / yardstick.perSecond, 3),
      against: nameOf(against ?? name),
      cpuMsPer1000: round(result.cpuMs, 4),
      mainCpuMsPer1000: round(result.mainCpuMs, 4),
      rssMb: Math.round(result.rssMb),
    };
    return [nameOf(name), row];
  });
  return Object.fromEntries(rows);
}

function firstEvents(first: Readonly<Record<string, FirstEvent>>): object {
  const shown = ({ p50Ms, p99Ms }: FirstEvent['sinceRequest']): object => ({
    p50Ms: round(p50Ms, 3),
    p99Ms: round(p99Ms, 3),
  });
  return Object.fromEntries(
    Object.entries(first).map(([name, { sinceRequest, sinceUpstream }]) => [
      name,
      { sinceRequest: shown(sinceRequest), sinceUpstream: shown(sinceUpstream) },
    ]),
  );
}

function cells(row: Row): string[] {
  return [
    row.name,
    String(row.connections),
    Math.round(row.perSecond).toLocaleString('en'),
    row.against === null ? '' : `${row.ratio.toFixed(2)} × ${row.against}`,
    row.p50Ms.toFixed(2),
    row.p99Ms.toFixed(2),
    row.cpuMs.toFixed(0),
    row.mainCpuMs.toFixed(0),
    row.rssMb.toFixed(0),
  ];
}

function line(texts: readonly string[]): string {
  return texts
    .map((text, i) => {
      const width = WIDTHS[i] ?? 0;
      return i === 0 ? text.padEnd(width) : text.padStart(width);
    })
    .join(' ');
}

function round(value: number, digits: number): number {
  return Number(value.toFixed(digits));
}
