/** Reads the usage of an answer that is one JSON object, however long, while it passes by. */

import type { Meter } from '../core/ports/dialect.ts';
import type { Measured } from '../core/work.ts';
import { completeUsage } from './complete-usage.ts';
import { bufferOf, parse, scanned } from './event-meter.ts';
import { JsonScan } from './json-scan.ts';
import { isObject } from './json-text.ts';
import type { MeterRules } from './meter-rules.ts';
import { NOTHING } from './nothing-measured.ts';

const MEMBER_BYTES_MAX = 64 * 1024;
const TEXT_BYTES_MAX = 1024 * 1024;
const BYTES_PER_TOKEN = 4;

export class JsonMeter implements Meter {
  readonly #rules: MeterRules;
  readonly #scan: JsonScan;

  constructor(rules: MeterRules) {
    this.#rules = rules;
    const wanted = rules.members.map((path) => ({ path, bytesMax: MEMBER_BYTES_MAX }));
    const written = rules.written && { path: rules.written.member, bytesMax: TEXT_BYTES_MAX };
    this.#scan = new JsonScan(written ? [...wanted, written] : wanted, rules.listed?.member);
  }

  pass(chunk: Uint8Array): Uint8Array {
    this.#scan.push(bufferOf(chunk), 0, chunk.length);
    return chunk;
  }

  end(): null {
    return null;
  }

  measured(): Measured {
    const { listed, written, members } = this.#rules;
    if (!this.#scan.isJson) return NOTHING;
    const stated = { ...this.#rules.fold({}, scanned(this.#scan, members)) };
    if (listed && this.#scan.items !== null) stated[listed.unit] = this.#scan.items;
    if (written === null) return completeUsage(stated, this.#rules, () => '', 0);
    const json = this.#scan.textOf(written.member);
    if (Object.keys(stated).length === 0 && this.#scan.bytesOf(written.member) === 0)
      return NOTHING;
    // Too long to be kept, or cut off: what passed of it still counts.
    const beyond = json === null ? this.#scan.bytesOf(written.member) / BYTES_PER_TOKEN : 0;
    const text = (): string =>
      json === null ? '' : textIn(parse(`{"in":${json}}`), written.texts);
    return completeUsage(stated, this.#rules, text, Math.ceil(beyond));
  }
}

/** All texts under these names, wherever they stand. */
export function textIn(value: unknown, names: readonly string[]): string {
  let text = '';
  const pending: unknown[] = [value];
  for (let inner = pending.pop(); inner !== undefined; inner = pending.pop()) {
    if (Array.isArray(inner)) for (const item of inner) pending.push(item ?? null);
    else if (isObject(inner))
      for (const [name, item] of Object.entries(inner))
        if (typeof item !== 'string') pending.push(item ?? null);
        else if (names.includes(name)) text += item;
  }
  return text;
}
