/**
 * Paths have one normal form, made once before matching; the upstream gets exactly what was matched.
 * Source: RFC 3986 §6.2.2 (case, percent-encoding and path-segment normalisation).
 */

import { RequestMalformed } from './errors.ts';

export interface Target {
  /** Normal form: starts with `/`, no empty, `.` or `..` segment, no trailing slash unless it is `/`. */
  readonly path: string;
  /** Raw query without the `?`; empty when there is none. */
  readonly query: string;
}

const PLAIN = /^(?:\/[A-Za-z0-9_~!$&'()*+,;=:@-]+)+$/;
const ALLOWED = /^[A-Za-z0-9._~!$&'()*+,;=:@%/-]*$/;
const QUERY_ALLOWED = /^[\x21\x22\x24-\x7e]*$/;
const UNRESERVED = /[A-Za-z0-9._~-]/;

/** Splits a request target (origin-form or absolute-form) and normalises its path; throws RequestMalformed. */
export function parseTarget(target: string): Target {
  const local = target.startsWith('/') ? target : stripOrigin(target);
  const mark = local.indexOf('?');
  const raw = mark < 0 ? local : local.slice(0, mark);
  const query = mark < 0 ? '' : local.slice(mark + 1);
  if (!QUERY_ALLOWED.test(query))
    throw new RequestMalformed('The query has a character that must be percent-encoded.');
  return { path: PLAIN.test(raw) ? raw : normalisePath(raw), query };
}

/** Absolute-form (RFC 9112 §3.2.2) is what proxies send; only its path matters here. */
function stripOrigin(target: string): string {
  const match = /^https?:\/\/[^/?#]*/i.exec(target);
  if (!match) throw new RequestMalformed('The request target must start with "/".');
  const rest = target.slice(match[0].length);
  return rest.startsWith('/') ? rest : `/${rest}`;
}

/** The normal form of a path; throws RequestMalformed on encodings that an upstream could read as another path. */
export function normalisePath(raw: string): string {
  if (!raw.startsWith('/')) throw new RequestMalformed('The path must start with "/".');
  if (!ALLOWED.test(raw))
    throw new RequestMalformed('The path has a character that must be percent-encoded.');
  const kept: string[] = [];
  for (const segment of raw.split('/')) {
    const clean = segment.includes('%') ? decodeUnreserved(segment) : segment;
    if (clean === '' || clean === '.') continue;
    // Servlet containers drop the parameters of a segment and then step back, into another route.
    if (/^\.{1,2}(?:;|%3B)/.test(clean))
      throw new RequestMalformed(`The path must not contain "${segment}".`);
    if (clean === '..') kept.pop();
    else kept.push(clean);
  }
  return `/${kept.join('/')}`;
}

/**
 * Decodes what RFC 3986 calls unreserved and writes the rest in upper case. An encoded slash, backslash
 * or control character is refused: upstreams disagree on what it means, and a route must mean one thing.
 */
function decodeUnreserved(segment: string): string {
  if (/%(?![0-9A-Fa-f]{2})/.test(segment))
    throw new RequestMalformed('The path has a bad percent-encoding.');
  return segment.replace(/%([0-9A-Fa-f]{2})/g, (encoded, hex: string) => {
    const code = Number.parseInt(hex, 16);
    if (code === 0x2f || code === 0x5c || code < 0x20 || code === 0x7f)
      throw new RequestMalformed(`The path must not contain ${encoded}.`);
    const character = String.fromCharCode(code);
    return UNRESERVED.test(character) ? character : encoded.toUpperCase();
  });
}
