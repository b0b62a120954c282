/** A request that is described in JSON instead of being sent: `{ method, path, headers, body }`. */

import { BodyTooLarge, RequestMalformed } from '../core/errors.ts';
import type { Exchange } from '../core/exchange.ts';

export interface DescribedRequest {
  /** As if it had been sent by whoever describes it. */
  readonly described: Exchange;
  readonly body: Uint8Array;
}

const FIELDS: ReadonlySet<string> = new Set(['method', 'path', 'headers', 'body']);
/** RFC 9110 §5.6.2. */
const TOKEN = /^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,256}$/;
// biome-ignore lint/suspicious/noControlCharactersInRegex: RFC 9110 §5.5 names them.
const HEADER_VALUE = /^[^\x00-\x08\x0a-\x1f\x7f]*$/;

/** Throws RequestMalformed, which names the field, and BodyTooLarge for what could not be sent either. */
export function readDescribedRequest(
  text: Uint8Array,
  { remote, signal }: Exchange,
  bytesMax: number,
): DescribedRequest {
  const fields = parse(text);
  for (const name of Object.keys(fields))
    if (!FIELDS.has(name))
      throw new RequestMalformed(
        `${shown(name)} is not a field; write method, path, headers, body.`,
      );
  const { method = 'POST', path } = fields;
  if (typeof method !== 'string' || !TOKEN.test(method))
    throw new RequestMalformed('method is not an HTTP method.');
  if (typeof path !== 'string' || !path.startsWith('/'))
    throw new RequestMalformed('path is not text that starts with a slash.');
  const headers = readHeaders(fields.headers);
  const body = readBody(fields.body);
  if (body.length > bytesMax) throw new BodyTooLarge(`The body is larger than ${bytesMax} bytes.`);
  const isJson = fields.body !== undefined && typeof fields.body !== 'string';
  if (isJson && !headers.has('content-type')) headers.set('content-type', 'application/json');
  const described: Exchange = {
    method: method.toUpperCase(),
    target: path,
    headers: [...headers].flat(),
    header: (name) => headers.get(name),
    body: null,
    collect: async () => body,
    ...{ remote, signal },
  };
  return { described, body };
}

function parse(text: Uint8Array): Readonly<Record<string, unknown>> {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(text));
  } catch {
    throw new RequestMalformed('The body is not JSON.');
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new RequestMalformed('The body is not a JSON object.');
  return value as Readonly<Record<string, unknown>>;
}

/** By their lower-case names; those that differ in case only are one. */
function readHeaders(value: unknown): Map<string, string> {
  const headers = new Map<string, string>();
  if (value === undefined) return headers;
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new RequestMalformed('headers is not an object of names and values.');
  for (const [written, text] of Object.entries(value)) {
    if (!TOKEN.test(written))
      throw new RequestMalformed(`headers has ${shown(written)}, which is not a header's name.`);
    if (typeof text !== 'string' || !HEADER_VALUE.test(text))
      throw new RequestMalformed(`headers.${written} is not text that a header can carry.`);
    const name = written.toLowerCase();
    const earlier = headers.get(name);
    headers.set(name, earlier === undefined ? text.trim() : `${earlier}, ${text.trim()}`);
  }
  return headers;
}

/** Text is sent as it is, any other value as its JSON. */
function readBody(value: unknown): Uint8Array {
  if (value === undefined) return new Uint8Array(0);
  if (typeof value === 'string') return Buffer.from(value);
  try {
    return Buffer.from(JSON.stringify(value));
  } catch (error) {
    // The parser takes any depth; its counterpart runs out of stack.
    if (!(error instanceof RangeError)) throw error;
    throw new RequestMalformed('body is nested too deep.');
  }
}

function shown(name: string): string {
  return JSON.stringify(name.slice(0, 64));
}
