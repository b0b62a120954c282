/** The small languages inside config values. Each reads text and throws ScalarError with what to write instead. */

import { BlockList, isIP } from 'node:net';
import { z } from 'zod';
import { MoneyFormatError, parseUsd } from '../core/money.ts';
import { type Ratio, ratioOf } from '../core/ratio.ts';
import { Place } from '../pricing/price-problems.ts';
import { countOfText, readPercent } from '../pricing/read-amounts.ts';

export class ScalarError extends Error {
  override readonly name = 'ScalarError';
  readonly hint: string;
  constructor(message: string, hint: string) {
    super(message);
    this.hint = hint;
  }
}

/** Host and port to listen on. */
export interface Listen {
  readonly host: string;
  readonly port: number;
}

const DURATION_UNITS_MS: Readonly<Record<string, number>> = {
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
};
/** Timers hold at most 2^31 - 1 ms. */
const DURATION_MAX_MS = 24 * 86_400_000;

/** `500ms`, `30s`, `5m`, `1h`, `2d` in milliseconds, from 1 ms to 24 days. */
export function parseDuration(text: string): number {
  const match = /^(\d{1,10})(ms|s|m|h|d)$/.exec(text);
  const timeMs = Number(match?.[1]) * (DURATION_UNITS_MS[match?.[2] ?? ''] ?? Number.NaN);
  const hint = 'Write a whole number with its unit, such as 500ms, 30s or 5m.';
  if (Number.isNaN(timeMs)) throw new ScalarError(`"${text}" is not a duration`, hint);
  if (timeMs < 1 || timeMs > DURATION_MAX_MS)
    throw new ScalarError(`"${text}" is not between 1ms and 24d`, hint);
  return timeMs;
}

const SIZE_UNITS: Readonly<Record<string, number>> = {
  B: 1,
  KiB: 1024,
  MiB: 1024 ** 2,
  GiB: 1024 ** 3,
};
const SIZE_MAX = 1024 ** 3;

/** `64KiB`, `10MiB` or a plain number of bytes, at most 1 GiB. */
export function parseSize(value: string | number): number {
  const match = typeof value === 'number' ? null : /^(\d{1,10})(B|KiB|MiB|GiB)?$/.exec(value);
  const bytes =
    typeof value === 'number' ? value : Number(match?.[1]) * (SIZE_UNITS[match?.[2] ?? 'B'] ?? 1);
  const hint = 'Write bytes or a size of 1024s, such as 64KiB or 10MiB.';
  if (!Number.isInteger(bytes)) throw new ScalarError(`"${value}" is not a size`, hint);
  if (bytes < 0 || bytes > SIZE_MAX)
    throw new ScalarError(`"${value}" is not between 0 and 1GiB`, hint);
  return bytes;
}

/** `127.0.0.1:4020`, `[::1]:4020`, `localhost:4020`; port 0 takes any free one. */
export function parseListen(text: string): Listen {
  const match = /^(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9.-]+)):(\d{1,5})$/.exec(text);
  const host = match?.[1] ?? match?.[2] ?? '';
  const port = Number(match?.[3]);
  const hint = 'Write host and port, such as 127.0.0.1:4020 or "[::1]:4020".';
  if (!match || (match[1] !== undefined && isIP(host) !== 6))
    throw new ScalarError(`"${text}" is not an address to listen on`, hint);
  if (port > 65_535) throw new ScalarError(`${port} is not a port`, hint);
  return { host, port };
}

/** `10.0.0.0/8`, `fd00::/8`, or a single address; returned with its prefix length. */
export function parseCidr(text: string): string {
  const slash = text.indexOf('/');
  const address = slash < 0 ? text : text.slice(0, slash);
  const family = isIP(address);
  const bits = family === 6 ? 128 : 32;
  const prefix = slash < 0 ? String(bits) : text.slice(slash + 1);
  const hint = 'Write an address range, such as 10.0.0.0/8 or fd00::/8.';
  if (family === 0 || !/^\d{1,3}$/.test(prefix) || Number(prefix) > bits)
    throw new ScalarError(`"${text}" is not an address range`, hint);
  // The runtime is the judge of what it will later match against.
  new BlockList().addSubnet(address, Number(prefix), family === 6 ? 'ipv6' : 'ipv4');
  return `${address}/${Number(prefix)}`;
}

/** An http or https URL without credentials, query and fragment; returned without a trailing slash. */
export function parseHttpUrl(text: string): string {
  const hint = 'Write an absolute URL, such as https://api.example.com.';
  const url = URL.canParse(text) ? new URL(text) : null;
  if (!url || !/^https?:$/.test(url.protocol))
    throw new ScalarError('is not an http or https URL', hint);
  if (url.username !== '' || url.password !== '')
    throw new ScalarError(
      'has a user name or password in the URL',
      'Send credentials as a header of the upstream, such as authorization.',
    );
  if (/[?#]/.test(text)) throw new ScalarError('has a query or a fragment', hint);
  return url.origin + url.pathname.replace(/\/+$/, '');
}

/** As `parseHttpUrl`, and without a path: routes start at the root of the public host. */
export function parsePublicUrl(text: string): string {
  const url = parseHttpUrl(text);
  if (new URL(url).pathname !== '/')
    throw new ScalarError('has a path', `Write ${new URL(url).origin}.`);
  return url;
}

/** `*`, or the origin of a web page such as `https://app.example.com`. */
export function parseOrigin(text: string): string {
  if (text === '*') return text;
  if (!URL.canParse(text) || new URL(text).origin !== text)
    throw new ScalarError(`"${text}" is not an origin`, 'Write "*" or https://app.example.com.');
  return text;
}

/** `sqlite:FILE`. */
export function parseDatabase(text: string): string {
  if (/^postgres(ql)?:/.test(text))
    throw new ScalarError('Postgres is not available yet', 'Write sqlite:coinslot.db.');
  if (!/^sqlite:./.test(text) || text.includes('\0'))
    throw new ScalarError(
      'is not a database',
      'Write sqlite: and a file, such as sqlite:coinslot.db.',
    );
  return text;
}

/** `4096`, `8k`, `1M`: a whole number from 1 to a billion. */
export function parseCount(value: string | number): number {
  const count = countOfText(value);
  if (count === null || count < 1 || count > 1_000_000_000)
    throw new ScalarError(
      `"${value}" is not a whole number from 1 to a billion`,
      'Write for example 4096, 8k or 1M.',
    );
  return count;
}

/** `20%` as a fraction, up to 10000%. */
export function parsePercent(text: string): Ratio {
  const place = new Place();
  const ratio = readPercent(text, place, PERCENT_MAX);
  if (ratio !== null) return ratio;
  throw new ScalarError(place.problems[0]?.message ?? '', place.problems[0]?.hint ?? '');
}

const PERCENT_MAX = ratioOf(100n);

/** Turns a parser of text into a schema; `number` says why a bare number will not do. */
function textOf<T>(example: string, parse: (text: string) => T, number?: string) {
  return z
    .string({
      error: (issue) =>
        number !== undefined && typeof issue.input === 'number'
          ? `${number}\nWrite for example ${example}.`
          : undefined,
    })
    .meta({ examples: [example] })
    .transform(guarded(parse));
}

function guarded<I, O>(parse: (input: I) => O) {
  return (input: I, context: z.core.$RefinementCtx): O => {
    try {
      return parse(input);
    } catch (error) {
      context.addIssue({ code: 'custom', message: inTwoLines(error) });
      return z.NEVER;
    }
  };
}

/** The message and, on a second line, the hint of a known refusal; anything else is a bug and goes on. */
function inTwoLines(error: unknown): string {
  if (error instanceof ScalarError) return `${error.message.replaceAll('\n', ' ')}\n${error.hint}`;
  if (error instanceof MoneyFormatError)
    return `${error.message.replaceAll('\n', ' ')}\nWrite dollars, such as $0.05.`;
  throw error;
}

export const duration = (example: string) =>
  textOf(example, parseDuration, 'must be text with a unit, not a bare number');
export const usd = (example: string) =>
  textOf(example, parseUsd, 'must be dollars in text, not a bare number');
export const listenAddress = (example: string) => textOf(example, parseListen);
export const cidr = (example: string) => textOf(example, parseCidr);
export const httpUrl = (example: string) => textOf(example, parseHttpUrl);
export const publicUrl = (example: string) => textOf(example, parsePublicUrl);
export const origin = (example: string) => textOf(example, parseOrigin);
export const database = (example: string) => textOf(example, parseDatabase);
export const wholeNumber = (example: number) =>
  z
    .int()
    .min(1)
    .max(1_000_000_000)
    .meta({ examples: [example] });
export const unitCount = (example: string) =>
  z
    .union([z.string(), z.int()])
    .meta({ examples: [example] })
    .transform(guarded(parseCount));
export const percent = (example: string) => textOf(example, parsePercent);

/** Bytes between two limits. */
export function size(example: string, minimum: number) {
  return z
    .union([z.string(), z.int()])
    .meta({ examples: [example] })
    .transform(
      guarded((value: string | number) => {
        const bytes = parseSize(value);
        if (bytes >= minimum) return bytes;
        throw new ScalarError(`must be at least ${minimum} bytes`, `Write for example ${example}.`);
      }),
    );
}
