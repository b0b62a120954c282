/** Usage as an answer states it: every number is outside input, and counts only if it can be true. */

import type { Units } from '../core/work.ts';
import { isObject, type JsonObject } from './json-text.ts';

/** Units that the upstream stated; a unit that is missing was not stated, or not credibly. */
export type Stated = Units;

/** A count; null for what is none: negative, fractions, texts, numbers beyond 2^53. */
export function countIn(value: unknown, name: string): number | null {
  if (!isObject(value) || !Object.hasOwn(value, name)) return null;
  const count = value[name];
  return typeof count === 'number' && Number.isSafeInteger(count) && count >= 0 ? count : null;
}

/** Seconds, rounded up; null for what is no length of time. */
export function secondsIn(value: unknown, name: string): number | null {
  if (!isObject(value) || !Object.hasOwn(value, name)) return null;
  const seconds = value[name];
  if (typeof seconds !== 'number' || !(seconds >= 0)) return null;
  const whole = Math.ceil(seconds);
  return Number.isSafeInteger(whole) ? whole : null;
}

/** An object within an object; null where there is none. */
export function objectIn(value: unknown, ...names: string[]): JsonObject | null {
  let inner = value;
  for (const name of names) inner = isObject(inner) ? inner[name] : null;
  return isObject(inner) ? inner : null;
}

/** Without the units that were not stated. */
export function unitsOf(units: Readonly<Record<string, number | null>>): Units {
  const known: Record<string, number> = {};
  for (const [unit, count] of Object.entries(units)) if (count !== null) known[unit] = count;
  return known;
}

/** Room for what a chat template adds to an input whose bound was worked out from its text. */
const SLACK = 1_000;

/**
 * What was stated, as far as it can be true of a request with these bounds: up to twice its bound a count is
 * lowered to the bound, beyond that it is false and forgotten.
 */
export function credible(stated: Stated, bounds: Units): Units {
  const units: Record<string, number> = {};
  for (const [unit, count] of Object.entries(stated)) {
    const bound = Object.hasOwn(bounds, unit) ? bounds[unit] : undefined;
    if (bound === undefined || count <= bound) units[unit] = count;
    else if (count <= 2 * bound + SLACK) units[unit] = bound;
  }
  for (const [part, whole] of Object.entries(PARTS)) {
    const all = units[whole];
    const some = units[part];
    if (some !== undefined && all !== undefined && some > all) delete units[part];
  }
  return units;
}

/** Units that are among the units of another: cached input tokens are input tokens. */
export const PARTS: Readonly<Record<string, string>> = {
  cachedInputTokens: 'inputTokens',
  cacheWriteInputTokens: 'inputTokens',
  inputAudioTokens: 'inputTokens',
  inputImageTokens: 'inputTokens',
  reasoningTokens: 'outputTokens',
  outputAudioTokens: 'outputTokens',
};
