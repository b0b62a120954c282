/** Headers of x402: standard base64 of JSON. Reads what strangers send, so every size is bounded before it is parsed. */

export type JsonObject = Readonly<Record<string, unknown>>;

/** A header or body that is not what the x402 specification says; the message starts with the field's path. */
export class X402FormatError extends Error {
  override readonly name = 'X402FormatError';
  /** Path of the wrong field, such as `payload.authorization.value`; `header` when nothing inside can be read. */
  readonly field: string;
  constructor(field: string, problem: string) {
    super(`${field} ${problem}`);
    this.field = field;
  }
}

/** A credential is at most this many characters; the gateway's other limits assume it. */
export const CREDENTIAL_CHARS_MAX = 8 * 1024;
/** Offers carry descriptions and schemas, so a 402 header may be longer than a credential. */
export const OFFER_CHARS_MAX = 64 * 1024;
const DEPTH_MAX = 32;

/** Encodes a message as a header value: standard base64 of its JSON in UTF-8 (x402 v2, HTTP transport). */
export function encodeHeader(value: object): string {
  return encodeJson(JSON.stringify(value));
}

/** The same of a message that is JSON already. */
export function encodeJson(json: string): string {
  if (ASCII.test(json)) return btoa(json);
  const bytes = new TextEncoder().encode(json);
  let binary = '';
  for (const byte of bytes) binary += String.fromCharCode(byte);
  return btoa(binary);
}

/** The JSON object inside a header. Throws X402FormatError for anything that is not exactly that. */
export function decodeHeader(text: string, charsMax: number): JsonObject {
  if (text.length > charsMax)
    throw new X402FormatError('header', `is longer than ${charsMax} characters`);
  return parseMessage(decodeBase64(text), 'header');
}

/** The JSON object in a text, such as a body. Throws X402FormatError for anything else, deep nesting and doubled keys. */
export function parseMessage(json: string, field: 'header' | 'body'): JsonObject {
  const members = countWrittenMembers(json, field);
  let value: unknown;
  try {
    value = JSON.parse(json);
  } catch {
    throw new X402FormatError(field, 'is not JSON');
  }
  if (!isObject(value)) throw new X402FormatError(field, 'is not a JSON object');
  // JSON.parse keeps the last of two equal keys, other parsers the first: with duplicates, a proxy and
  // the gateway could each see another amount or payee in the same bytes.
  if (countParsedMembers(value) !== members)
    throw new X402FormatError(field, 'contains the same key twice in one object');
  return value;
}

export function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

const BASE64 = /^[A-Za-z0-9+/]+={0,2}$/;
// biome-ignore lint/suspicious/noControlCharactersInRegex: the whole of ASCII is meant.
const ASCII = /^[\x00-\x7f]*$/;

function decodeBase64(text: string): string {
  const padded = text.endsWith('=');
  if (!BASE64.test(text) || text.length % 4 === 1 || (padded && text.length % 4 !== 0))
    throw new X402FormatError('header', 'is not standard base64');
  const binary = atob(text);
  if (ASCII.test(binary)) return binary;
  const bytes = Uint8Array.from(binary, (char) => char.charCodeAt(0));
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw new X402FormatError('header', 'is not base64 of UTF-8');
  }
}

/** Counts the colons outside strings, one per member of an object, and refuses deep nesting before it is parsed. */
function countWrittenMembers(json: string, field: string): number {
  let members = 0;
  let depth = 0;
  for (let i = 0; i < json.length; i++) {
    const char = json[i];
    if (char === '"') {
      for (i++; i < json.length && json[i] !== '"'; i++) if (json[i] === '\\') i++;
    } else if (char === ':') {
      members++;
    } else if (char === '{' || char === '[') {
      if (++depth > DEPTH_MAX)
        throw new X402FormatError(field, `is nested more than ${DEPTH_MAX} deep`);
    } else if (char === '}' || char === ']') {
      depth--;
    }
  }
  return members;
}

function countParsedMembers(value: unknown): number {
  if (typeof value !== 'object' || value === null) return 0;
  let members = Array.isArray(value) ? 0 : Object.keys(value).length;
  for (const inner of Object.values(value)) members += countParsedMembers(inner);
  return members;
}
