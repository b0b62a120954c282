/** The official model clients with a wallet instead of a key: our payer's fetch signs the most, the chain moves what was used. */

import assert from 'node:assert/strict';
import { after, before, type TestContext, test } from 'node:test';
import Anthropic from '@anthropic-ai/sdk';
import fc from 'fast-check';
import OpenAI from 'openai';
import { payFetch, privateKeyWallet } from '../../src/client/index.ts';
import { parseUsd } from '../../src/core/money.ts';
import type { Payment } from '../../src/core/payment.ts';
import { type EvmDevnet, startEvmDevnet } from '../../src/devnet/start-evm-devnet.ts';
import { approve } from '../rails/x402-upto-fixture.ts';
import { startModelServer } from '../support/model-server.ts';
import { startGateway } from '../support/start-gateway.ts';
import { until } from '../support/until.ts';

const ASK = [{ role: 'user', content: 'Say hello to the whole world, please.' }] as const;

let chain: EvmDevnet;
let nextPayer = 2;
before(async () => {
  chain = await startEvmDevnet({ chainId: 8453, accountsCount: 12 });
});
after(() => chain.close());

async function stage(t: TestContext) {
  const model = await startModelServer(t);
  const index = nextPayer++;
  const payer = chain.accounts[index];
  assert.ok(payer);
  await approve(chain, index);
  const payTo = `0x${Buffer.from(crypto.getRandomValues(new Uint8Array(20))).toString('hex')}`;
  const tokens = { per: { inputToken: '$1/1M', outputToken: '$10/1M' } };
  const gateway = await startGateway(t, {
    payments: {
      x402: {
        payTo: { eip155: payTo },
        networks: {
          [chain.network]: { rpc: chain.rpcUrl, settleWith: '${SETTLEMENT_KEY}', pollMs: 10 },
        },
      },
    },
    models: {
      providers: {
        one: { kind: 'openai', url: model.url, models: ['gpt-*'] },
        two: { kind: 'anthropic', url: model.url, models: ['claude-*'] },
      },
      prices: { '*': tokens },
      max: '$0.05',
      maxOutputTokens: 200,
    },
    routes: {},
  });
  const pay = payFetch(fetch, {
    wallet: privateKeyWallet(payer.privateKey),
    budget: { perCall: '$0.05', perDay: '$10' },
    rpc: { [chain.network]: chain.rpcUrl },
  });
  return {
    gateway,
    openai: new OpenAI({
      ...{ apiKey: 'unused', baseURL: `${gateway.url}/v1`, maxRetries: 0, fetch: pay },
    }),
    anthropic: new Anthropic({
      ...{ apiKey: 'unused', baseURL: gateway.url, maxRetries: 0, fetch: pay },
    }),
    async settled(count: number): Promise<Payment[]> {
      const list = () => gateway.ledger.listPayments({ limit: 100, state: 'settled' });
      await until(async () => (await list()).length === count);
      return await list();
    },
    received: () => chain.usdcBalance(payTo as `0x${string}`),
  };
}

test('the openai client pays by wallet what it used, streaming and not', async (t) => {
  const s = await stage(t);
  const chat = { model: 'gpt-4o-mini', messages: [...ASK], max_tokens: 100 };
  const { usage } = await s.openai.chat.completions.create(chat);
  const cost = BigInt((usage?.prompt_tokens ?? 0) + 10 * (usage?.completion_tokens ?? 0));
  assert.ok(cost > 0n && cost < parseUsd('$0.05'));
  assert.equal(await s.received(), cost);
  let text = '';
  for await (const event of await s.openai.chat.completions.create({ ...chat, stream: true }))
    text += event.choices[0]?.delta.content ?? '';
  assert.ok(text.length > 0);
  const payments = await s.settled(2);
  assert.deepEqual(
    payments.map((payment) => payment.cost),
    [cost, cost],
  );
  assert.equal(await s.received(), 2n * cost, 'the chain moved what the receipts say');
  assert.deepEqual(await s.gateway.ledger.audit(), []);
});

test('the Anthropic client pays by wallet what it used, streaming and not', async (t) => {
  const s = await stage(t);
  const ask = { model: 'claude-test', max_tokens: 100, messages: [...ASK] };
  await s.anthropic.messages.create(ask);
  await s.anthropic.messages.stream(ask).finalMessage();
  const [second, first] = await s.settled(2);
  assert.ok(first && second && first.cost > 0n);
  assert.equal(second.cost, first.cost);
  assert.equal(await s.received(), 2n * first.cost);
  assert.deepEqual(await s.gateway.ledger.audit(), []);
});

test('what 60 calls of random size used is what the receipts, the ledger and the chain say', async (t) => {
  const s = await stage(t);
  const asks = fc.sample(
    fc.record({
      stream: fc.boolean(),
      max_tokens: fc.integer({ min: 1, max: 200 }),
      words: fc.integer({ min: 1, max: 40 }),
      n: fc.integer({ min: 1, max: 3 }),
    }),
    60,
  );
  await Promise.all(
    asks.map(async ({ stream, words, ...limits }) => {
      const messages = [{ role: 'user' as const, content: 'word '.repeat(words) }];
      const ask = { model: 'gpt-4o-mini', messages, ...limits };
      if (!stream) await s.openai.chat.completions.create(ask);
      else for await (const _ of await s.openai.chat.completions.create({ ...ask, stream }));
    }),
  );
  const payments = await s.settled(60);
  const receipts = payments.map(({ usage, cost, quoteMax }) => {
    const exact = usage
      .filter(({ unit }) => /Tokens$/.test(unit))
      .reduce((sum, { unit, count }) => sum + count * (unit === 'outputTokens' ? 10 : 1), 0);
    assert.equal(cost, BigInt(exact), 'units times price');
    assert.ok(cost <= quoteMax);
    return cost;
  });
  const total = receipts.reduce((sum, cost) => sum + cost, 0n);
  assert.equal(await s.received(), total);
  const revenue = (await s.gateway.ledger.balances()).filter(({ account }) =>
    account.startsWith('revenue:'),
  );
  assert.equal(
    revenue.reduce((sum, { balance }) => sum + balance, 0n),
    total,
  );
  assert.deepEqual(await s.gateway.ledger.audit(), []);
});
