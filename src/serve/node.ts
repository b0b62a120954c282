/** Serves a gateway on `node:http`: node's streams are mapped onto exchange and answer without copies. */

import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { TLSSocket } from 'node:tls';
import {
  type Answer,
  type Body,
  collectBody,
  type Exchange,
  findHeader,
  type HeaderList,
  isStream,
  type Remote,
} from '../core/exchange.ts';
import type { AnswerExchange } from '../request/answer-exchange.ts';
import { compileRemoteOf, type RemoteOptions } from './remote-of.ts';

export interface NodeServerOptions extends RemoteOptions {
  readonly host: string;
  /** 0 takes a free port. */
  readonly port: number;
  readonly headerBytes: number;
  /** A client must have sent its whole request by then. */
  readonly requestMs: number;
  /** A client that reads nothing of its answer for this long is gone; default 60 s. */
  readonly stallMs?: number;
}

const STALL_MS = 60_000;

export interface RunningServer {
  readonly url: string;
  /** Takes no new requests, lets the running ones end for at most `graceMs`, then closes all. */
  close(graceMs?: number): Promise<void>;
}

/** Rejects when the port is taken. */
export async function serveNode(
  gateway: { readonly handle: AnswerExchange },
  options: NodeServerOptions,
): Promise<RunningServer> {
  const remoteOf = compileRemoteOf(options);
  const { stallMs = STALL_MS } = options;
  const server = createServer({
    maxHeaderSize: options.headerBytes,
    headersTimeout: Math.min(options.requestMs, 15_000),
    requestTimeout: options.requestMs,
    connectionsCheckingInterval: 2_000,
    keepAliveTimeout: 65_000,
  });
  let closing = false;
  const serve = (request: IncomingMessage, response: ServerResponse, waits: boolean): void => {
    // A connection that is kept alive would otherwise outlive its last answer until the grace is over.
    response.on('close', () => closing && server.closeIdleConnections());
    const exchange = new NodeExchange(request, response, remoteOf, waits);
    void gateway.handle(exchange).then((answer) => writeAnswer(response, answer, stallMs));
  };
  server.on('request', (request, response) => serve(request, response, false));
  // The body is asked for only once the request is worth it, so an unpaid upload costs nobody bandwidth.
  server.on('checkContinue', (request, response) => serve(request, response, true));
  server.listen(options.port, options.host);
  await once(server, 'listening');
  const { address, family, port } = server.address() as AddressInfo;
  const host = family === 'IPv6' ? `[${address}]` : address;
  return {
    url: `http://${host}:${port}`,
    close(graceMs = 0) {
      closing = true;
      return closeServer(server, graceMs);
    },
  };
}

async function closeServer(server: Server, graceMs: number): Promise<void> {
  const closed = once(server, 'close');
  server.close();
  server.closeIdleConnections();
  const timer = setTimeout(() => server.closeAllConnections(), graceMs);
  await closed;
  clearTimeout(timer);
}

class NodeExchange implements Exchange {
  readonly method: string;
  readonly target: string;
  readonly headers: readonly string[];
  readonly body: Body | null;
  readonly remote: Remote;
  readonly #request: IncomingMessage;
  readonly #abort: AbortController;

  constructor(
    request: IncomingMessage,
    response: ServerResponse,
    remoteOf: ReturnType<typeof compileRemoteOf>,
    waitsForContinue: boolean,
  ) {
    this.#request = request;
    this.method = request.method ?? 'GET';
    this.target = request.url ?? '/';
    this.headers = request.rawHeaders;
    const { headers, socket } = request;
    const empty =
      headers['transfer-encoding'] === undefined && (headers['content-length'] ?? '0') === '0';
    this.body = empty ? null : waitsForContinue ? afterContinue(request, response) : request;
    this.remote = remoteOf({
      socketAddress: socket.remoteAddress ?? '',
      encrypted: (socket as TLSSocket).encrypted === true,
      header: (name) => this.header(name),
    });
    const abort = new AbortController();
    this.#abort = abort;
    response.on('close', () => {
      if (!response.writableFinished) abort.abort();
    });
  }

  /** By events: an async iterator costs several times as much, and most bodies are one chunk. */
  collect(bytesMax: number): Promise<Uint8Array | null> {
    if (this.body !== this.#request) return collectBody(this.body, bytesMax);
    const request = this.#request;
    return new Promise((resolve, reject) => {
      const chunks: Buffer[] = [];
      let bytes = 0;
      request.on('data', (chunk: Buffer) => {
        chunks.push(chunk);
        bytes += chunk.length;
        if (bytes <= bytesMax) return;
        request.removeAllListeners('data').pause();
        resolve(null);
      });
      request.on('end', () =>
        resolve(chunks.length === 1 ? (chunks[0] ?? null) : Buffer.concat(chunks)),
      );
      request.on('error', reject);
      request.on('close', () => reject(new Error('the connection closed')));
    });
  }

  get signal(): AbortSignal {
    return this.#abort.signal;
  }

  header(name: string): string | undefined {
    const value = this.#request.headers[name];
    return Array.isArray(value) ? value.join(', ') : value;
  }
}

async function* afterContinue(request: IncomingMessage, response: ServerResponse): Body {
  response.writeContinue();
  yield* request;
}

/** Writes head and body; a stream that breaks ends the connection, so that the client sees it is cut. Never throws. */
async function writeAnswer(
  response: ServerResponse,
  { status, headers, body }: Answer,
  stallMs: number,
): Promise<void> {
  const chunks = isStream(body) ? body[Symbol.asyncIterator]() : null;
  try {
    if (response.destroyed) return;
    if (chunks === null) return writeWhole(response, status, headers, body as Uint8Array | null);
    response.writeHead(status, [...headers]);
    while (!response.destroyed) {
      const next = await chunks.next();
      if (next.done) return void response.end();
      if (!response.write(next.value)) await drained(response, stallMs);
    }
  } catch {
    // The head still leaves: it names the payment that the client may want to look up.
    if (response.headersSent) response.flushHeaders();
    response.socket?.destroySoon();
  } finally {
    // However it ended, and even if it never began: the money of a stream waits for its reader.
    await chunks?.return?.().catch(() => {});
  }
}

function writeWhole(
  response: ServerResponse,
  status: number,
  headers: HeaderList,
  body: Uint8Array | null,
): void {
  const sized =
    status === 204 || status === 304 || findHeader(headers, 'content-length') !== undefined;
  response.writeHead(
    status,
    sized ? [...headers] : [...headers, 'Content-Length', String(body?.length ?? 0)],
  );
  response.end(body ?? undefined);
}

/** Waits until the client has read on; one that stalls would keep its hold and its place for ever. */
async function drained(response: ServerResponse, stallMs: number): Promise<void> {
  if (response.destroyed) return;
  await new Promise<void>((resolve) => {
    const timer = setTimeout(() => response.destroy(), stallMs);
    const done = (): void => {
      clearTimeout(timer);
      response.off('drain', done);
      response.off('close', done);
      resolve();
    };
    response.on('drain', done);
    response.on('close', done);
  });
}
