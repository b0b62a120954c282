/**
 * Fails a test file that leaves sockets, servers, processes or timers open, where it would hang without a word.
 * Call `failOnLeaks()` at the top of the file, before the first test.
 */

import { afterEach, beforeEach } from 'node:test';

/** Longer than any hook of ours that opens or closes something between two tests. */
const QUIET_MS = 15_000;

export function failOnLeaks(quietMs: number = QUIET_MS): void {
  const before = process.getActiveResourcesInfo();
  let timer: NodeJS.Timeout | undefined;
  beforeEach(() => clearTimeout(timer));
  afterEach(() => {
    clearTimeout(timer);
    // Unreferenced: it fires only while something else keeps the process alive that no test needs any more.
    timer = setTimeout(() => {
      process.stderr.write(`left open: ${leaksSince(before).join(', ')}\n`);
      process.exit(1);
    }, quietMs).unref();
  });
}

/** The kinds of resources that keep the process alive now and did not before; the test runner's own pipes are older. */
function leaksSince(before: readonly string[]): string[] {
  const known = [...before];
  return process.getActiveResourcesInfo().filter((kind) => {
    const at = known.indexOf(kind);
    if (at >= 0) known.splice(at, 1);
    return at < 0;
  });
}
