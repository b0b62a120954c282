/** WebSocket handshakes on `node:http`: the answer 101 and what follows it, or any other answer as it is. */

import type { IncomingMessage, Server } from 'node:http';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { TLSSocket } from 'node:tls';
import {
  type Answer,
  type Body,
  type Exchange,
  findHeader,
  isStream,
  type Remote,
  type Upgrade,
} from '../core/exchange.ts';
import { SocketBody, writeTo } from '../core/socket-body.ts';
import type { AnswerExchange } from '../request/answer-exchange.ts';
import { Notice } from '../request/notice.ts';
import type { compileRemoteOf } from './remote-of.ts';

/** An import would read every export of the module, and one of them loads node's fetch. */
const { ServerResponse } = process.getBuiltinModule('node:http');

export interface UpgradeOptions {
  readonly handle: AnswerExchange;
  readonly remoteOf: ReturnType<typeof compileRemoteOf>;
  /** A client that takes nothing of its answer for this long is gone. */
  readonly stallMs: number;
  /** Counts what runs on a connection. */
  readonly connections: {
    begin(socket: Socket): number;
    end(socket: Socket): void;
  };
}

export interface Upgrades {
  /** Tells all connections that the server stops. */
  stop(): void;
  /** Closes those that are still open. */
  destroy(): void;
}

/** A client has this long to answer the last close frame before it is cut off. */
const LINGER_MS = 2_000;

/** Whether a request asks for what is served here; any other switch may be ignored (RFC 9110 §7.8). */
export function isWebSocket({ headers, httpVersion }: IncomingMessage): boolean {
  return headers.upgrade?.trim().toLowerCase() === 'websocket' && httpVersion === '1.1';
}

export function serveUpgrades(server: Server, options: UpgradeOptions): Upgrades {
  const stopping = new Notice();
  const sockets = new Set<Duplex>();
  const { connections } = options;
  server.on('upgrade', (request: IncomingMessage, socket: Duplex, head: Buffer) => {
    const running = connections.begin(request.socket);
    sockets.add(socket);
    // It is told to whoever reads or writes.
    socket.on('error', () => {});
    socket.on('close', () => {
      sockets.delete(socket);
      connections.end(request.socket);
    });
    // Pipelined behind a request that is not answered yet: its answer would end up among the frames.
    if (running > 1) return void socket.destroy();
    // What may be left of the time-out between two requests.
    request.socket.setTimeout(0);
    // Sent too early, but kept until the switch: no upstream sees it before.
    if (head.length > 0) socket.unshift(head);
    const exchange = new UpgradeExchange(request, socket, stopping, options.remoteOf);
    void answer(request, socket, exchange, options);
  });
  return {
    stop: () => stopping.abort(),
    destroy: () => {
      for (const socket of sockets) socket.destroy();
    },
  };
}

/** Never throws. */
async function answer(
  request: IncomingMessage,
  socket: Duplex,
  exchange: UpgradeExchange,
  { handle, stallMs }: UpgradeOptions,
): Promise<void> {
  try {
    const given = await handle(exchange);
    const { status, body } = given;
    if (status === 101 && isStream(body))
      await writeSwitched(socket, { ...given, body }, exchange.frames);
    else await writeRefusal(request, socket, given, exchange.frames, stallMs);
  } catch {
    socket.destroy();
  }
}

async function writeSwitched(
  socket: Duplex,
  { headers, body }: Answer & { readonly body: Body },
  frames: SocketBody,
): Promise<void> {
  const chunks = body[Symbol.asyncIterator]();
  // However it ends, and even if it never begins: the money of a connection waits for its reader.
  const leave = (): void => void chunks.return?.().catch(() => {});
  socket.on('close', leave);
  if (socket.destroyed) return void leave();
  try {
    await writeTo(socket, headOf(headers));
    while (!socket.destroyed) {
      const next = await chunks.next();
      if (next.done) break;
      await writeTo(socket, next.value);
    }
  } finally {
    await chunks.return?.().catch(() => {});
    await hangUp(socket, frames);
  }
}

/** Ends our side and throws away what still comes: a close in the middle of it could lose our last frame. */
async function hangUp(socket: Duplex, frames: SocketBody): Promise<void> {
  if (socket.destroyed) return;
  await frames.return();
  socket.resume();
  const timer = setTimeout(() => socket.destroy(), LINGER_MS);
  socket.on('close', () => clearTimeout(timer));
  socket.on('end', () => socket.destroy());
  if (socket.readableEnded) socket.end(() => socket.destroy());
  else socket.end();
}

function headOf(headers: readonly string[]): Buffer {
  let text = 'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n';
  for (let i = 0; i + 1 < headers.length; i += 2) text += `${headers[i]}: ${headers[i + 1]}\r\n`;
  // A header that came in passed a parser, so none can hold the end of its own line; this is for all others.
  if (text.split('\r\n').some((line) => /[\r\n]/.test(line)))
    throw new Error('a header has a line end');
  return Buffer.from(`${text}\r\n`, 'latin1');
}

/** Any other answer closes the connection: what the client sent too early is no request. */
async function writeRefusal(
  request: IncomingMessage,
  socket: Duplex,
  { status, headers, body }: Answer,
  frames: SocketBody,
  stallMs: number,
): Promise<void> {
  const response = new ServerResponse(request);
  response.shouldKeepAlive = false;
  response.assignSocket(socket as Socket);
  const timer = setTimeout(() => socket.destroy(), stallMs);
  const isSized = isStream(body) || findHeader(headers, 'content-length') !== undefined;
  const length = ['Content-Length', String(isStream(body) ? 0 : (body?.length ?? 0))];
  response.writeHead(status, isSized ? [...headers] : [...headers, ...length]);
  try {
    await pipeline(isStream(body) ? body : body === null ? [] : [body], response);
  } finally {
    clearTimeout(timer);
  }
  response.detachSocket(socket as Socket);
  await hangUp(socket, frames);
}

class UpgradeExchange implements Exchange, Upgrade {
  readonly method: string;
  readonly target: string;
  readonly headers: readonly string[];
  readonly body = null;
  readonly remote: Remote;
  readonly signal = new Notice();
  readonly stopping: Notice;
  readonly frames: SocketBody;
  readonly #request: IncomingMessage;
  readonly #socket: Duplex;

  constructor(
    request: IncomingMessage,
    socket: Duplex,
    stopping: Notice,
    remoteOf: ReturnType<typeof compileRemoteOf>,
  ) {
    this.#request = request;
    this.#socket = socket;
    this.method = request.method ?? 'GET';
    this.target = request.url ?? '/';
    this.headers = request.rawHeaders;
    this.stopping = stopping;
    this.frames = new SocketBody(socket);
    this.remote = remoteOf({
      socketAddress: request.socket.remoteAddress ?? '',
      encrypted: (request.socket as TLSSocket).encrypted === true,
      header: (name) => this.header(name),
    });
    // A client that ends its side before anything was answered is gone.
    for (const event of ['end', 'close']) socket.on(event, () => this.signal.abort());
  }

  get upgrade(): Upgrade {
    return this;
  }

  async collect(): Promise<Uint8Array> {
    return new Uint8Array(0);
  }

  header(name: string): string | undefined {
    const value = this.#request.headers[name];
    return Array.isArray(value) ? value.join(', ') : value;
  }

  breakOff(): void {
    this.#socket.destroy();
  }
}
