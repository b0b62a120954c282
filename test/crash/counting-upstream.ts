/** The API behind the gateway: counts how often each request body was worked on, and for which payment. */

import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';

export interface CountingUpstream {
  readonly url: string;
  /** How often a request with this body was worked on. */
  runs(body: string): number;
  /** The body that a payment's request had. */
  bodyOf(paymentId: string): string | undefined;
  close(): Promise<void>;
}

/** Events of one stream, a little apart, so that a kill can come between two of them. */
export const EVENTS_COUNT = 6;
const EVENT_EVERY_MS = 15;
/** More than the gateway buffers: passed on as a stream. */
const BIG_BYTES = 150_000;

export async function startCountingUpstream(): Promise<CountingUpstream> {
  const runs = new Map<string, number>();
  const bodies = new Map<string, string>();
  const server = createServer((request, response) => {
    void serve(request, response).catch(() => response.destroy());
  });
  const serve = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk);
    const body = Buffer.concat(chunks).toString();
    runs.set(body, (runs.get(body) ?? 0) + 1);
    const paymentId = request.headers['x-payment-id'];
    if (typeof paymentId === 'string') bodies.set(paymentId, body);
    await answer((request.url ?? '').slice(1), body, response);
  };
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    runs: (body) => runs.get(body) ?? 0,
    bodyOf: (paymentId) => bodies.get(paymentId),
    async close() {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}

async function answer(product: string, body: string, response: ServerResponse): Promise<void> {
  switch (product) {
    case 'slow':
      await pause(60);
      break;
    case 'broken':
      response.writeHead(500).end('{"error":"the model crashed"}');
      return;
    case 'reset':
      response.destroy();
      return;
    case 'empty':
      response.end();
      return;
    case 'sse':
      return await stream(body, response);
    case 'big':
      response.end(body.padEnd(BIG_BYTES, ' '));
      return;
  }
  response.writeHead(200, { 'content-type': 'application/json' }).end(body);
}

async function stream(body: string, response: ServerResponse): Promise<void> {
  response.writeHead(200, { 'content-type': 'text/event-stream' });
  for (let event = 0; event < EVENTS_COUNT; event++) {
    response.write(`data: ${body}\n\n`);
    await pause(EVENT_EVERY_MS);
  }
  response.end();
}
