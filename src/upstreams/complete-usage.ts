/** Adds to what was stated what has to be counted. */

import type { Measured } from '../core/work.ts';
import type { MeterRules } from './meter-rules.ts';
import { credible, type Stated } from './stated-usage.ts';

/** Zero is what servers state that do not count: there is a prompt, and maybe a text, to prove them wrong. */
const NEVER_NOTHING: ReadonlySet<string> = new Set(['inputTokens', 'outputTokens']);

/** `text` gives what the model wrote, as far as it passed; `tokensBeyond` what of it was not kept. */
export function completeUsage(
  stated: Stated,
  rules: MeterRules,
  text: () => string,
  tokensBeyond: number,
): Measured {
  const units: Record<string, number> = { ...credible(stated, rules.bounds) };
  const isStated = Object.keys(units).length > 0;
  let isCounted = false;
  for (const unit of rules.needed) {
    const isNothing = units[unit] === 0 && NEVER_NOTHING.has(unit);
    if (units[unit] !== undefined && !isNothing) continue;
    const count = rules.count(unit, text());
    if (count === null || (isNothing && count === 0)) continue;
    const all = count + (unit === 'outputTokens' ? tokensBeyond : 0);
    units[unit] = Math.min(all, rules.bounds[unit] ?? Number.MAX_SAFE_INTEGER);
    isCounted = true;
  }
  return { units, by: isCounted ? 'count' : isStated ? 'upstream' : 'none' };
}
