/** What a dialect tells a meter: where answers state their usage, and how to count where they don't. */

import type { Units } from '../core/work.ts';
import type { DeltaShape } from './delta-text.ts';
import type { JsonObject } from './json-text.ts';
import type { Stated } from './stated-usage.ts';

export interface MeterRules {
  /** Members, one or two deep, that `fold` needs of an answer or event that is too long to be parsed. */
  readonly members: readonly string[];
  /** What is known after an answer, or one event of it, given what was known before it. Never throws. */
  fold(stated: Stated, answer: JsonObject): Stated;
  /** Where events carry text; null: nothing is counted in streams. */
  readonly delta: DeltaShape | null;
  /** The member of a whole answer that holds what the model wrote, and how to find its text there. */
  readonly written: { readonly member: string; readonly texts: readonly string[] } | null;
  /** A list of a whole answer whose items are a unit of their own: `data` of images. */
  readonly listed: { readonly member: string; readonly unit: string } | null;
  /** Whether an event is only there because the gateway asked for it. */
  hides(event: JsonObject): boolean;
  /** The most of each unit; what is stated beyond is false. */
  readonly bounds: Units;
  /** Units that must be stated; those that are not are counted from what was asked and what passed. */
  readonly needed: readonly string[];
  /** Null where a needed unit cannot be counted. */
  count(unit: string, text: string): number | null;
}

/** Never hides anything. */
export const HIDES_NOTHING = (): boolean => false;
