/** A gateway that sells WebSocket connections in every way there is, and a key with money on it. */

import { randomBytes } from 'node:crypto';
import type { TestContext } from 'node:test';
import { parseUsd } from '../../src/core/money.ts';
import type { Receipt } from '../../src/core/receipt.ts';
import { newApiKey } from '../../src/rails/prepaid/protocol.ts';
import { startGateway, type TestConfig, type TestGateway } from '../support/start-gateway.ts';
import { until } from '../support/until.ts';
import { openWebSocket, type WebSocketClient } from '../support/websocket-client.ts';
import { startWebSocketServer, type WebSocketServer } from '../support/websocket-server.ts';

export interface WebSocketStage {
  readonly upstream: WebSocketServer;
  readonly gateway: TestGateway;
  readonly key: string;
  balance(): Promise<bigint>;
  open(
    path: string,
    headers?: Readonly<Record<string, string | null>>,
    extra?: Parameters<typeof openWebSocket>[3],
  ): Promise<WebSocketClient>;
  /** The receipt of a connection, once its payment has ended. */
  receipt(client: WebSocketClient): Promise<Receipt>;
}

const MESSAGES = { upstream: 'api', price: { per: { message: '$0.001' }, max: '$0.01' } };

export const WEBSOCKET_ROUTES: TestConfig['routes'] = {
  'GET /echo': MESSAGES,
  'GET /send/:n': MESSAGES,
  'GET /fragments': MESSAGES,
  'GET /silent': { ...MESSAGES, timeout: '300ms' },
  'GET /leave': MESSAGES,
  'GET /drop': MESSAGES,
  'GET /garbage': MESSAGES,
  'GET /refuse/:status': { ...MESSAGES, chargeOn: [404] },
  'GET /plain': MESSAGES,
  'GET /accept': MESSAGES,
  'GET /extension': MESSAGES,
  'GET /never': { ...MESSAGES, timeout: '300ms' },
  'GET /huge/:bytes': {
    upstream: 'api',
    price: { per: { byteOut: '$0.00000001' }, max: '$0.05' },
  },
  'GET /half/:bytes': {
    ...{ upstream: 'api', timeout: '300ms' },
    price: { per: { byteOut: '$0.00001' }, max: '$0.05' },
  },
  'GET /flood': { upstream: 'api', price: { per: { byteOut: '$0.00000001' }, max: '$5' } },
  'GET /v1/realtime': {
    upstream: 'api',
    price: { per: { inputToken: '$1/1M', outputToken: '$10/1M' }, max: '$0.001' },
  },
};

export async function webSocketStage(
  t: TestContext,
  over: Partial<TestConfig> = {},
): Promise<WebSocketStage> {
  const upstream = await startWebSocketServer(t);
  const gateway = await startGateway(t, {
    upstreams: { api: { url: upstream.url, headers: { authorization: 'Bearer upstream-secret' } } },
    payments: { prepaid: {} },
    routes: WEBSOCKET_ROUTES,
    ...over,
  });
  const { id, key, prefix, secretHash } = newApiKey('live', randomBytes);
  await gateway.ledger.createKey({
    ...{ id, prefix, secretHash, mode: 'live', name: null, nowMs: Date.now() },
    ...{ topUp: parseUsd('$10'), perDay: null, routes: null },
  });
  const receipt = async (paymentId: string): Promise<Receipt> =>
    (await (await fetch(`${gateway.url}/_pay/payments/${paymentId}`)).json()) as Receipt;
  return {
    ...{ upstream, gateway, key },
    balance: async () => (await gateway.ledger.findKey(id))?.balance ?? 0n,
    open: (path, headers = {}, extra = {}) =>
      openWebSocket(t, gateway.url + path, { 'x-api-key': key, ...headers }, extra),
    receipt: (client) =>
      until(
        async () => {
          const now = await receipt(client.headers.get('x-payment-id') ?? '');
          return now.state === 'running' || now.state === 'held' ? null : now;
        },
        { what: 'the end of the payment' },
      ),
  };
}

/** `[['messages', 3]]` of a receipt. */
export function unitsOf({ usage }: Receipt): [string, number][] {
  return usage.map(({ unit, count }) => [unit, count]);
}
