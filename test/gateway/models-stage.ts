/** A gateway over three local model servers, a key with money on it, and what a call with it came to. */

import { randomBytes } from 'node:crypto';
import type { TestContext } from 'node:test';
import Anthropic from '@anthropic-ai/sdk';
import OpenAI from 'openai';
import { parseUsd } from '../../src/core/money.ts';
import type { Receipt } from '../../src/core/receipt.ts';
import type { GatewayOptions } from '../../src/gateway.ts';
import { newApiKey } from '../../src/rails/prepaid/protocol.ts';
import { type ModelServer, startModelServer } from '../support/model-server.ts';
import { startGateway, type TestConfig, type TestGateway } from '../support/start-gateway.ts';

type Models = NonNullable<TestConfig['models']>;

export interface ModelsStage {
  readonly openai: ModelServer;
  readonly backup: ModelServer;
  readonly anthropic: ModelServer;
  readonly gateway: TestGateway;
  readonly models: Models;
  readonly key: string;
  readonly clients: { readonly openai: OpenAI; readonly anthropic: Anthropic };
  /** USD atoms that the key has spent. */
  spent(): Promise<bigint>;
  call(path: string, body: unknown, headers?: Record<string, string>): Promise<Response>;
  /** The most recent payment of the key. */
  receipt(): Promise<Receipt>;
}

const FUNDS = parseUsd('$10');

/**
 * `small` is gpt-4o-mini at `openai`, then `big-1` at `backup` for ten times as much; `openai` and `anthropic` sell at
 * list prices and 20 %.
 */
export async function modelsStage(
  t: TestContext,
  over: (urls: Readonly<Record<string, string>>) => Partial<Models> = () => ({}),
  rest: Partial<TestConfig> = {},
  options: GatewayOptions = {},
): Promise<ModelsStage> {
  const [openai, backup, anthropic] = await Promise.all([
    startModelServer(t),
    startModelServer(t),
    startModelServer(t),
  ]);
  const models: Models = {
    providers: {
      openai: {
        ...{ kind: 'openai', url: openai.url, models: ['gpt-*', 'text-embedding-*'] },
        headers: { authorization: 'Bearer openai-secret' },
      },
      backup: {
        ...{ kind: 'openai', url: `${backup.url}/v1`, models: ['big-*', 'gpt-4o-mini'] },
        headers: { authorization: 'Bearer backup-secret' },
      },
      anthropic: {
        ...{ kind: 'anthropic', url: anthropic.url, models: ['claude-*'] },
        headers: { 'x-api-key': 'anthropic-secret' },
      },
    },
    aliases: {
      small: ['openai/gpt-4o-mini', 'backup/big-1'],
      any: ['openai/gpt-4o-mini', 'anthropic/claude-haiku-4-5'],
    },
    markup: '20%',
    prices: { 'backup/*': { per: { inputToken: '$1.80/1M', outputToken: '$7.20/1M' } } },
    max: '$1',
    ...over({ openai: openai.url, backup: backup.url, anthropic: anthropic.url }),
  };
  const gateway = await startGateway(t, { payments: { prepaid: {} }, models, ...rest }, options);
  const { id, key, prefix, secretHash } = newApiKey('live', randomBytes);
  await gateway.ledger.createKey({
    ...{ id, prefix, secretHash, mode: 'live', name: null, nowMs: Date.now() },
    ...{ topUp: FUNDS, perDay: null, routes: null },
  });
  return {
    ...{ openai, backup, anthropic, gateway, models, key },
    clients: {
      openai: new OpenAI({ apiKey: key, baseURL: `${gateway.url}/v1`, maxRetries: 0 }),
      anthropic: new Anthropic({ apiKey: key, baseURL: gateway.url, maxRetries: 0 }),
    },
    spent: async () => FUNDS - ((await gateway.ledger.findKey(id))?.balance ?? 0n),
    call: (path, body, headers) =>
      fetch(gateway.url + path, {
        method: 'POST',
        headers: headers ?? { 'content-type': 'application/json', 'x-api-key': key },
        body: JSON.stringify(body),
      }),
    async receipt() {
      const [payment] = await gateway.ledger.listPayments({ limit: 1 });
      const response = await fetch(`${gateway.url}/_pay/payments/${payment?.id}`);
      return (await response.json()) as Receipt;
    },
  };
}
