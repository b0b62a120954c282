/** Requests, unpaid 402s and failures per minute, counted in memory per IP, key and wallet. */

import type { Clock } from '../core/clock.ts';
import { RateLimited } from '../core/errors.ts';
import { networkOf } from '../core/network-of.ts';

export interface RateLimits {
  /** Counts a request of this address. Throws RateLimited. */
  request(address: string): void;
  /** Counts a 402 made for this address: making one costs work and earns nothing. Throws RateLimited. */
  unpaid(address: string): void;
  /**
   * Throws RateLimited when the payer (`key:…`, `wallet:…`, `ip:…`) has used up its requests or failures of
   * this minute. Counts nothing, since a credential may name a payer who did not send it; and comes before
   * the hold, so that a refused credential is as good as new.
   */
  admit(payer: string): void;
  /** Counts a request that the payer is proven to have paid. */
  paid(payer: string): void;
  /** Counts a released payment. */
  failed(payer: string, address: string): void;
}

export interface RateLimitOptions {
  readonly requestsPerMinute: {
    readonly ip: number;
    readonly key: number;
    readonly wallet: number;
  };
  readonly unpaidPerMinute: number;
  readonly failuresPerMinute: number;
}

const WINDOW_MS = 60_000;
/** A flood of made-up addresses must not fill the memory: past this many, the window starts anew. */
const SUBJECTS_MAX = 200_000;

/** What was counted so far; other limits may be put on it. */
export class RateCounts {
  readonly requests: WindowCounter;
  readonly unpaid: WindowCounter;
  readonly paid: WindowCounter;
  readonly failures: WindowCounter;

  constructor(clock: Clock) {
    this.requests = new WindowCounter(clock);
    this.unpaid = new WindowCounter(clock);
    this.paid = new WindowCounter(clock);
    this.failures = new WindowCounter(clock);
  }
}

export function createRateLimits(
  options: RateLimitOptions,
  clock: Clock,
  counts = new RateCounts(clock),
): RateLimits {
  const { requests, unpaid, paid, failures } = counts;
  const refuse = (counter: WindowCounter, what: string): never => {
    throw new RateLimited(`Too many ${what} in this minute.`, counter.secondsLeft());
  };
  const limitOf = (payer: string): number => {
    if (payer.startsWith('key:')) return options.requestsPerMinute.key;
    return payer.startsWith('wallet:')
      ? options.requestsPerMinute.wallet
      : Number.POSITIVE_INFINITY;
  };
  return {
    request(address) {
      const subject = networkOf(address);
      if (failures.count(subject) >= options.failuresPerMinute) refuse(failures, 'failed requests');
      if (requests.add(subject) > options.requestsPerMinute.ip) refuse(requests, 'requests');
    },
    unpaid(address) {
      if (unpaid.add(networkOf(address)) > options.unpaidPerMinute)
        refuse(unpaid, 'unpaid requests');
    },
    admit(payer) {
      if (failures.count(payer) >= options.failuresPerMinute) refuse(failures, 'failed requests');
      if (paid.count(payer) >= limitOf(payer)) refuse(paid, 'paid requests');
    },
    paid(payer) {
      paid.add(payer);
    },
    failed(payer, address) {
      failures.add(payer);
      failures.add(networkOf(address));
    },
  };
}

/** Counts per subject within fixed one-minute windows. */
class WindowCounter {
  readonly #clock: Clock;
  #counts = new Map<string, number>();
  #startMs = Number.NEGATIVE_INFINITY;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  add(subject: string): number {
    this.#turn();
    const count = (this.#counts.get(subject) ?? 0) + 1;
    this.#counts.set(subject, count);
    return count;
  }

  count(subject: string): number {
    this.#turn();
    return this.#counts.get(subject) ?? 0;
  }

  secondsLeft(): number {
    return (this.#startMs + WINDOW_MS - this.#clock.now()) / 1000;
  }

  #turn(): void {
    const nowMs = this.#clock.now();
    if (
      nowMs - this.#startMs < WINDOW_MS &&
      nowMs >= this.#startMs &&
      this.#counts.size < SUBJECTS_MAX
    )
      return;
    this.#counts = new Map();
    this.#startMs = nowMs;
  }
}
