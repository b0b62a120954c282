/** The least that a proxy can do on the same stack: `node:http` in, one undici pool out, no ledger, no prices. */

import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { type Dispatcher, Pool } from 'undici';
import { listeningUrl } from './listening-url.ts';
import { runProcess } from './run-process.ts';

export interface BareProxySettings {
  readonly upstream: string;
}

const HOP_BY_HOP = new Set(['connection', 'host', 'keep-alive', 'transfer-encoding', 'upgrade']);

runProcess<BareProxySettings>(async ({ upstream }) => {
  const pool = new Pool(upstream, { connections: 128 });
  const server = createServer({ keepAliveTimeout: 600_000 }, (request, response) => {
    pool.dispatch(
      {
        path: request.url ?? '/',
        method: request.method as Dispatcher.HttpMethod,
        headers: forwarded(request),
        body: request.headers['content-length'] === undefined ? null : request,
      },
      new PassOn(response),
    );
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: listeningUrl(server),
    async close() {
      server.close();
      server.closeAllConnections();
      await pool.destroy();
    },
  };
});

function forwarded({ rawHeaders }: IncomingMessage): string[] {
  const headers: string[] = [];
  for (let i = 0; i + 1 < rawHeaders.length; i += 2) {
    const name = rawHeaders[i] as string;
    if (!HOP_BY_HOP.has(name.toLowerCase())) headers.push(name, rawHeaders[i + 1] as string);
  }
  return headers;
}

class PassOn implements Dispatcher.DispatchHandler {
  readonly #response: ServerResponse;

  constructor(response: ServerResponse) {
    this.#response = response;
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    // Without this a client that leaves would hold a connection of the pool for ever.
    this.#response.once('close', () => {
      if (!this.#response.writableFinished) controller.abort(new Error('the client left'));
    });
  }

  onResponseStart(
    _controller: Dispatcher.DispatchController,
    status: number,
    headers: Record<string, string | string[] | undefined>,
  ): void {
    const kept: Record<string, string | string[]> = {};
    for (const name of Object.keys(headers)) {
      const value = headers[name];
      if (value !== undefined && !HOP_BY_HOP.has(name)) kept[name] = value;
    }
    this.#response.writeHead(status, kept);
  }

  onResponseData(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    if (this.#response.write(chunk) || this.#response.destroyed) return;
    controller.pause();
    this.#response.once('drain', () => controller.resume());
  }

  onResponseEnd(): void {
    this.#response.end();
  }

  onResponseError(): void {
    if (this.#response.headersSent || this.#response.destroyed) this.#response.destroy();
    else this.#response.writeHead(502).end();
  }
}
