/** Serves a gateway on `node:http`: node's streams are mapped onto exchange and answer without copies. */

import { once } from 'node:events';
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';
import {
  type Answer,
  type Body,
  collectBody,
  type Departure,
  type Exchange,
  findHeader,
  type HeaderList,
  isStream,
  type Remote,
} from '../core/exchange.ts';
import type { AnswerExchange } from '../request/answer-exchange.ts';
import { compileRemoteOf, type RemoteOptions } from './remote-of.ts';

/** An import would read every export of the module, and one of them loads node's fetch: 14 MB of memory for nothing. */
const { createServer } = process.getBuiltinModule('node:http');

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
  const connections = new Connections(server);
  const serve = (request: IncomingMessage, response: ServerResponse, waits: boolean): void => {
    const { socket } = request;
    connections.begin(socket);
    const exchange = new NodeExchange(request, response, remoteOf, waits);
    response.on('close', () => {
      if (!response.writableFinished) exchange.signal.abort();
      connections.end(socket);
    });
    gateway.handle(exchange).then((answer) => writeAnswer(response, answer, stallMs));
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
    close: (graceMs = 0) => closeServer(server, connections, graceMs),
  };
}

/**
 * How many requests run on each connection. Node's own closeIdleConnections passes over a connection on which
 * nothing, or half a request head, was sent: either would hold up a stop until its grace is over.
 */
class Connections {
  readonly #running = new Map<Socket, number>();
  #closing = false;

  constructor(server: Server) {
    server.on('connection', (socket: Socket) => {
      this.#running.set(socket, 0);
      socket.on('close', () => this.#running.delete(socket));
    });
  }

  begin(socket: Socket): void {
    this.#running.set(socket, (this.#running.get(socket) ?? 0) + 1);
  }

  end(socket: Socket): void {
    const running = this.#running.get(socket);
    if (running === undefined) return;
    this.#running.set(socket, running - 1);
    if (this.#closing && running === 1) socket.destroySoon();
  }

  /** Closes those on which nothing runs, now and as they become so. */
  closeIdle(): void {
    this.#closing = true;
    for (const [socket, running] of this.#running) if (running === 0) socket.destroySoon();
  }
}

async function closeServer(
  server: Server,
  connections: Connections,
  graceMs: number,
): Promise<void> {
  const closed = once(server, 'close');
  server.close();
  connections.closeIdle();
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
  readonly signal = new ClientDeparture();
  readonly #request: IncomingMessage;

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
      // A request that breaks off is closed as well; a listener for its error would only make node create one.
      request.on('close', () => {
        if (!request.complete) reject(new Error('the connection closed'));
      });
    });
  }

  header(name: string): string | undefined {
    const value = this.#request.headers[name];
    return Array.isArray(value) ? value.join(', ') : value;
  }
}

class ClientDeparture implements Departure {
  aborted = false;
  readonly #listeners = new Set<() => void>();

  addEventListener(_type: 'abort', listener: () => void): void {
    this.#listeners.add(listener);
  }

  removeEventListener(_type: 'abort', listener: () => void): void {
    this.#listeners.delete(listener);
  }

  abort(): void {
    this.aborted = true;
    for (const listener of this.#listeners) listener();
  }
}

async function* afterContinue(request: IncomingMessage, response: ServerResponse): Body {
  response.writeContinue();
  yield* request;
}

/** Never throws. */
function writeAnswer(response: ServerResponse, answer: Answer, stallMs: number): void {
  const { status, headers, body } = answer;
  if (isStream(body)) void writeStream(response, status, headers, body, stallMs);
  else writeWhole(response, status, headers, body);
}

/** A stream that breaks ends the connection, so that the client sees it is cut. Never throws. */
async function writeStream(
  response: ServerResponse,
  status: number,
  headers: HeaderList,
  body: Body,
  stallMs: number,
): Promise<void> {
  const chunks = body[Symbol.asyncIterator]();
  try {
    if (response.destroyed) return;
    writeHead(response, status, headers);
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
    await chunks.return?.().catch(() => {});
  }
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
