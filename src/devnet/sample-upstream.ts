/** A small text API to sell: what the demo puts behind the gateway. It knows nothing of payments. */

import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface SampleUpstream {
  readonly url: string;
  /** How many requests each path has served. */
  readonly calls: ReadonlyMap<string, number>;
  close(): Promise<void>;
}

/** Serves `/summarize`, `/memory/store`, `/health`, and `/broken`, which always fails. */
export async function startSampleUpstream(port = 0): Promise<SampleUpstream> {
  const calls = new Map<string, number>();
  const server = createServer((request, response) => {
    const path = (request.url ?? '/').split('?')[0] as string;
    calls.set(path, (calls.get(path) ?? 0) + 1);
    void answer(path, request, response);
  });
  server.listen(port, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    calls,
    async close() {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}

async function answer(
  path: string,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk);
  const text = readText(Buffer.concat(chunks).toString());
  const send = (status: number, value: object): void => {
    response.writeHead(status, { 'content-type': 'application/json' });
    response.end(JSON.stringify(value));
  };
  if (path === '/summarize') send(200, { summary: firstSentence(text) });
  else if (path === '/memory/store') send(200, { stored: text.length });
  else if (path === '/health') send(200, { ok: true });
  else send(500, { error: 'the model crashed' });
}

function readText(body: string): string {
  try {
    const value: unknown = JSON.parse(body);
    return typeof value === 'object' && value !== null && 'text' in value
      ? String(value.text)
      : body;
  } catch {
    return body;
  }
}

function firstSentence(text: string): string {
  return /^[^.!?]*[.!?]?/.exec(text)?.[0]?.trim() ?? '';
}
