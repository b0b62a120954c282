/** A gateway that sells a model by the token, a key with money on it, and what a call with it came to. */

import { randomBytes } from 'node:crypto';
import type { TestContext } from 'node:test';
import { parseUsd } from '../../src/core/money.ts';
import type { Receipt } from '../../src/core/receipt.ts';
import { newApiKey } from '../../src/rails/prepaid/protocol.ts';
import { type ModelServer, startModelServer } from '../support/model-server.ts';
import { startGateway, type TestConfig, type TestGateway } from '../support/start-gateway.ts';

export interface MeteredStage {
  readonly model: ModelServer;
  readonly gateway: TestGateway;
  readonly key: string;
  /** USD atoms on the key. */
  balance(): Promise<bigint>;
  /** A call with the key; `conduct` tells the model how to behave. */
  call(path: string, body: unknown, conduct?: object): Promise<Response>;
  receipt(id: string): Promise<Receipt>;
}

const TOKENS = { per: { inputToken: '$1/1M', outputToken: '$10/1M' }, max: '$0.05' };

export const METERED_ROUTES: TestConfig['routes'] = {
  'POST /v1/chat/completions': { upstream: 'models', price: TOKENS },
  'POST /v1/responses': { upstream: 'models', price: TOKENS },
  'POST /v1/messages': { upstream: 'models', price: TOKENS },
  'POST /v1/embeddings': {
    upstream: 'models',
    price: { per: { embeddingToken: '$0.02/1k' }, max: '$0.05' },
  },
};

export async function meteredStage(
  t: TestContext,
  over: Partial<TestConfig> = {},
): Promise<MeteredStage> {
  const model = await startModelServer(t);
  const gateway = await startGateway(t, {
    upstreams: { models: { url: model.url, headers: { authorization: 'Bearer upstream-secret' } } },
    payments: { prepaid: {} },
    routes: METERED_ROUTES,
    ...over,
  });
  const { id, key, prefix, secretHash } = newApiKey('live', randomBytes);
  await gateway.ledger.createKey({
    ...{ id, prefix, secretHash, mode: 'live', name: null, nowMs: Date.now() },
    ...{ topUp: parseUsd('$10'), perDay: null, routes: null },
  });
  return {
    ...{ model, gateway, key },
    balance: async () => (await gateway.ledger.findKey(id))?.balance ?? 0n,
    call: (path, body, conduct) =>
      fetch(gateway.url + path, {
        method: 'POST',
        headers: {
          'content-type': 'application/json',
          'x-api-key': key,
          ...(conduct === undefined ? {} : { 'x-test-conduct': JSON.stringify(conduct) }),
        },
        body: typeof body === 'string' ? body : JSON.stringify(body),
      }),
    receipt: async (id) =>
      (await (await fetch(`${gateway.url}/_pay/payments/${id}`)).json()) as Receipt,
  };
}
