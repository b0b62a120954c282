/**
 * A real upstream that speaks WebSocket (RFC 6455), written by hand so that it can misbehave; the path says how:
 *
 *     /echo            sends every data message back
 *     /send/5          five text messages of ten bytes at once, then waits
 *     /flood           binary messages of 64 KiB without end, as fast as they are taken
 *     /fragments       one message in three frames, a ping between them
 *     /huge/1000000    one binary message of that many bytes
 *     /half/1000       a frame that says it has that many bytes, and half of them
 *     /v1/realtime     a response with usage for every `response.create`
 *     /silent          takes everything, sends nothing, not even the answer to a close frame
 *     /leave           one message, then a close frame 4000 "bye"
 *     /drop            one message, then no more connection
 *     /garbage         bytes that are no frame
 *     /refuse/403      that status, and no switch
 *     /plain           200, as if nothing had been asked for
 *     /accept          switches with another handshake's Sec-WebSocket-Accept
 *     /extension       switches with an extension
 *     /never           answers nothing
 */

import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Duplex } from 'node:stream';
import type { TestContext } from 'node:test';
import { type Frame, FrameParser, frame } from './websocket-frames.ts';

export interface WebSocketServer {
  readonly url: string;
  /** The heads of the handshakes that came. */
  readonly handshakes: readonly IncomingMessage[];
  /** Every frame that came, of all connections. */
  readonly received: readonly Frame[];
  /** Bytes that were sent on `/flood`. */
  readonly flooded: () => number;
  /** How many connections are open. */
  readonly open: () => number;
}

const GUID = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11';

export async function startWebSocketServer(t: TestContext): Promise<WebSocketServer> {
  const handshakes: IncomingMessage[] = [];
  const received: Frame[] = [];
  const sockets = new Set<Duplex>();
  let flooded = 0;
  const server = createServer((_request, response) => {
    response.end(JSON.stringify({ product: true }));
  });
  server.on('upgrade', (request: IncomingMessage, socket: Duplex) => {
    handshakes.push(request);
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
    socket.on('error', () => {});
    const path = (request.url ?? '').split('?')[0] ?? '';
    if (!answerHandshake(path, request, socket)) return;
    const parser = new FrameParser((one) => {
      received.push(one);
      conduct(path, one, socket);
    });
    socket.on('data', (chunk: Buffer) => parser.push(chunk));
    begin(path, socket, (bytes) => {
      flooded += bytes;
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(async () => {
    for (const socket of sockets) socket.destroy();
    server.closeAllConnections();
    server.close();
    await once(server, 'close');
  });
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    ...{ handshakes, received },
    flooded: () => flooded,
    open: () => sockets.size,
  };
}

/** True when it switched. */
function answerHandshake(path: string, request: IncomingMessage, socket: Duplex): boolean {
  const [, kind, argument] = path.split('/');
  if (kind === 'never') return false;
  if (kind === 'refuse' || kind === 'plain') {
    const body = JSON.stringify({ refused: true });
    const status = kind === 'plain' ? '200 OK' : `${argument} Refused`;
    socket.end(`HTTP/1.1 ${status}\r\nContent-Length: ${body.length}\r\n\r\n${body}`);
    return false;
  }
  const key = kind === 'accept' ? 'another' : request.headers['sec-websocket-key'];
  const accept = createHash('sha1').update(`${key}${GUID}`).digest('base64');
  const protocol = request.headers['sec-websocket-protocol']?.split(',')[0];
  socket.write(
    'HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n' +
      `Sec-WebSocket-Accept: ${accept}\r\nX-Own: kept\r\nPAYMENT-RESPONSE: forged\r\n` +
      (kind === 'extension' ? 'Sec-WebSocket-Extensions: permessage-deflate\r\n' : '') +
      (protocol === undefined ? '\r\n' : `Sec-WebSocket-Protocol: ${protocol}\r\n\r\n`),
  );
  return true;
}

function begin(path: string, socket: Duplex, sent: (bytes: number) => void): void {
  const [, kind, argument] = path.split('/');
  const text = (value: string): boolean => socket.write(frame(1, Buffer.from(value)));
  if (kind === 'send') for (let i = 0; i < Number(argument); i++) text('0123456789');
  if (kind === 'huge') socket.write(frame(2, Buffer.alloc(Number(argument), 7)));
  if (kind === 'half') {
    const whole = frame(2, Buffer.alloc(Number(argument), 7));
    socket.write(whole.subarray(0, whole.length - Number(argument) / 2));
  }
  if (kind === 'garbage') socket.write(Buffer.from([0xf1, 0x85, 1, 2, 3, 4, 5]));
  if (kind === 'leave') {
    text('hello');
    const body = Buffer.concat([Buffer.from([0x0f, 0xa0]), Buffer.from('bye')]);
    socket.write(frame(8, body));
  }
  if (kind === 'drop') {
    text('hello');
    setImmediate(() => socket.destroy());
  }
  if (kind === 'fragments') {
    socket.write(frame(1, Buffer.from('one '), { isLast: false }));
    socket.write(frame(9, Buffer.from('ping')));
    socket.write(frame(0, Buffer.from('two '), { isLast: false }));
    socket.write(frame(0, Buffer.from('three')));
  }
  if (kind === 'flood') flood(socket, sent);
}

function flood(socket: Duplex, sent: (bytes: number) => void): void {
  const message = frame(2, Buffer.alloc(65_536, 1));
  const go = (): void => {
    while (!socket.destroyed) {
      sent(message.length);
      if (!socket.write(message)) break;
    }
  };
  socket.on('drain', go);
  go();
}

function conduct(path: string, { opcode, payload }: Frame, socket: Duplex): void {
  const [, kind, second] = path.split('/');
  if (kind === 'silent' || kind === 'half') return;
  if (opcode === 8) return void socket.end(frame(8, payload));
  if (opcode === 9) socket.write(frame(10, payload));
  if (kind === 'echo' && opcode < 3) socket.write(frame(opcode, payload));
  if (second === 'realtime' && opcode === 1) realtime(payload, socket);
}

let responses = 0;

/** 10 tokens in and 4 out; with `stall` the response is never done. */
function realtime(payload: Buffer, socket: Duplex): void {
  const event = JSON.parse(payload.toString()) as { type: string; stall?: boolean };
  if (event.type !== 'response.create') return;
  const send = (value: object): boolean =>
    socket.write(frame(1, Buffer.from(JSON.stringify(value))));
  const id = `resp_${++responses}`;
  send({ type: 'response.created', response: { id, usage: null } });
  send({ type: 'response.output_text.delta', response_id: id, delta: 'x'.repeat(38) });
  if (event.stall) return;
  const usage = {
    ...{ total_tokens: 14, input_tokens: 10, output_tokens: 4 },
    input_token_details: { cached_tokens: 0, audio_tokens: 6 },
    output_token_details: { audio_tokens: 0 },
  };
  send({ type: 'response.done', response: { id, output: [{ usage: 'no' }], usage } });
}
