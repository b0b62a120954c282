/**
 * The dialect of a path that many models serve: a request is read once for each model that may run it, since their
 * tokens, images and limits differ, and it is bounded by the largest of what they make of it.
 */

import type { Dialect, DialectRequest, Reading } from '../core/ports/dialect.ts';
import type { Units, Work } from '../core/work.ts';
import type { CandidateBodies } from './candidate-bodies.ts';
import type { DialectOptions } from './dialect-options.ts';
import { type DialectKind, dialectFor } from './index.ts';
import { isObject, type JsonObject, JsonText } from './json-text.ts';
import type { Candidate } from './models.ts';
import { malformed, modelField, refuseEncoded } from './read-fields.ts';

export interface ModelDialectOptions {
  /** In the order in which they are tried, at least one; throws what the client is told of an unknown model. */
  readonly resolve: (model: string, path: string) => readonly Candidate[];
  /** Input tokens that it takes at most; null where that is unknown. */
  readonly contextTokensOf: (candidate: Candidate) => number | null;
  readonly options: Partial<DialectOptions>;
  readonly bodies: CandidateBodies;
}

export function modelDialect(kind: DialectKind, models: ModelDialectOptions): Dialect {
  const plain = dialectFor('', kind, models.options);
  const known = new Map<number | null, Dialect>([[null, plain]]);
  const dialectWith = (contextTokensMax: number | null): Dialect => {
    const dialect =
      known.get(contextTokensMax) ?? dialectFor('', kind, { ...models.options, contextTokensMax });
    known.set(contextTokensMax, dialect);
    return dialect;
  };
  return {
    read(request) {
      if (request.body.length === 0) return probe(plain.read(request));
      refuseEncoded(request.headers);
      const value = objectOf(request.body);
      // What it is instead, a dialect says best.
      if (value === null) return plain.read(request);
      const asked = modelField(value);
      const candidates = models.resolve(asked, request.path);
      if (kind === 'anthropic-messages') refuseLongCache(value, models.options.allow ?? []);
      const readings = candidates.map((candidate) => {
        const body =
          asked === candidate.model ? request.body : renameModel(request.body, candidate.model);
        return dialectWith(models.contextTokensOf(candidate)).read({ ...request, body });
      });
      const [first] = readings;
      if (first === undefined) throw malformed('model', 'is not served here.');
      models.bodies.remember(
        first.body,
        candidates.map((candidate, at) => [candidate, readings[at]?.body ?? first.body]),
      );
      return together(asked, candidates, readings, first, request);
    },
  };
}

/** The same body, asking for another model. Throws RequestMalformed for what is no JSON object. */
export function renameModel(body: Uint8Array, model: string): Uint8Array {
  const text = new JsonText(body);
  if (text.value.model !== model) text.set(['model'], JSON.stringify(model));
  return text.toBytes();
}

/** Only looked at: each dialect reads the text itself, and refuses a key that stands twice. */
function objectOf(body: Uint8Array): JsonObject | null {
  try {
    const value: unknown = JSON.parse(
      Buffer.from(body.buffer, body.byteOffset, body.byteLength).toString('utf8'),
    );
    return isObject(value) ? value : null;
  } catch {
    return null;
  }
}

/** An empty body asks what any model may cost. */
function probe(reading: Reading): Reading {
  return {
    ...{ isProbe: reading.isProbe, body: reading.body },
    work: workOf(null, [], {}, reading.work),
    meter: (head) => reading.meter(head),
  };
}

function together(
  asked: string,
  candidates: readonly Candidate[],
  readings: readonly Reading[],
  first: Reading,
  request: DialectRequest,
): Reading {
  const bounds: Record<string, number> = {};
  for (const { work } of readings)
    for (const [unit, most] of Object.entries(work.bounds))
      bounds[unit] = Math.max(bounds[unit] ?? 0, most);
  const names = candidates.map(({ provider, model }) => `${provider}/${model}`);
  // A meter believes no more than its bounds: the widest one reads the answer, whoever gives it.
  const widest = readings.reduce((a, b) => (inputOf(b) > inputOf(a) ? b : a), first);
  return {
    ...{ isProbe: first.isProbe, body: first.body },
    work: workOf(asked, names, complete(bounds, request.body), first.work),
    meter: (head) => widest.meter(head),
  };
}

function inputOf({ work }: Reading): number {
  return work.bounds.inputTokens ?? 0;
}

function workOf(model: string | null, mayRun: readonly string[], bounds: Units, of: Work): Work {
  return { model, mayRun, bounds, value: (place) => of.value(place) };
}

/**
 * A unit that a dialect does not bound is one that its requests do not use: without that a price that names it would
 * hold its maximum for every call. Audio is among the tokens, in requests that speak of it.
 */
function complete(bounds: Units, body: Uint8Array): Units {
  const text = Buffer.from(body.buffer, body.byteOffset, body.byteLength);
  const mayHear = text.includes('audio') || text.includes('\\u');
  return {
    ...{ outputTokens: 0, webSearches: 0, audioSeconds: 0, cachedInputTokens: 0 },
    ...{ cacheWriteInputTokens: 0, reasoningTokens: 0 },
    inputAudioTokens: mayHear ? (bounds.inputTokens ?? 0) : 0,
    outputAudioTokens: mayHear ? (bounds.outputTokens ?? 0) : 0,
    ...bounds,
  };
}

/** Published prices have one for an hour in the cache; receipts have one unit for both. */
function refuseLongCache(value: unknown, allow: readonly string[]): void {
  if (allow.includes('cache_control.ttl')) return;
  if (Array.isArray(value)) for (const item of value) refuseLongCache(item, allow);
  else if (isObject(value))
    for (const [name, item] of Object.entries(value)) {
      if (name === 'cache_control' && isObject(item) && (item.ttl ?? '5m') !== '5m')
        throw malformed('cache_control.ttl', 'must be 5m: any other has a price of its own.');
      refuseLongCache(item, allow);
    }
}
