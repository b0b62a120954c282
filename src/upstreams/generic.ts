/** Any other API: units of the route's own, the upstream's compute, bytes and messages of its answer. */

import { findHeader } from '../core/exchange.ts';
import type { Dialect, DialectRequest, Meter } from '../core/ports/dialect.ts';
import type { Measured, Work } from '../core/work.ts';
import { CompressedMeter } from './compressed-meter.ts';
import type { DialectOptions } from './dialect-options.ts';
import { bufferOf, parse } from './event-meter.ts';
import { EventStream } from './event-stream.ts';
import { JsonScan } from './json-scan.ts';
import { isObject, JsonText } from './json-text.ts';
import type { AnswerHead } from './meters.ts';
import { valueReader } from './read-fields.ts';
import { unitsOf } from './stated-usage.ts';

const MEMBER_BYTES_MAX = 64 * 1024;

export function genericDialect(options: DialectOptions): Dialect {
  return {
    read(request) {
      const work = new GenericWork(request, options);
      return {
        work,
        isProbe: false,
        body: request.body,
        meter: (head) => new GenericMeter(head, options),
      };
    },
  };
}

/** Reads the body only if a price asks for something in it. */
class GenericWork implements Work {
  readonly bounds: Work['bounds'];
  readonly value: Work['value'];
  readonly #request: DialectRequest;
  #body: unknown;

  constructor(request: DialectRequest, options: DialectOptions) {
    this.#request = request;
    const own = options.units.map(({ unit, max }) => [unit, max] as const);
    this.bounds = unitsOf({
      ...Object.fromEntries(own),
      ...compute(options.computeMsMax),
    });
    this.value = valueReader(request, () => this.#fields());
  }

  get model(): string | null {
    return this.value('body.model');
  }

  /** Null where it is no JSON. Throws RequestMalformed for JSON with a key that stands twice. */
  #fields(): unknown {
    if (this.#body !== undefined) return this.#body;
    const { headers, body } = this.#request;
    const type = findHeader(headers, 'content-type')?.toLowerCase() ?? '';
    const isJson = body.length > 0 && (type === '' || /[/+]json\b/.test(type));
    const isEncoded = findHeader(headers, 'content-encoding') !== undefined;
    const looksLikeJson =
      isJson && !isEncoded && /^\s*\{/.test(bufferOf(body).toString('latin1', 0, 64));
    this.#body = looksLikeJson ? new JsonText(body).value : null;
    return this.#body;
  }
}

function compute(ms: number | null): Record<string, number | null> {
  if (ms === null || !(ms >= 0)) return { computeMs: null };
  const computeMs = Math.min(Math.ceil(ms), Number.MAX_SAFE_INTEGER);
  return { computeMs, computeSeconds: Math.ceil(computeMs / 1000) };
}

class GenericMeter implements Meter {
  readonly #head: AnswerHead;
  readonly #options: DialectOptions;
  readonly #inner: BodyMeter | CompressedMeter | null;
  #bytes = 0;
  #endedAtMs: number | null = null;

  constructor(head: AnswerHead, options: DialectOptions) {
    this.#head = head;
    this.#options = options;
    const type = findHeader(head.headers, 'content-type')?.toLowerCase() ?? '';
    const encoding = findHeader(head.headers, 'content-encoding')?.trim().toLowerCase() ?? '';
    const plain = (): BodyMeter => new BodyMeter(type, options);
    this.#inner =
      encoding === '' || encoding === 'identity' ? plain() : new CompressedMeter(encoding, plain);
  }

  pass(chunk: Uint8Array): Uint8Array {
    this.#bytes += chunk.length;
    this.#inner?.pass(chunk);
    return chunk;
  }

  end(): null {
    this.#endedAtMs ??= this.#options.nowMs();
    return null;
  }

  measured(): Measured {
    const stated: Record<string, number> = {};
    const body = this.#inner?.measured().units ?? {};
    for (const { unit, header, json, max } of this.#options.units) {
      const text = header === null ? null : findHeader(this.#head.headers, header);
      const count = header === null ? json && body[unit] : countOf(text);
      if (typeof count === 'number') stated[unit] = Math.min(count, max);
    }
    const units = {
      ...unitsOf(compute(this.#computeMs())),
      bytesOut: this.#bytes,
      messages: body.messages ?? (this.#bytes > 0 ? 1 : 0),
      ...stated,
    };
    const isStated = this.#options.units.every(({ unit }) => Object.hasOwn(stated, unit));
    return { units, by: isStated ? 'upstream' : 'none' };
  }

  #computeMs(): number | null {
    const { computeMsHeader, computeMsMax, nowMs } = this.#options;
    const most = computeMsMax ?? Number.MAX_SAFE_INTEGER;
    if (computeMsHeader !== null) {
      const stated = countOf(findHeader(this.#head.headers, computeMsHeader));
      return stated === null ? null : Math.min(stated, most);
    }
    const { sentAtMs } = this.#head;
    if (sentAtMs === undefined) return null;
    return Math.min(Math.max(0, (this.#endedAtMs ?? nowMs()) - sentAtMs), most);
  }
}

/** Counts what a body holds: its events, and units of the route's own that stand in its JSON. */
class BodyMeter implements Meter {
  readonly #events: EventStream | null;
  readonly #scan: JsonScan | null;
  readonly #found: Record<string, number> = {};
  readonly #paths: readonly { readonly unit: string; readonly json: readonly string[] }[];
  #messages = 0;

  constructor(type: string, options: DialectOptions) {
    this.#paths = options.units.flatMap(({ unit, json }) => (json ? [{ unit, json }] : []));
    const isEvents = type.trimStart().startsWith('text/event-stream');
    this.#events = isEvents ? new EventStream(this.#sink(), false) : null;
    const roots = new Set(this.#paths.map(({ json }) => json.slice(0, 2).join('.')));
    const wanted = [...roots].map((path) => ({ path, bytesMax: MEMBER_BYTES_MAX }));
    this.#scan = !isEvents && wanted.length > 0 ? new JsonScan(wanted) : null;
  }

  pass(chunk: Uint8Array): Uint8Array {
    const bytes = bufferOf(chunk);
    if (this.#events) this.#events.pass(bytes);
    else this.#scan?.push(bytes, 0, bytes.length);
    return chunk;
  }

  end(): null {
    return null;
  }

  measured(): Measured {
    const units: Record<string, number> = { ...this.#found };
    if (this.#scan?.isJson)
      for (const { unit, json } of this.#paths) {
        const text = this.#scan.textOf(json.slice(0, 2).join('.'));
        const value = text === null ? null : parse(`{"in":${text}}`)?.in;
        const count = countOf(valueAt(value, json.slice(2)));
        if (count !== null) units[unit] = count;
      }
    if (this.#events) units.messages = this.#messages;
    return { units, by: 'upstream' };
  }

  #sink(): ConstructorParameters<typeof EventStream>[0] {
    return {
      onData: (bytes, from, to) => {
        this.#messages++;
        const event = this.#paths.length > 0 ? parse(bytes.toString('utf8', from, to)) : null;
        for (const { unit, json } of event === null ? [] : this.#paths) {
          const count = countOf(valueAt(event, json));
          if (count !== null) this.#found[unit] = count;
        }
        return false;
      },
      onHuge: (_bytes, _from, _to, isLast) => {
        if (isLast) this.#messages++;
      },
    };
  }
}

function valueAt(value: unknown, path: readonly string[]): unknown {
  let inner = value;
  for (const name of path)
    inner = isObject(inner) && Object.hasOwn(inner, name) ? inner[name] : null;
  return inner;
}

/** A number or its text, rounded up; null for what is no count. */
function countOf(value: unknown): number | null {
  const text = typeof value === 'string' && /^\d{1,15}(\.\d{1,15})?$/.test(value.trim());
  const number = text ? Number(value) : value;
  if (typeof number !== 'number' || !(number >= 0)) return null;
  const whole = Math.ceil(number);
  return Number.isSafeInteger(whole) ? whole : null;
}
