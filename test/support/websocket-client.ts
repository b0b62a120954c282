/** A WebSocket client on a bare socket, so that a test sees every byte and may do what no library would. */

import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import type { TestContext } from 'node:test';
import { type Frame, FrameParser, frame, MASK } from './websocket-frames.ts';

export const KEY = 'dGhlIHNhbXBsZSBub25jZQ==';

export interface WebSocketClient {
  readonly status: number;
  readonly headers: ReadonlyMap<string, string>;
  readonly socket: Socket;
  readonly frames: readonly Frame[];
  /** What an answer without a switch carried. */
  body(): Promise<string>;
  send(opcode: number, payload: string | Buffer): void;
  text(payload: string): void;
  /** Resolves with the nth frame that came, from 0. */
  frame(index: number): Promise<Frame>;
  /** The code and reason of the close frame that came, once the connection is over; null for none. */
  closed(): Promise<{ readonly code: number; readonly reason: string } | null>;
}

/** Sends a handshake with these headers over or beside the usual ones; null leaves one out. */
export async function openWebSocket(
  t: Pick<TestContext, 'after'>,
  url: string,
  headers: Readonly<Record<string, string | null>> = {},
  extra: { readonly method?: string; readonly early?: Buffer; readonly lines?: string } = {},
): Promise<WebSocketClient> {
  const { hostname, port, pathname, search } = new URL(url);
  const socket = connect(Number(port), hostname);
  socket.on('error', () => {});
  t.after(() => socket.destroy());
  await once(socket, 'connect');
  const all: Record<string, string | null> = {
    Host: `${hostname}:${port}`,
    Connection: 'Upgrade',
    Upgrade: 'websocket',
    'Sec-WebSocket-Key': KEY,
    'Sec-WebSocket-Version': '13',
    ...headers,
  };
  const lines = Object.entries(all).flatMap(([name, value]) =>
    value === null ? [] : [`${name}: ${value}\r\n`],
  );
  const head = `${extra.method ?? 'GET'} ${pathname}${search} HTTP/1.1\r\n${lines.join('')}${extra.lines ?? ''}\r\n`;
  socket.write(Buffer.concat([Buffer.from(head), extra.early ?? Buffer.alloc(0)]));
  return await answered(socket);
}

async function answered(socket: Socket): Promise<WebSocketClient> {
  const over = once(socket, 'close').then(() => {});
  const frames: Frame[] = [];
  const waiting = new Set<() => void>();
  let bytes = Buffer.alloc(0);
  let parser: FrameParser | null = null;
  let onHead = (): void => {};
  const head = new Promise<void>((resolve) => {
    onHead = resolve;
  });
  socket.on('data', (chunk: Buffer) => {
    if (parser !== null) return parser.push(chunk);
    bytes = Buffer.concat([bytes, chunk]);
    const end = bytes.indexOf('\r\n\r\n');
    if (end !== -1 && bytes.subarray(0, 13).toString() === 'HTTP/1.1 101 ') {
      parser = new FrameParser((one) => {
        frames.push(one);
        for (const check of waiting) check();
      });
      parser.push(bytes.subarray(end + 4));
    }
    if (end !== -1) onHead();
  });
  await Promise.race([head, over]);
  const text = bytes.toString('latin1');
  const [statusLine = '', ...lines] = (text.split('\r\n\r\n')[0] ?? '').split('\r\n');
  const headers = new Map(
    lines.map((line) => {
      const at = line.indexOf(':');
      return [line.slice(0, at).toLowerCase(), line.slice(at + 1).trim()] as const;
    }),
  );
  const send = (opcode: number, payload: string | Buffer): void =>
    void socket.write(frame(opcode, Buffer.from(payload), { mask: MASK }));
  return {
    ...{ headers, socket, frames, send },
    status: Number(statusLine.split(' ')[1] ?? 0),
    text: (payload) => send(1, payload),
    async body() {
      await over;
      return bytes.toString().split('\r\n\r\n').slice(1).join('\r\n\r\n');
    },
    frame: (index) =>
      new Promise((resolve, reject) => {
        const check = (): void => {
          const one = frames[index];
          if (one === undefined) return;
          waiting.delete(check);
          resolve(one);
        };
        waiting.add(check);
        check();
        void over.then(() => reject(new Error(`closed after ${frames.length} frames`)));
      }),
    async closed() {
      await over;
      const last = frames.find(({ opcode }) => opcode === 8);
      if (last === undefined) return null;
      const { payload } = last;
      const code = payload.length < 2 ? 1005 : payload.readUInt16BE(0);
      return { code, reason: payload.subarray(2).toString() };
    },
  };
}
