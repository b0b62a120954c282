import assert from 'node:assert/strict';
import { test } from 'node:test';
import Anthropic from '@anthropic-ai/sdk';
import OpenAI from 'openai';
import { parseUsd } from '../../src/core/money.ts';
import { meteredStage } from './metered-stage.ts';

const MESSAGES = [{ role: 'user', content: 'Say hello to the whole world, please.' }] as const;
const CHAT = { model: 'gpt-4o-mini', messages: [...MESSAGES], max_tokens: 200 };

test('a call costs what it used at the prices of its units, and the receipt says so', async (t) => {
  const s = await meteredStage(t);
  const response = await s.call('/v1/chat/completions', CHAT);
  assert.equal(response.status, 200);
  const { usage } = (await response.json()) as {
    usage: { prompt_tokens: number; completion_tokens: number };
  };
  const cost = BigInt(usage.prompt_tokens + 10 * usage.completion_tokens);
  assert.ok(cost > 0n);
  assert.equal(parseUsd(`$${response.headers.get('x-payment-cost')}`), cost);
  assert.equal(await s.balance(), parseUsd('$10') - cost);
  const receipt = await s.receipt(response.headers.get('x-payment-id') ?? '');
  assert.equal(parseUsd(`$${receipt.cost}`), cost);
  assert.deepEqual(
    receipt.usage.map(({ unit, count }) => [unit, count]),
    [
      ['inputTokens', usage.prompt_tokens],
      ['outputTokens', usage.completion_tokens],
    ],
  );
});

test('the official openai client works with an API key, streaming and not', async (t) => {
  const s = await meteredStage(t);
  const client = new OpenAI({ apiKey: s.key, baseURL: `${s.gateway.url}/v1`, maxRetries: 0 });
  const whole = await client.chat.completions.create(CHAT);
  const spent = parseUsd('$10') - (await s.balance());
  const tokens = whole.usage;
  assert.equal(spent, BigInt((tokens?.prompt_tokens ?? 0) + 10 * (tokens?.completion_tokens ?? 0)));

  let text = '';
  for await (const event of await client.chat.completions.create({ ...CHAT, stream: true })) {
    text += event.choices[0]?.delta.content ?? '';
    assert.equal(event.usage ?? null, null, 'usage that was not asked for is not shown');
  }
  assert.equal(text, whole.choices[0]?.message.content);
  assert.equal(parseUsd('$10') - (await s.balance()), 2n * spent, 'a stream costs the same');

  const responses = await client.responses.create({ model: 'gpt-4o-mini', input: 'Hello' });
  assert.ok(responses.output_text.length > 0);
  const types = new Set<string>();
  for await (const event of await client.responses.create({
    ...{ model: 'gpt-4o-mini', input: 'Hello', stream: true },
  }))
    types.add(event.type);
  assert.ok(types.has('response.completed'));
  const embeddings = await client.embeddings.create({
    ...{ model: 'text-embedding-3-small', input: ['one', 'two'] },
  });
  assert.equal(embeddings.data.length, 2);
});

test('the official Anthropic client works with an API key, streaming and not', async (t) => {
  const s = await meteredStage(t);
  const client = new Anthropic({ apiKey: s.key, baseURL: s.gateway.url, maxRetries: 0 });
  const ask = { model: 'claude-test', max_tokens: 100, messages: [...MESSAGES] };
  const whole = await client.messages.create(ask);
  const spent = parseUsd('$10') - (await s.balance());
  const { usage } = whole;
  const input =
    usage.input_tokens +
    (usage.cache_read_input_tokens ?? 0) +
    (usage.cache_creation_input_tokens ?? 0);
  assert.equal(spent, BigInt(input + 10 * usage.output_tokens));
  const stream = client.messages.stream(ask);
  const last = await stream.finalMessage();
  assert.deepEqual(last.content, whole.content);
  assert.equal(parseUsd('$10') - (await s.balance()), 2n * spent, 'a stream costs the same');
});

test('a request without a limit gets one, so that its hold is its real maximum', async (t) => {
  const s = await meteredStage(t);
  const { max_tokens: _, ...unlimited } = CHAT;
  assert.equal((await s.call('/v1/chat/completions', unlimited)).status, 200);
  const sent = JSON.parse(s.model.requests[0]?.body.toString() ?? '');
  assert.equal(sent.max_completion_tokens, 4096);
});

test('an empty probe gets the most that a call can cost; a body that the model would refuse is refused free', async (t) => {
  const s = await meteredStage(t);
  const url = `${s.gateway.url}/v1/chat/completions`;
  const probe = await fetch(url, { method: 'POST' });
  assert.equal(probe.status, 402);
  const { quote } = (await probe.json()) as { quote: { max: string } };
  assert.equal(quote.max, '0.05');
  const refused = await s.call('/v1/chat/completions', { model: 'gpt-4o-mini' });
  assert.equal(refused.status, 400);
  assert.match(await refused.text(), /messages/);
  assert.equal((await s.call('/v1/chat/completions', '')).status, 400);
  assert.equal(s.model.requests.length, 0);
  assert.equal(await s.balance(), parseUsd('$10'));
});

test('a 402 asks for the most that this very request can cost', async (t) => {
  const s = await meteredStage(t);
  const max = async (maxTokens: number): Promise<bigint> => {
    const response = await fetch(`${s.gateway.url}/v1/chat/completions`, {
      ...{ method: 'POST', headers: { 'content-type': 'application/json' } },
      body: JSON.stringify({ ...CHAT, max_tokens: maxTokens }),
    });
    assert.equal(response.status, 402);
    return parseUsd(`$${((await response.json()) as { quote: { max: string } }).quote.max}`);
  };
  const [hundred, thousand] = [await max(100), await max(1_000)];
  assert.equal(thousand - hundred, 9_000n, '900 more tokens at $10 per million');
});

test('usage that the upstream does not state is counted, or costs the hold where the route says so', async (t) => {
  const s = await meteredStage(t, {
    routes: {
      'POST /v1/chat/completions': {
        upstream: 'models',
        price: { per: { inputToken: '$1/1M', outputToken: '$10/1M' }, max: '$0.05' },
      },
      'POST /held/chat/completions': {
        upstream: 'models',
        price: { per: { inputToken: '$1/1M', outputToken: '$10/1M' }, max: '$0.05' },
        missingUsage: 'hold',
      },
    },
  });
  const stated = await s.call('/v1/chat/completions', { ...CHAT, stream: true });
  await stated.text();
  const spent = parseUsd('$10') - (await s.balance());
  const counted = await s.call(
    '/v1/chat/completions',
    { ...CHAT, stream: true },
    { usage: 'none' },
  );
  const receipt = async (response: Response) => {
    await response.text();
    return await s.receipt(response.headers.get('x-payment-id') ?? '');
  };
  const cost = parseUsd(`$${(await receipt(counted)).cost}`);
  assert.ok(cost > spent / 2n && cost < spent * 2n, `${cost} is near ${spent}`);
  const held = await receipt(
    await s.call('/held/chat/completions', { ...CHAT, stream: true }, { usage: 'none' }),
  );
  assert.equal(held.cost, held.quote.max);
});

for (const usage of ['false', 'twice'])
  test(`usage that is stated ${usage} costs no more than the hold and not nothing`, async (t) => {
    const s = await meteredStage(t);
    const response = await s.call('/v1/chat/completions', CHAT, { usage });
    assert.equal(response.status, 200);
    const receipt = await s.receipt(response.headers.get('x-payment-id') ?? '');
    const [cost, max] = [parseUsd(`$${receipt.cost}`), parseUsd(`$${receipt.quote.max}`)];
    assert.ok(cost > 0n && cost <= max, `${cost} of ${max}`);
  });
