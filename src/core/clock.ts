/** Time is passed in, so that a test can skew it. */
export interface Clock {
  /** Milliseconds since the Unix epoch. */
  now(): number;
}

export const systemClock: Clock = { now: () => Date.now() };

/** The UTC day of a time, `2026-11-21`: the period of free quotas and daily caps. */
export function utcDay(timeMs: number): string {
  return new Date(timeMs).toISOString().slice(0, 10);
}

/** When the UTC day of `timeMs` ends, in milliseconds. */
export function utcDayEndMs(timeMs: number): number {
  const dayMs = 86_400_000;
  return (Math.floor(timeMs / dayMs) + 1) * dayMs;
}
