/**
 * A model that streams as fast as it is read, for almost no CPU: its answers are framed once and written as they are.
 * The path says what: `/events` 2,000 chat chunks of a token each, `/bytes` 16 MB in events of 16 KB, `/gigabyte`
 * 1 GB of them, `/paced` 200 tokens, 5 ms apart, `/first` 20 events, 5 ms apart, the first of which tells when it was written, `/slow` an event every
 * half a second, 20 times.
 */

import { once } from 'node:events';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { runProcess } from './run-process.ts';

export const TOKEN_EVENTS = 2_000;
export const LARGE_EVENTS = 1_024;
const LARGE_BYTES = 16_384;
const FIRST_EVENTS = 20;
const FIRST_PAUSE_MS = 5;
export const PACED_EVENTS = 200;
const PACED_PAUSE_MS = 5;
const SLOW_EVENTS = 20;
const SLOW_PAUSE_MS = 500;

const HEAD =
  'HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\nTransfer-Encoding: chunked\r\n\r\n';
const CHUNK = {
  ...{ id: 'chatcmpl-bench', object: 'chat.completion.chunk', created: 1_750_000_000 },
  ...{ model: 'gpt-4o-mini-2024-07-18', service_tier: 'default', system_fingerprint: 'fp_bench' },
};
const delta = (content: string): string =>
  eventOf({
    ...CHUNK,
    choices: [{ index: 0, delta: { content }, logprobs: null, finish_reason: null }],
  });
const END =
  eventOf({ ...CHUNK, choices: [], usage: { prompt_tokens: 20, completion_tokens: 2_000 } }) +
  frame('data: [DONE]\n\n') +
  '0\r\n\r\n';
const TOKEN = Buffer.from(delta(' token').repeat(100));
const LARGE = Buffer.from(delta('x'.repeat(LARGE_BYTES)).repeat(16));

function eventOf(data: object): string {
  return frame(`data: ${JSON.stringify(data)}\n\n`);
}

function frame(text: string): string {
  return `${Buffer.byteLength(text).toString(16)}\r\n${text}\r\n`;
}

runProcess(async () => {
  const sockets = new Set<Socket>();
  const server = createServer({ noDelay: true }, (socket) => {
    sockets.add(socket);
    socket.on('error', () => {}).on('close', () => sockets.delete(socket));
    let text = '';
    socket.setEncoding('latin1').on('data', (chunk) => {
      text += chunk;
      const head = text.indexOf('\r\n\r\n');
      if (head === -1) return;
      const length = Number(/content-length: *(\d+)/i.exec(text)?.[1] ?? 0);
      if (text.length < head + 4 + length) return;
      const path = text.slice(text.indexOf(' ') + 1, text.indexOf(' ', 5));
      text = '';
      void answer(socket, path);
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    async close() {
      server.close();
      for (const socket of sockets) socket.destroy();
    },
  };
});

async function answer(socket: Socket, path: string): Promise<void> {
  socket.write(HEAD);
  if (path.startsWith('/first')) await writeSlowly(socket, FIRST_EVENTS, FIRST_PAUSE_MS);
  else if (path.startsWith('/paced')) await writeSlowly(socket, PACED_EVENTS, PACED_PAUSE_MS);
  else if (path.startsWith('/slow')) await writeSlowly(socket, SLOW_EVENTS, SLOW_PAUSE_MS);
  else if (path.startsWith('/events')) await writeOften(socket, TOKEN, TOKEN_EVENTS / 100);
  else await writeOften(socket, LARGE, path.startsWith('/gigabyte') ? 3_840 : LARGE_EVENTS / 16);
  socket.write(END);
}

async function writeOften(socket: Socket, bytes: Buffer, times: number): Promise<void> {
  for (let time = 0; time < times && !socket.destroyed; time++)
    if (!socket.write(bytes)) await drained(socket);
}

function drained(socket: Socket): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      socket.off('drain', done).off('close', done);
      resolve();
    };
    socket.on('drain', done).on('close', done);
  });
}

/** The first event holds the time, in milliseconds of the machine's clock. */
async function writeSlowly(socket: Socket, events: number, pauseMs: number): Promise<void> {
  for (let event = 0; event < events && !socket.destroyed; event++) {
    await new Promise((resolve) => setTimeout(resolve, pauseMs));
    socket.write(
      delta(event === 0 ? `at=${performance.timeOrigin + performance.now()};` : ' token'),
    );
  }
}
