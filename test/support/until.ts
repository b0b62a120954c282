/** Waits for what another process, a timer of the gateway or a chain brings about. */

import { setTimeout as pause } from 'node:timers/promises';

export interface UntilOptions {
  readonly timeoutMs?: number;
  readonly everyMs?: number;
  /** What is waited for, for the message of a failure. */
  readonly what?: string;
}

/** The first value of `look` that is neither null, undefined nor false. Throws when the time is up. */
export async function until<Value>(
  look: () => Promise<Value | null | undefined | false> | Value | null | undefined | false,
  { timeoutMs = 10_000, everyMs = 20, what = 'the condition' }: UntilOptions = {},
): Promise<Value> {
  const deadlineMs = performance.now() + timeoutMs;
  for (;;) {
    const value = await look();
    if (value !== null && value !== undefined && value !== false) return value;
    if (performance.now() > deadlineMs)
      throw new Error(`${what} did not come true within ${timeoutMs} ms`);
    await pause(everyMs);
  }
}
