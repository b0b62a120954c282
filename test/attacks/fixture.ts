/** What an attacker has: raw sockets on both sides of a real gateway, and a key with one dollar. */

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import type { TestContext } from 'node:test';
import { parseUsd } from '../../src/core/money.ts';
import type { Payment, PaymentState } from '../../src/core/payment.ts';
import type { Ledger } from '../../src/core/ports/ledger.ts';
import type { GatewayOptions } from '../../src/gateway.ts';
import { newApiKey } from '../../src/rails/prepaid/protocol.ts';
import { startGateway, type TestConfig, type TestGateway } from '../support/start-gateway.ts';

export interface RawUpstream {
  readonly url: string;
  /** Every request as it came, head and body, one text per connection. */
  readonly received: string[];
}

/** An upstream that answers a connection's first bytes with whatever `answer` writes. */
export async function rawUpstream(
  t: TestContext,
  answer: (socket: Socket, text: string) => void,
): Promise<RawUpstream> {
  const received: string[] = [];
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    const at = received.push('') - 1;
    sockets.add(socket);
    socket.on('error', () => {});
    socket.on('close', () => sockets.delete(socket));
    socket.on('data', (chunk) => {
      const isFirst = received[at] === '';
      received[at] += chunk.toString('latin1');
      if (isFirst) answer(socket, received[at] ?? '');
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(async () => {
    for (const socket of sockets) socket.destroy();
    server.close();
    await once(server, 'close');
  });
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, received };
}

export interface RawClient {
  readonly socket: Socket;
  send(text: string): void;
  /** Resolves with all that came so far once it matches; rejects when the connection ends before. */
  until(pattern: RegExp): Promise<string>;
  /** Everything until the other side closes. */
  rest(): Promise<string>;
}

export async function rawClient(t: TestContext, url: string): Promise<RawClient> {
  const { port } = new URL(url);
  const socket = connect({ port: Number(port), host: '127.0.0.1' });
  t.after(() => socket.destroy());
  let text = '';
  socket.setEncoding('latin1').on('data', (chunk) => {
    text += chunk;
  });
  socket.on('error', () => {});
  const closed = once(socket, 'close');
  await once(socket, 'connect');
  return {
    socket,
    send: (more) => void socket.write(more, 'latin1'),
    async until(pattern) {
      while (!pattern.test(text)) {
        assert.ok(!socket.closed, `closed before ${pattern}: ${text}`);
        await Promise.race([once(socket, 'data'), closed]);
      }
      return text;
    },
    async rest() {
      await closed;
      return text;
    },
  };
}

/** One request on a connection of its own, and everything that comes back. */
export async function exchangeRaw(t: TestContext, url: string, text: string): Promise<string> {
  const client = await rawClient(t, url);
  client.send(text);
  return await client.rest();
}

export interface Stage {
  readonly gateway: TestGateway;
  readonly key: string;
  readonly keyId: string;
  /** USD atoms that the key has left. */
  balance(): Promise<bigint | undefined>;
  call(path: string, init?: RequestInit): Promise<Response>;
}

export const DOLLAR = parseUsd('$1');
export const CENT = parseUsd('$0.01');

/** A gateway that sells `* /x` (and what `over` says) for a cent to the holder of a key. */
export async function stage(
  t: TestContext,
  upstream: { readonly url: string },
  over: Partial<TestConfig> = {},
  options: GatewayOptions = {},
): Promise<Stage> {
  const config: TestConfig = {
    upstreams: { api: { url: upstream.url } },
    payments: { prepaid: {} },
    routes: { '* /x': { upstream: 'api', price: '$0.01', timeout: '2s' } },
    ...over,
  };
  const gateway = await startGateway(t, config, options);
  const { id, key } = await createKey(gateway.ledger);
  return {
    gateway,
    key,
    keyId: id,
    balance: async () => (await gateway.ledger.findKey(id))?.balance,
    call: (path, init = {}) =>
      fetch(gateway.url + path, {
        ...init,
        headers: { 'x-api-key': key, ...(init.headers as Record<string, string>) },
      }),
  };
}

export async function createKey(ledger: Ledger): Promise<{ id: string; key: string }> {
  const { id, key, prefix, secretHash } = newApiKey('live', randomBytes);
  await ledger.createKey({
    ...{ id, prefix, secretHash, mode: 'live', name: null, nowMs: Date.now() },
    ...{ topUp: DOLLAR, perDay: null, routes: null },
  });
  return { id, key };
}

/** The only payment there is, once it is in this state. Gives up after five seconds. */
export async function paymentIn(ledger: Ledger, state: PaymentState): Promise<Payment> {
  const deadline = performance.now() + 5_000;
  while (true) {
    const [payment, ...others] = await ledger.listPayments({ limit: 2 });
    assert.equal(others.length, 0, 'there is more than one payment');
    if (payment?.state === state) return payment;
    assert.ok(performance.now() < deadline, `the payment stays ${payment?.state}, not ${state}`);
  }
}
