/** A node in front of an honest one that waits, before it passes a call on, until a test has looked around. */

import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { TestContext } from 'node:test';

export interface RelayedCall {
  readonly method: string;
  readonly params: readonly unknown[];
}

/** Returns its URL. What `look` throws is answered as an error of the node. */
export async function startRelay(
  t: TestContext,
  nodeUrl: string,
  look: (call: RelayedCall) => Promise<void>,
): Promise<string> {
  const server = createServer(async (request, response) => {
    try {
      let body = '';
      for await (const chunk of request) body += chunk;
      const message = JSON.parse(body) as RelayedCall | RelayedCall[];
      for (const call of [message].flat()) await look(call);
      const init = { method: 'POST', headers: { 'content-type': 'application/json' }, body };
      response.end(await (await fetch(nodeUrl, init)).text());
    } catch {
      response.writeHead(500).end();
    }
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}
