/** A connection to an upstream that has switched protocols: what it sends as a body, while another body goes there. */

import type { Duplex } from 'node:stream';
import { type Body, isStream } from '../core/exchange.ts';
import type { UpstreamRequest } from '../core/ports/upstream.ts';
import { SocketBody, writeTo } from '../core/socket-body.ts';

/** The last frames have this long to leave, once nobody reads any more. */
const LINGER_MS = 2_000;

/** Nothing is sent before the first chunk is asked for: until then nobody is told of the switch. */
export function switchedBody(socket: Duplex, sent: UpstreamRequest['body']): Body {
  let sending: Promise<void> | null = null;
  const received = new SocketBody(socket, () => void giveUp(socket, sending));
  // Whoever reads sees its end; nobody needs its error.
  socket.on('error', () => {});
  const reader: AsyncIterator<Uint8Array> = {
    next() {
      sending ??= isStream(sent) ? sendAll(socket, sent) : Promise.resolve();
      return received.next();
    },
    return: () => received.return(),
  };
  return { [Symbol.asyncIterator]: () => reader };
}

async function sendAll(socket: Duplex, sent: Body): Promise<void> {
  for await (const chunk of sent) {
    if (socket.destroyed) return;
    await writeTo(socket, chunk);
  }
}

async function giveUp(socket: Duplex, sending: Promise<void> | null): Promise<void> {
  if (sending === null) return void socket.destroy();
  const timer = setTimeout(() => socket.destroy(), LINGER_MS);
  socket.once('close', () => clearTimeout(timer));
  socket.resume();
  // A close frame may still be on its way.
  await sending.catch(() => {});
  socket.end();
}
