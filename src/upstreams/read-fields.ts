/** Fields of a request: each is what the API says it is, or the request is refused by its name. */

import { RequestMalformed } from '../core/errors.ts';
import { findHeader, type HeaderList } from '../core/exchange.ts';
import type { DialectRequest } from '../core/ports/dialect.ts';
import { isObject, type JsonObject } from './json-text.ts';

export function malformed(field: string, problem: string): RequestMalformed {
  return new RequestMalformed(`${field} ${problem}`);
}

/** A whole number; null where it is absent or null. */
export function wholeField(
  body: JsonObject,
  name: string,
  min: number,
  max: number,
): number | null {
  const value = body[name] ?? null;
  if (value === null) return null;
  if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < min)
    throw malformed(name, `must be a whole number of at least ${min}.`);
  if (value > max) throw malformed(name, `must be at most ${max}.`);
  return value;
}

export function textField(body: JsonObject, name: string): string | null {
  const value = body[name] ?? null;
  if (value === null || typeof value === 'string') return value;
  throw malformed(name, 'must be a text.');
}

export function flagField(body: JsonObject, name: string): boolean {
  const value = body[name] ?? false;
  if (typeof value === 'boolean') return value;
  throw malformed(name, 'must be true or false.');
}

/** The items of a field that may be absent, each an object. */
export function objectsField(body: JsonObject, name: string): readonly JsonObject[] {
  const value = body[name] ?? [];
  if (!Array.isArray(value)) throw malformed(name, 'must be a list.');
  for (const [at, item] of value.entries())
    if (!isObject(item)) throw malformed(`${name}[${at}]`, 'must be an object.');
  return value as readonly JsonObject[];
}

/** The model, which every one of these APIs needs. */
export function modelField(body: JsonObject): string {
  const model = textField(body, 'model');
  if (model === null || model === '') throw malformed('model', 'is missing.');
  return model;
}

/**
 * Refuses names that differ from a known one in nothing but case: some servers match names without regard to
 * it, so that `Max_Tokens` would overrule the `max_tokens` that was bounded.
 */
export function refuseLookalikes(body: JsonObject, known: ReadonlySet<string>): void {
  for (const name of Object.keys(body)) {
    if (known.has(name)) continue;
    const folded = name.toUpperCase().toLowerCase();
    if (known.has(folded)) throw malformed(name, `must be written ${folded}.`);
  }
}

/** Fields that make a request's cost unknowable, or dearer than its price knows; with why. */
export function refuseFields(
  body: JsonObject,
  refused: Readonly<Record<string, string>>,
  allow: readonly string[],
): void {
  for (const [name, why] of Object.entries(refused)) {
    const value = body[name] ?? false;
    const isAbsent = value === false || (Array.isArray(value) && value.length === 0);
    if (!isAbsent && !allow.includes(name)) throw malformed(name, `is not served here: ${why}.`);
  }
}

/** Refuses a body that could only be read by undoing an encoding. */
export function refuseEncoded(headers: HeaderList): void {
  const encoding = findHeader(headers, 'content-encoding')?.trim().toLowerCase() ?? '';
  if (encoding !== '' && encoding !== 'identity')
    throw malformed('Content-Encoding', 'must be left out: the body is read to bound its cost.');
}

/** Reads `body.a.b` (also `body.a.0`), `header.name` and `query.name`. */
export function valueReader(
  request: DialectRequest,
  body: () => unknown,
): (place: string) => string | null {
  return (place) => {
    const [kind, ...path] = place.split('.');
    const rest = path.join('.');
    if (kind === 'header') return findHeader(request.headers, rest.toLowerCase()) ?? null;
    if (kind === 'query') return new URLSearchParams(request.query).get(rest);
    if (kind !== 'body') return null;
    let value = body();
    for (const name of path) {
      if (typeof value !== 'object' || value === null || !Object.hasOwn(value, name)) return null;
      value = (value as JsonObject)[name];
    }
    return ['string', 'number', 'boolean'].includes(typeof value) ? String(value) : null;
  };
}
