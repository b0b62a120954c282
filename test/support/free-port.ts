import { once } from 'node:events';
import { createServer } from 'node:net';

/** Below the range from which systems hand out ports by themselves, so that no other test gets it meanwhile. */
const FIRST = 20_000;
const LAST = 32_000;

/** A port that was free just now and that nobody is given by chance. */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = FIRST + Math.floor(Math.random() * (LAST - FIRST));
    const server = createServer();
    try {
      server.listen(port, '127.0.0.1');
      await once(server, 'listening');
      server.close();
      await once(server, 'close');
      return port;
    } catch {
      // Taken: another one.
    }
  }
}
