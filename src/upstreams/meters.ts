/** Meters of an answer that passes by: none, a JSON body, an event stream, and any of them compressed. */

import { findHeader, type HeaderList } from '../core/exchange.ts';
import type { Meter } from '../core/ports/dialect.ts';
import { CompressedMeter } from './compressed-meter.ts';
import { EventMeter } from './event-meter.ts';
import { JsonMeter } from './json-meter.ts';
import type { MeterRules } from './meter-rules.ts';
import { NOTHING } from './nothing-measured.ts';

export interface AnswerHead {
  readonly status: number;
  readonly headers: HeaderList;
  readonly sentAtMs?: number;
}

/** Lets everything pass and knows nothing. */
export const PASSING_METER: Meter = {
  pass: (chunk) => chunk,
  end: () => null,
  measured: () => NOTHING,
};

/** The meter for an answer with this head; `streams` tells what was asked for, where the answer does not say it. */
export function meterFor(
  head: AnswerHead,
  rules: MeterRules,
  asked: { readonly streams: boolean; readonly hides: boolean },
): Meter {
  if (head.status < 200 || head.status > 299) return PASSING_METER;
  const type = findHeader(head.headers, 'content-type')?.toLowerCase() ?? '';
  const isEvents = type === '' ? asked.streams : type.trimStart().startsWith('text/event-stream');
  const plain = (hides: boolean): Meter =>
    isEvents ? new EventMeter(rules, hides) : new JsonMeter(rules);
  const encoding = findHeader(head.headers, 'content-encoding')?.trim().toLowerCase() ?? '';
  if (encoding === '' || encoding === 'identity') return plain(asked.hides);
  // What is compressed cannot lose an event: the one that nobody asked for stays in it.
  return new CompressedMeter(encoding, () => plain(false));
}
