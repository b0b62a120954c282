/**
 * A real HTTP server that misbehaves on demand; the path says how:
 *
 *     /echo            200, JSON of method, url, headers and body
 *     /status/404      that status, JSON
 *     /empty           200 without a byte
 *     /large/100000    200, that many bytes
 *     /redirect        302
 *     /reset           closes the connection without an answer
 *     /half            begins an answer, then closes the connection
 *     /hang            never answers
 *     /gate            answers like /echo once `open()` was called
 *     /sse             an event stream of three events
 *     /sse-gate        the first event at once, the rest once `open()` was called
 *     /sse-half        one event, then closes the connection
 *
 * `?pages=3` on any of them adds the header `x-pages: 3`.
 */

import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { TestContext } from 'node:test';

export interface TestUpstream {
  readonly url: string;
  /** How many requests the path (without query) has seen. */
  calls(path: string): number;
  /** Resolves once the path has seen that many requests. */
  seen(path: string, count: number): Promise<void>;
  /** Resolves once that many connections were closed by the other side before their answer was complete. */
  aborted(count: number): Promise<void>;
  /** Lets the gated answers go, those to come included. */
  open(): void;
}

export async function startUpstream(t: TestContext): Promise<TestUpstream> {
  const counts = new Map<string, number>();
  let abortedCount = 0;
  const waiting = new Set<() => void>();
  const changed = (): void => {
    for (const check of waiting) check();
  };
  let open = (): void => {};
  const gate = new Promise<void>((resolve) => {
    open = resolve;
  });
  const until = (condition: () => boolean): Promise<void> =>
    new Promise((resolve) => {
      const check = (): void => {
        if (!condition()) return;
        waiting.delete(check);
        resolve();
      };
      waiting.add(check);
      check();
    });
  const server = createServer((request, response) => {
    const path = (request.url ?? '/').split('?')[0] as string;
    const pages = /[?&]pages=(\d+)/.exec(request.url ?? '')?.[1];
    if (pages !== undefined) response.setHeader('x-pages', pages);
    counts.set(path, (counts.get(path) ?? 0) + 1);
    changed();
    response.on('close', () => {
      if (response.writableFinished) return;
      abortedCount += 1;
      changed();
    });
    void answer(path, request, response, gate).catch(() => response.destroy());
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(async () => {
    open();
    server.closeAllConnections();
    server.close();
    await once(server, 'close');
  });
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    calls: (path) => counts.get(path) ?? 0,
    seen: (path, count) => until(() => (counts.get(path) ?? 0) >= count),
    aborted: (count) => until(() => abortedCount >= count),
    open,
  };
}

async function answer(
  path: string,
  request: IncomingMessage,
  response: ServerResponse,
  gate: Promise<void>,
): Promise<void> {
  const [, kind, argument] = path.split('/');
  if (kind === 'hang') return;
  if (kind === 'reset') return void request.socket.destroy();
  if (kind === 'half') {
    response.write('{"begun":');
    return void setImmediate(() => response.destroy());
  }
  if (kind?.startsWith('sse')) return await events(kind, response, gate);
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk);
  if (kind === 'gate') await gate;
  if (kind === 'empty') return void response.end();
  if (kind === 'large') return void response.end(Buffer.alloc(Number(argument), 'x'));
  if (kind === 'redirect') return void response.writeHead(302, { location: '/elsewhere' }).end();
  const status = kind === 'status' ? Number(argument) : 200;
  response.writeHead(status, { 'content-type': 'application/json' });
  const { method, url, headers } = request;
  response.end(JSON.stringify({ method, url, headers, body: Buffer.concat(chunks).toString() }));
}

async function events(kind: string, response: ServerResponse, gate: Promise<void>): Promise<void> {
  response.writeHead(200, { 'content-type': 'text/event-stream' });
  response.write('data: 1\n\n');
  if (kind === 'sse-half') return void setImmediate(() => response.destroy());
  if (kind === 'sse-gate') await gate;
  response.write('data: 2\n\n');
  response.end('data: [DONE]\n\n');
}
