/** Answers on `node:http`: whole, or as a stream that waits for its reader. */

import type { ServerResponse } from 'node:http';
import {
  type Answer,
  type Body,
  findHeader,
  type HeaderList,
  isStream,
  type Trailers,
} from '../core/exchange.ts';

/** Writes an answer; a client that reads nothing of a stream for `stallMs` is cut off. Never throws. */
export function writeAnswer(response: ServerResponse, answer: Answer, stallMs: number): void {
  const { status, headers, body } = answer;
  if (isStream(body)) void writeStream(response, { ...answer, body }, stallMs);
  else writeWhole(response, status, headers, body);
}

/** A stream that breaks ends the connection, so that the client sees it is cut. Never throws. */
async function writeStream(
  response: ServerResponse,
  { status, headers, body, ...answer }: Answer & { readonly body: Body },
  stallMs: number,
): Promise<void> {
  const chunks = body[Symbol.asyncIterator]();
  const trailers = carriesTrailers(response, status, headers) ? answer.trailers : undefined;
  let reader: Reader | null = null;
  try {
    if (response.destroyed) return;
    const announced = trailers ? [...headers, 'Trailer', trailers.names.join(', ')] : headers;
    writeHead(response, status, announced);
    while (!response.destroyed) {
      const next = await chunks.next();
      if (next.done) return endStream(response, trailers);
      if (response.write(next.value)) continue;
      reader ??= new Reader(response, stallMs);
      await reader.reads();
    }
  } catch {
    // The head still leaves: it names the payment that the client may want to look up.
    if (response.headersSent) response.flushHeaders();
    response.socket?.destroySoon();
  } finally {
    reader?.end();
    // However it ended, and even if it never began: the money of a stream waits for its reader.
    await chunks.return?.().catch(() => {});
  }
}

/** Only a chunked body can have something behind it, which HTTP/1.0 does not know (RFC 9112 §7.1.2). */
function carriesTrailers(response: ServerResponse, status: number, headers: HeaderList): boolean {
  const { req } = response;
  return (
    req.httpVersion === '1.1' &&
    req.method !== 'HEAD' &&
    ![204, 205, 304].includes(status) &&
    findHeader(headers, 'content-length') === undefined
  );
}

function endStream(response: ServerResponse, trailers: Trailers | undefined): void {
  const values = trailers?.values() ?? [];
  const pairs: [string, string][] = [];
  for (let i = 0; i + 1 < values.length; i += 2)
    pairs.push([values[i] as string, values[i + 1] as string]);
  if (pairs.length > 0) response.addTrailers(pairs);
  response.end();
}

function writeWhole(
  response: ServerResponse,
  status: number,
  headers: HeaderList,
  body: Uint8Array | null,
): void {
  if (response.destroyed) return;
  const sized =
    status === 204 || status === 304 || findHeader(headers, 'content-length') !== undefined;
  try {
    writeHead(
      response,
      status,
      sized ? headers : [...headers, 'Content-Length', String(body?.length ?? 0)],
    );
    response.end(body ?? undefined);
  } catch {
    // A header that node refuses to write.
    response.socket?.destroySoon();
  }
}

/** Node only reads the list, although its types would let it change it. */
function writeHead(response: ServerResponse, status: number, headers: HeaderList): void {
  response.writeHead(status, headers as string[]);
}

/** Waits until the client has read on; one that stalls would keep its hold and its place for ever. */
class Reader {
  readonly #response: ServerResponse;
  readonly #timer: NodeJS.Timeout;
  #resolve: (() => void) | null = null;

  constructor(response: ServerResponse, stallMs: number) {
    this.#response = response;
    this.#timer = setTimeout(() => {
      if (this.#resolve !== null) response.destroy();
    }, stallMs);
    response.on('drain', this.#readOn);
    response.on('close', this.#readOn);
  }

  async reads(): Promise<void> {
    if (this.#response.destroyed) return;
    this.#timer.refresh();
    await new Promise<void>((resolve) => {
      this.#resolve = resolve;
    });
  }

  end(): void {
    clearTimeout(this.#timer);
  }

  readonly #readOn = (): void => {
    this.#resolve?.();
    this.#resolve = null;
  };
}
