/** Routes as written become routes as compiled; what is wrong with their keys is found here. */

import { CoinslotError } from '../core/errors.ts';
import { normalisePath } from '../core/path.ts';
import type { Route, RouteUnit } from '../core/route.ts';
import { parsePrice } from '../pricing/parse-price.ts';
import { priceVersion } from './price-version.ts';
import type { ProblemList } from './problems.ts';
import { type ReadingOptions, readingOptions } from './reading-schema.ts';
import { ScalarError } from './scalars.ts';
import type { ParsedConfig } from './schema.ts';

/** A route of the config: what the request line needs, and what the offers may tell. */
export interface ConfiguredRoute extends Route {
  /** Terms of use for the offers; null when there are none. */
  readonly terms: string | null;
  readonly reading: ReadingOptions;
}

interface RouteKey {
  readonly method: string;
  readonly pattern: string;
}

const KEY_HINT = 'Write a method and a path, such as POST /summarize or GET /items/:id.';

/** Reads `METHOD /path`; throws ScalarError. */
export function parseRouteKey(key: string): RouteKey {
  const match = /^(\S+) (\S+)$/.exec(key);
  const method = match?.[1] ?? '';
  const pattern = match?.[2] ?? '';
  if (!match) throw new ScalarError('is not a method and a path', KEY_HINT);
  if (method !== '*' && !/^[A-Z]{1,20}$/.test(method))
    throw new ScalarError(
      `"${method}" is not a method`,
      /^[a-z]+$/i.test(method) ? `Write ${method.toUpperCase()} ${pattern}.` : KEY_HINT,
    );
  if (method === 'CONNECT' || method === 'TRACE')
    throw new ScalarError(`${method} cannot be proxied`, 'Use another method.');
  checkPattern(pattern);
  return { method, pattern };
}

/** Throws ScalarError unless the pattern is in the normal form that requests are matched in. */
function checkPattern(pattern: string): void {
  if (!pattern.startsWith('/'))
    throw new ScalarError('has a path that does not start with "/"', KEY_HINT);
  const normal = normalForm(pattern);
  if (normal !== pattern)
    throw new ScalarError('has a path that no request can match', `Write ${normal}.`);
  const segments = pattern.slice(1).split('/');
  if (segments[0] === '_pay')
    throw new ScalarError('uses /_pay, which belongs to the gateway', 'Choose another path.');
  segments.forEach((segment, index) => {
    if (segment.startsWith(':') && !/^:[A-Za-z_][A-Za-z0-9_]*$/.test(segment))
      throw new ScalarError(
        `"${segment}" is not a parameter`,
        'Write a colon and a name, such as :id, as a whole segment.',
      );
    if (segment.includes('*') && (segment !== '*' || index !== segments.length - 1))
      throw new ScalarError(
        'has a * that is not the whole last segment',
        'Write * only at the end, such as /files/*, or :name for one segment.',
      );
  });
}

function normalForm(pattern: string): string {
  try {
    return normalisePath(pattern);
  } catch (error) {
    if (!(error instanceof CoinslotError)) throw error;
    throw new ScalarError(
      `has a path that no request can match: ${error.message.replace(/\.$/, '')}`,
      'Write letters, digits and -._~, or %-encode the character.',
    );
  }
}

/** Routes of one shape match the same requests: parameters differ by name only. */
function shapeOf({ method, pattern }: RouteKey): string {
  return `${method} ${pattern.replace(/(?<=\/):[^/]+/g, ':')}`;
}

/** Adds every problem of the routes' keys: bad form, and two routes that match the same requests. */
export function checkRouteKeys(keys: readonly string[], problems: ProblemList): void {
  const byShape = new Map<string, string>();
  for (const key of keys) {
    try {
      const shape = shapeOf(parseRouteKey(key));
      const earlier = byShape.get(shape);
      if (earlier === undefined) byShape.set(shape, key);
      else
        problems.add(
          ['routes', key],
          `matches the same requests as ${earlier}`,
          'Remove one of the two.',
        );
    } catch (error) {
      if (!(error instanceof ScalarError)) throw error;
      problems.add(['routes', key], error.message, error.hint);
    }
  }
}

/** The checked routes in file order. */
export function compileConfiguredRoutes(routes: ParsedConfig['routes']): ConfiguredRoute[] {
  return Object.entries(routes).map(([id, route]) => {
    const units = Object.entries(route.units).map(
      ([unit, { header, json, max }]): RouteUnit => ({
        unit,
        header: header?.toLowerCase() ?? null,
        json: json?.split('.') ?? null,
        max,
      }),
    );
    const customUnits = Object.fromEntries(units.map(({ unit, max }) => [unit, max]));
    const price = parsePrice(route.price, { customUnits });
    return {
      id,
      ...parseRouteKey(id),
      upstream: route.upstream,
      price,
      priceVersion: priceVersion(price),
      description: route.description,
      timeoutMs: route.timeout,
      chargeOn: route.chargeOn,
      onAbort: route.onAbort,
      onBreak: route.onBreak,
      freeTier: route.free,
      units,
      missingUsage: route.missingUsage,
      outputTokensMax: route.maxOutputTokens,
      shadow: route.shadow,
      chargeMax: route.chargeMax,
      terms: route.terms ?? null,
      reading: readingOptions(route),
    };
  });
}
