/** Whether a network can take payments now, known without making every request ask. */

import type { Clock } from '../../core/clock.ts';

export interface Liveness {
  /** Null when the network is live, else why it is not. Waits only when nothing recent is known. */
  problem(): Promise<string | null>;
  /** Something just failed: not live until a probe says so again. */
  report(problem: string): void;
}

/** A good answer this young is used without another probe. */
const FRESH_MS = 5_000;
/** An older one is used while a new probe runs; beyond this it is waited for. */
const STALE_MS = 60_000;
/** A network that is down is probed this often at most. */
const RETRY_MS = 1_000;

/** `probe` answers null or the problem; what it throws is a problem too. */
export function createLiveness(
  probe: () => Promise<string | null>,
  clock: Clock,
  onChange: (problem: string | null) => void,
): Liveness {
  let known: string | null = 'not probed yet';
  let probedAtMs = Number.NEGATIVE_INFINITY;
  let probing: Promise<string | null> | undefined;

  function learn(problem: string | null): void {
    if (problem !== known) onChange(problem);
    known = problem;
    probedAtMs = clock.now();
  }

  function refresh(): Promise<string | null> {
    probing ??= probe()
      .catch((error: unknown) => (error instanceof Error ? error.message : String(error)))
      .then((problem) => {
        learn(problem);
        probing = undefined;
        return problem;
      });
    return probing;
  }

  return {
    async problem() {
      // A clock that was set back makes every answer look young: then none of them counts.
      const ageMs = clock.now() - probedAtMs;
      const age = ageMs < 0 ? Number.POSITIVE_INFINITY : ageMs;
      if (known !== null) return age < RETRY_MS ? known : await refresh();
      if (age > STALE_MS) return await refresh();
      if (age > FRESH_MS) void refresh();
      return known;
    },
    report: learn,
  };
}
