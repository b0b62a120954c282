/** Serves a gateway on `node:http`: node's streams are mapped onto exchange and answer without copies. */

import { once } from 'node:events';
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';
import { type Body, collectBody, type Exchange, type Remote } from '../core/exchange.ts';
import type { AnswerExchange } from '../request/answer-exchange.ts';
import { Notice } from '../request/notice.ts';
import { compileRemoteOf, type RemoteOptions } from './remote-of.ts';
import { isWebSocket, serveUpgrades, type Upgrades } from './upgrade.ts';
import { writeAnswer } from './write-answer.ts';

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
    shouldUpgradeCallback: isWebSocket,
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
  const upgrades = serveUpgrades(server, {
    ...{ handle: gateway.handle, remoteOf, stallMs, connections },
  });
  server.listen(options.port, options.host);
  await once(server, 'listening');
  const { address, family, port } = server.address() as AddressInfo;
  const host = family === 'IPv6' ? `[${address}]` : address;
  return {
    url: `http://${host}:${port}`,
    close: (graceMs = 0) => closeServer(server, connections, upgrades, graceMs),
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

  begin(socket: Socket): number {
    const running = (this.#running.get(socket) ?? 0) + 1;
    this.#running.set(socket, running);
    return running;
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
  upgrades: Upgrades,
  graceMs: number,
): Promise<void> {
  const closed = once(server, 'close');
  server.close();
  connections.closeIdle();
  upgrades.stop();
  const timer = setTimeout(() => {
    server.closeAllConnections();
    upgrades.destroy();
  }, graceMs);
  await closed;
  clearTimeout(timer);
}

class NodeExchange implements Exchange {
  readonly method: string;
  readonly target: string;
  readonly headers: readonly string[];
  readonly body: Body | null;
  readonly remote: Remote;
  readonly signal = new Notice();
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

async function* afterContinue(request: IncomingMessage, response: ServerResponse): Body {
  response.writeContinue();
  yield* request;
}
