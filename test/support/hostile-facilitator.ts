/**
 * A remote facilitator that misbehaves on demand: a real HTTP server with `/supported`, `/verify` and `/settle`,
 * and a key with which it can really settle on the devnet. What it does is set per path, and changes while it runs.
 */

import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { TestContext } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import type { SignedTransfer } from '../../src/chains/evm/contract-calls.ts';
import type { Hex } from '../../src/chains/evm/sign.ts';
import type { EvmDevnet } from '../../src/devnet/start-evm-devnet.ts';
import { decodeExactEvmPayload } from '../../src/rails/x402/protocol.ts';
import { sendTransfer } from '../chains/evm-payer.ts';

export type FacilitatorPath = 'supported' | 'verify' | 'settle';

/** What it does with a request; the honest answer is made, and the money moved, only if `honest` is called. */
export type Conduct = (asked: Asked) => Promise<void> | void;

export interface Asked {
  readonly response: ServerResponse;
  readonly body: string;
  /** The authorization inside the request. */
  readonly transfer: () => SignedTransfer;
  /** Does what was asked, and gives the answer that an honest facilitator would. */
  readonly honest: () => Promise<object>;
  /** Answers JSON. */
  readonly say: (value: unknown, status?: number) => void;
  /** Keeps the connection open until the server closes. */
  readonly hang: () => void;
  /** Notes how many bytes of an answer were taken. */
  readonly took: (bytes: number) => void;
}

export interface HostileFacilitator {
  readonly url: string;
  set(path: FacilitatorPath, conduct: Conduct): void;
  /** Drops every conduct that was set, and every connection that hangs. */
  honest(): void;
  /** The bodies that a path got, oldest first. */
  asked(path: FacilitatorPath): readonly string[];
  /** Settles the authorization in a body that it got, as it always can, whatever was said. */
  settleBody(body: string): Promise<Hex>;
  bytesTaken(): number;
}

export interface FacilitatorOptions {
  readonly devnet: EvmDevnet;
  /** Account of the devnet that pays the gas. */
  readonly account: number;
}

const HONEST: Conduct = async ({ honest, say }) => say(await honest());

export async function startHostileFacilitator(
  t: TestContext,
  { devnet, account }: FacilitatorOptions,
): Promise<HostileFacilitator> {
  const conducts = new Map<FacilitatorPath, Conduct>();
  const bodies = new Map<FacilitatorPath, string[]>();
  const hanging = new Set<ServerResponse>();
  let bytesTaken = 0;
  // One at a time: transactions of one key that are made together would take one nonce.
  let last: Promise<unknown> = Promise.resolve();
  const settle = (transfer: SignedTransfer): Promise<Hex> => {
    const next = last.then(() => sendTransfer(devnet, account, transfer));
    last = next.catch(() => {});
    return next;
  };
  const serve = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    let body = '';
    for await (const chunk of request) body += chunk;
    const path = (request.url ?? '').slice(1) as FacilitatorPath;
    bodies.set(path, [...(bodies.get(path) ?? []), body]);
    const transfer = (): SignedTransfer => transferIn(body);
    await (conducts.get(path) ?? HONEST)({
      ...{ response, body, transfer },
      honest: () => answerHonestly(path, devnet, transfer, settle),
      say: (value, status = 200) => sayJson(response, value, status),
      hang: () => void hanging.add(response),
      took: (bytes) => {
        bytesTaken = Math.max(bytesTaken, bytes);
      },
    });
  };
  const server = createServer((request, response) => {
    response.on('close', () => hanging.delete(response));
    void serve(request, response).catch(() => response.destroy());
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(async () => {
    server.closeAllConnections();
    server.close();
    await once(server, 'close');
    await last;
  });
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    set: (path, conduct) => void conducts.set(path, conduct),
    honest() {
      conducts.clear();
      for (const response of hanging) response.destroy();
    },
    asked: (path) => bodies.get(path) ?? [],
    settleBody: (body) => settle(transferIn(body)),
    bytesTaken: () => bytesTaken,
  };
}

async function answerHonestly(
  path: FacilitatorPath,
  devnet: EvmDevnet,
  transfer: () => SignedTransfer,
  settle: (transfer: SignedTransfer) => Promise<Hex>,
): Promise<object> {
  if (path === 'supported')
    return { kinds: [{ x402Version: 2, scheme: 'exact', network: devnet.network }] };
  const payer = transfer().from;
  if (path === 'verify') return { isValid: true, payer };
  try {
    const transaction = await settle(transfer());
    return { success: true, transaction, network: devnet.network, payer };
  } catch {
    return { success: false, errorReason: 'invalid_transaction_state', transaction: '', payer };
  }
}

function transferIn(body: string): SignedTransfer {
  const { paymentPayload } = JSON.parse(body) as { paymentPayload: { payload: unknown } };
  const { signature, authorization } = decodeExactEvmPayload(paymentPayload.payload);
  return { ...authorization, signature };
}

function sayJson(response: ServerResponse, value: unknown, status: number): void {
  response.writeHead(status, { 'content-type': 'application/json' });
  response.end(JSON.stringify(value));
}

/** What facilitators do that are slow, broken or dishonest; `settle` is meant where nothing else is said. */
export const conduct = {
  hang: ({ hang }: Asked) => hang(),
  reset: ({ response }: Asked) => void response.destroy(),
  /** Does it, and answers that late. */
  late:
    (delayMs: number): Conduct =>
    async ({ honest, say }) => {
      await pause(delayMs, undefined, { ref: false });
      say(await honest());
    },
  /** Two whole responses to one request. */
  twice: async ({ honest, response }: Asked) => {
    const json = JSON.stringify(await honest());
    const head = `HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: ${json.length}\r\n\r\n`;
    response.socket?.end(`${head}${json}${head}${json}`);
  },
  say:
    (value: unknown, status = 200): Conduct =>
    ({ say }) =>
      say(value, status),
  redirect:
    (location: string): Conduct =>
    ({ response }) =>
      void response.writeHead(307, { location }).end(),
  /** Does it and says that it failed. */
  deny: async ({ honest, say }: Asked) => {
    await honest();
    say({ success: false, errorReason: 'unexpected_settle_error', transaction: '' });
  },
  /** Does it and says nothing. */
  mute: async ({ honest, hang }: Asked) => {
    await honest();
    hang();
  },
  /** Does nothing and names a transaction that did something else. */
  claim:
    (transaction: () => Promise<Hex>): Conduct =>
    async ({ say, transfer }) =>
      say({ success: true, transaction: await transaction(), payer: transfer().from }),
  /** Starts as an answer does and never gets to its end. */
  huge:
    (bytes: number): Conduct =>
    async ({ response, took }) => {
      const part = Buffer.alloc(64 * 1024, '0');
      function* parts(): Generator<string | Buffer> {
        yield '{"success":true,"transaction":"';
        for (let sent = 0; sent < bytes; sent += part.length) {
          took(sent);
          yield part;
        }
      }
      await pipeline(Readable.from(parts()), response).catch(() => {});
    },
} as const;
