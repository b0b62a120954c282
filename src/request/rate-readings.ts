/** What currencies are worth: read from their sources now and then, and remembered for the quotes that were made by it. */

import { isDeepStrictEqual } from 'node:util';
import type { Clock } from '../core/clock.ts';
import type { Log } from '../core/log.ts';
import { fixedRates, nextRate, type RateSource } from '../pricing/next-rate.ts';
import type { Rate, Rates } from '../pricing/price-terms.ts';
import { type Fetch, fetchJson } from './fetch-json.ts';

export interface RateReadingsOptions {
  readonly sources: Readonly<Record<string, RateSource>>;
  /** How long a quote may be paid after it was issued: no older rates are needed. */
  readonly keepMs: number;
  readonly clock: Clock;
  readonly log: Log;
  readonly fetch: Fetch;
}

type ReadSource = Extract<RateSource, { kind: 'read' }>;

interface Snapshot {
  readonly atMs: number;
  readonly rates: Rates;
}

interface Reader {
  readonly source: ReadSource;
  stop(): Promise<void>;
}

const TIMEOUT_MS = 5_000;
const ANSWER_BYTES_MAX = 65_536;
/** A timer set to more runs at once. */
const PAUSE_MS_MAX = 2 ** 31 - 1;

/** Its timers hold no process open; `close` ends them. */
export class RateReadings {
  readonly #options: RateReadingsOptions;
  readonly #readers = new Map<string, Reader>();
  /** Oldest first, and never none. */
  #snapshots: Snapshot[];

  constructor(options: RateReadingsOptions) {
    this.#options = options;
    this.#snapshots = [{ atMs: options.clock.now(), rates: fixedRates(options.sources) }];
  }

  /** The rates as they were then, the same object until one changes; of a time before the first, those of now. */
  at(atMs: number): Rates {
    return (this.#snapshots.findLast((one) => one.atMs <= atMs) ?? this.#last()).rates;
  }

  /** Begins to read; resolves when every source has been asked once, whatever it said. */
  async start(): Promise<void> {
    await this.use(this.#options.sources);
  }

  /** Other sources from now on. What was read counts until it is stale or another source has answered. */
  async use(sources: Readonly<Record<string, RateSource>>): Promise<void> {
    const kept: Record<string, Rate> = {};
    for (const [symbol, reader] of [...this.#readers]) {
      const last = this.#last().rates[symbol];
      if (sources[symbol]?.kind === 'read' && last !== undefined && last.staleAtMs !== null)
        kept[symbol] = last;
      if (isDeepStrictEqual(reader.source, sources[symbol])) continue;
      this.#readers.delete(symbol);
      void reader.stop();
    }
    const rates = { ...fixedRates(sources), ...kept };
    if (!isDeepStrictEqual(rates, this.#last().rates)) this.#remember(rates);
    const first: Promise<void>[] = [];
    for (const [symbol, source] of Object.entries(sources))
      if (source.kind === 'read' && !this.#readers.has(symbol))
        first.push(this.#startReader(symbol, source));
    await Promise.all(first);
  }

  async close(): Promise<void> {
    const readers = [...this.#readers.values()];
    this.#readers.clear();
    await Promise.all(readers.map((reader) => reader.stop()));
  }

  /** Resolves after the first reading. */
  #startReader(symbol: string, source: ReadSource): Promise<void> {
    const ending = new AbortController();
    let timer: NodeJS.Timeout | undefined;
    let reading: Promise<void> = Promise.resolve();
    let previous: Rate | null = null;
    const turn = (): Promise<void> => {
      reading = this.#read(symbol, source, previous, ending.signal).then((rate) => {
        previous = rate ?? previous;
        if (ending.signal.aborted) return;
        timer = setTimeout(turn, Math.min(source.everyMs, PAUSE_MS_MAX));
        timer.unref();
      });
      return reading;
    };
    this.#readers.set(symbol, {
      source,
      async stop() {
        ending.abort();
        clearTimeout(timer);
        await reading;
      },
    });
    return turn();
  }

  /** The new rate, or null. Never throws: what was read before counts until it is stale. */
  async #read(
    symbol: string,
    source: ReadSource,
    previous: Rate | null,
    signal: AbortSignal,
  ): Promise<Rate | null> {
    const { clock, fetch, log } = this.#options;
    const { url } = source;
    const { origin } = new URL(url);
    try {
      const limits = { timeoutMs: TIMEOUT_MS, bytesMax: ANSWER_BYTES_MAX };
      const body = await fetchJson(fetch, { url, ...limits, signal });
      if (signal.aborted) return null;
      const rate = nextRate(source, body, previous, clock.now());
      if (rate === null) log.warn({ symbol, origin }, 'a reading of a rate is not believed');
      else this.#remember({ ...this.#last().rates, [symbol]: rate });
      return rate;
    } catch (error) {
      if (!signal.aborted) log.warn({ symbol, origin, error }, 'a rate could not be read');
      return null;
    }
  }

  /** What no quote can refer to any more is forgotten. */
  #remember(rates: Rates): void {
    const nowMs = this.#options.clock.now();
    const sinceMs = nowMs - this.#options.keepMs;
    const needed = this.#snapshots.findLastIndex((one) => one.atMs <= sinceMs);
    this.#snapshots = [...this.#snapshots.slice(Math.max(0, needed)), { atMs: nowMs, rates }];
  }

  #last(): Snapshot {
    return this.#snapshots.at(-1) as Snapshot;
  }
}
