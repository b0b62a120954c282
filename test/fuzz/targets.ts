/** Every parser of outside input, and the time that each may take. */

import assert from 'node:assert/strict';
import type { Input, Target } from './target.ts';
import { LOCAL_TARGETS } from './targets-here.ts';
import { UPSTREAM_TARGETS } from './targets-upstreams.ts';
import { WIRE_TARGETS } from './targets-wire.ts';
import { X402_TARGETS } from './targets-x402.ts';

export const TARGETS: readonly Target[] = [
  ...WIRE_TARGETS,
  ...X402_TARGETS,
  ...LOCAL_TARGETS,
  ...UPSTREAM_TARGETS,
];

/** Inputs have at most some ten thousand characters: whoever takes this long would take for ever on more. */
const TIME_MAX_MS = 400;
/** A machine may be busy; the input is slow only if it is slow every time. */
const TRIES = 2;

/** The outcome of one input. Throws when the parser breaks its word, or takes too long. */
export async function checkInTime(target: Target, input: Input): Promise<string> {
  let tookMs = 0;
  for (let tries = 0; tries < TRIES; tries++) {
    const startedMs = performance.now();
    const outcome = await target.check(input);
    tookMs = performance.now() - startedMs;
    if (tookMs <= TIME_MAX_MS) return outcome;
  }
  assert.fail(`${target.name} took ${Math.round(tookMs)} ms`);
}
