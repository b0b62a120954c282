/** Time is passed in, so that a test can skew it. */
export interface Clock {
  /** Milliseconds since the Unix epoch. */
  now(): number;
}

export const systemClock: Clock = { now: () => Date.now() };

const DAY_MS = 86_400_000;

/** The last day that was asked for: every request asks, and the answer changes once a day. */
let named = { number: Number.NaN, text: '' };

/** The UTC day of a time, `2026-11-21`: the period of free quotas and daily caps. */
export function utcDay(timeMs: number): string {
  const number = Math.floor(timeMs / DAY_MS);
  if (number !== named.number)
    named = { number, text: new Date(timeMs).toISOString().slice(0, 10) };
  return named.text;
}

/** When the UTC day of `timeMs` ends, in milliseconds. */
export function utcDayEndMs(timeMs: number): number {
  return (Math.floor(timeMs / DAY_MS) + 1) * DAY_MS;
}
