/** The API behind every contestant: small JSON, nothing else. */

import { once } from 'node:events';
import { createServer } from 'node:http';
import { listeningUrl } from './listening-url.ts';
import { runProcess } from './run-process.ts';

const ANSWER = Buffer.from(JSON.stringify({ summary: 'A short answer.', words: 3 }));

runProcess(async () => {
  const server = createServer({ keepAliveTimeout: 600_000 }, (request, response) => {
    request.resume();
    request.on('end', () => {
      response.writeHead(200, [
        'Content-Type',
        'application/json',
        'Content-Length',
        String(ANSWER.length),
      ]);
      response.end(ANSWER);
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: listeningUrl(server),
    async close() {
      server.close();
      server.closeAllConnections();
    },
  };
});
