/** Puts together what a dialect found out about a request. */

import type { DialectRequest, Reading } from '../core/ports/dialect.ts';
import type { Units, Work } from '../core/work.ts';
import type { MeterRules } from './meter-rules.ts';
import { meterFor, PASSING_METER } from './meters.ts';
import { valueReader } from './read-fields.ts';

/** An empty body: it asks for the price only, and says nothing but what its headers do. */
export function probeReading(request: DialectRequest, bounds: Units): Reading {
  const work: Work = { model: null, bounds, value: valueReader(request, () => null) };
  return { work, isProbe: true, body: request.body, meter: () => PASSING_METER };
}

export interface Found {
  readonly model: string | null;
  /** What `body.…` is looked up in. */
  readonly fields: unknown;
  readonly body: Uint8Array;
  readonly rules: MeterRules;
  readonly streams: boolean;
  /** Whether events that only the gateway asked for are to be hidden. */
  readonly hides: boolean;
}

export function readingOf(request: DialectRequest, found: Found): Reading {
  const work: Work = {
    model: found.model,
    bounds: found.rules.bounds,
    value: valueReader(request, () => found.fields),
  };
  return {
    work,
    isProbe: false,
    body: found.body,
    meter: (head) => meterFor(head, found.rules, found),
  };
}
