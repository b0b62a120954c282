/** The request that `pay` and `inspect` send, from the arguments of the command line. */

import { readFile } from 'node:fs/promises';
import { buffer } from 'node:stream/consumers';
import type { Command } from 'commander';
import { CommandFailed } from './command-failed.ts';
import { EXIT, type ExitCode } from './exit-codes.ts';

export interface RequestFlags {
  readonly data?: string;
  readonly header?: readonly string[];
}

export interface RequestArguments {
  readonly method: string;
  readonly url: string;
  readonly headers: Headers;
  readonly body: Uint8Array<ArrayBuffer> | null;
}

/** Adds `-d` and `-H`. */
export function withRequestOptions(command: Command): Command {
  return command
    .option('-d, --data <body>', 'request body; @file reads a file, @- reads stdin')
    .option(
      '-H, --header <line>',
      "request header 'Name: value'; may be repeated",
      (line: string, lines: readonly string[] = []) => [...lines, line],
    );
}

/**
 * Reads `[METHOD] URL`, in either order. The method is GET, and POST with a body; a body that is
 * JSON is sent as such unless a header says otherwise. Throws CommandFailed with `usageExit`.
 */
export async function readRequestArguments(
  words: readonly string[],
  flags: RequestFlags,
  usageExit: ExitCode,
): Promise<RequestArguments> {
  const usage = (message: string) =>
    new CommandFailed('usage', message, 'See coinslot <command> --help.', usageExit);
  const url = words.find((word) => /^https?:\/\//i.test(word) && URL.canParse(word));
  if (url === undefined || words.length > 2)
    throw usage('Name one URL that starts with http:// or https://, and at most one method.');
  const named = words.find((word) => word !== url);
  if (named !== undefined && !/^[A-Za-z]{1,20}$/.test(named))
    throw usage(`"${named}" is not an HTTP method.`);
  const headers = readHeaders(flags.header ?? [], usage);
  const body = flags.data === undefined ? null : await readData(flags.data, usage);
  if (body !== null && !headers.has('content-type') && isJson(body))
    headers.set('content-type', 'application/json');
  const method = named?.toUpperCase() ?? (body === null ? 'GET' : 'POST');
  if (body !== null && (method === 'GET' || method === 'HEAD'))
    throw usage(`${method} can't have a body.`);
  return { method, url, headers, body };
}

/** The same request as arguments of another command, quoted for a shell. */
export function requestWords(words: readonly string[], flags: RequestFlags): string {
  const parts = [...words];
  if (flags.data !== undefined) parts.push('-d', flags.data);
  return parts.map(shellQuote).join(' ');
}

/** A word that a POSIX shell reads as it is. */
export function shellQuote(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;
}

type Usage = (message: string) => CommandFailed;

function readHeaders(lines: readonly string[], usage: Usage): Headers {
  const headers = new Headers();
  for (const line of lines) {
    const colon = line.indexOf(':');
    try {
      if (colon < 1) throw new TypeError('no colon');
      headers.append(line.slice(0, colon).trim(), line.slice(colon + 1).trim());
    } catch {
      // Only the name is repeated: the value may be a secret.
      const name = colon < 1 ? line : line.slice(0, colon);
      throw usage(`The header "${name}" is not written as 'Name: value'.`);
    }
  }
  return headers;
}

async function readData(data: string, usage: Usage): Promise<Uint8Array<ArrayBuffer>> {
  if (!data.startsWith('@')) return new TextEncoder().encode(data);
  if (data === '@-') return new Uint8Array(await buffer(process.stdin));
  try {
    return new Uint8Array(await readFile(data.slice(1)));
  } catch (error) {
    throw usage(error instanceof Error ? error.message : String(error));
  }
}

function isJson(body: Uint8Array): boolean {
  try {
    JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(body));
    return true;
  } catch {
    return false;
  }
}

/** A network failure of fetch in words: `fetch failed` alone says nothing. */
export function unreachable(url: string, error: unknown): CommandFailed {
  const { origin } = new URL(url);
  const hint = 'Check the address, and that the server is up.';
  return new CommandFailed('unreachable', `${origin}: ${causeOf(error)}`, hint, EXIT.failed);
}

/** Why a request or an answer failed, in the words of the innermost cause that has some. */
export function causeOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const { cause } = error;
  if (!(cause instanceof Error)) return error.message;
  const code = (cause as NodeJS.ErrnoException).code;
  return cause.message === '' ? (code ?? error.message) : cause.message;
}

/** A stranger's text for a terminal: bounded, in one line, without control characters. */
export function printable(text: string, charsMax = 200): string {
  const plain = text.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, '?');
  return plain.length > charsMax ? `${plain.slice(0, charsMax)}…` : plain;
}
