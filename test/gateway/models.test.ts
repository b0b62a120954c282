import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import Anthropic from '@anthropic-ai/sdk';
import OpenAI from 'openai';
import { parseConfig } from '../../src/config.ts';
import { parseUsd } from '../../src/core/money.ts';
import { until } from '../support/until.ts';
import { type ModelsStage, modelsStage } from './models-stage.ts';

const MESSAGES = [{ role: 'user' as const, content: 'Say hello to the whole world, please.' }];
const CHAT = { model: 'small', messages: MESSAGES, max_tokens: 200 };
const PIXEL =
  'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR4nGNgYGBgAAAABQABh6FO1AAAAABJRU5ErkJggg==';
const TOOL = {
  name: 'weather',
  description: 'The weather of a city',
  schema: { type: 'object' as const, properties: { city: { type: 'string' } } },
};

/** Rounded up to the atom: gpt-4o-mini with 20 % on it is $0.18 and $0.72 for a million. */
function miniCost(input: number, output: number): bigint {
  return (BigInt(input) * 18n + BigInt(output) * 72n + 99n) / 100n;
}

/** big-1: $1.80 and $7.20. */
function bigCost(input: number, output: number): bigint {
  return (BigInt(input) * 180n + BigInt(output) * 720n + 99n) / 100n;
}

async function quoteOf(s: ModelsStage, body: object, path = '/v1/chat/completions') {
  const response = await s.call(path, body, { 'content-type': 'application/json' });
  assert.equal(response.status, 402);
  return parseUsd(`$${((await response.json()) as { quote: { max: string } }).quote.max}`);
}

describe('the official clients with an API key', () => {
  it('chat by an alias, whole and streamed, for the list price and the markup', async (t) => {
    const s = await modelsStage(t);
    const whole = await s.clients.openai.chat.completions.create(CHAT);
    const cost = miniCost(whole.usage?.prompt_tokens ?? 0, whole.usage?.completion_tokens ?? 0);
    assert.ok(cost > 0n);
    assert.equal(await s.spent(), cost);
    let text = '';
    for await (const event of await s.clients.openai.chat.completions.create({
      ...CHAT,
      stream: true,
    }))
      text += event.choices[0]?.delta.content ?? '';
    assert.equal(text, whole.choices[0]?.message.content);
    assert.equal(await s.spent(), 2n * cost, 'a stream costs the same');
    const [sent] = s.openai.requests;
    assert.equal(JSON.parse(String(sent?.body)).model, 'gpt-4o-mini');
    assert.equal(sent?.path, '/v1/chat/completions');
    const { usage } = await s.receipt();
    assert.deepEqual(
      usage.filter(({ unit }) => unit !== 'rounding').map(({ unit, model }) => [unit, model]),
      [
        ['inputTokens', 'openai/gpt-4o-mini'],
        ['outputTokens', 'openai/gpt-4o-mini'],
      ],
    );
  });

  it('use tools and images', async (t) => {
    const s = await modelsStage(t);
    s.openai.conduct = { callsTool: true };
    const { name, description, schema } = TOOL;
    const chat = await s.clients.openai.chat.completions.create({
      ...CHAT,
      tools: [{ type: 'function', function: { name, description, parameters: schema } }],
      messages: [
        {
          role: 'user',
          content: [
            { type: 'text', text: 'Where is this?' },
            { type: 'image_url', image_url: { url: `data:image/png;base64,${PIXEL}` } },
          ],
        },
      ],
    });
    assert.equal(chat.choices[0]?.message.tool_calls?.[0]?.type, 'function');
    s.anthropic.conduct = { callsTool: true };
    const message = await s.clients.anthropic.messages.create({
      ...{ model: 'claude-haiku-4-5', max_tokens: 100 },
      tools: [{ name, description, input_schema: schema }],
      messages: [
        {
          role: 'user',
          content: [
            { type: 'image', source: { type: 'base64', media_type: 'image/png', data: PIXEL } },
            { type: 'text', text: 'Where is this?' },
          ],
        },
      ],
    });
    assert.ok(message.content.some(({ type }) => type === 'tool_use'));
  });

  it('send messages to Anthropic, whole and streamed, and to its chat path with a bearer', async (t) => {
    const s = await modelsStage(t);
    const ask = { model: 'anthropic/claude-haiku-4-5', max_tokens: 100, messages: MESSAGES };
    const { content, usage } = await s.clients.anthropic.messages.create(ask);
    const input =
      usage.input_tokens +
      (usage.cache_read_input_tokens ?? 0) * 1 +
      (usage.cache_creation_input_tokens ?? 0);
    const { usage: lines, cost } = await s.receipt();
    assert.equal(lines.find(({ unit }) => unit === 'outputTokens')?.price, '0.000006');
    const counted = lines.filter(({ unit }) => /^(cachedI|i)nputTokens$/.test(unit));
    assert.equal(
      counted.reduce((sum, { count }) => sum + count, 0),
      input,
    );
    assert.equal(await s.spent(), parseUsd(`$${cost}`));
    const last = await s.clients.anthropic.messages.stream(ask).finalMessage();
    assert.deepEqual(last.content, content);
    assert.equal(await s.spent(), 2n * parseUsd(`$${cost}`));
    await s.clients.openai.chat.completions.create({ ...CHAT, model: 'claude-haiku-4-5' });
    const [message, , chat] = s.anthropic.requests;
    assert.equal(message?.headers['x-api-key'], 'anthropic-secret');
    assert.equal(message?.headers.authorization, undefined);
    assert.equal(chat?.path, '/v1/chat/completions');
    assert.equal(chat?.headers.authorization, 'Bearer anthropic-secret');
    assert.equal(chat?.headers['x-api-key'], undefined);
  });

  it('use responses and embeddings', async (t) => {
    const s = await modelsStage(t);
    const { responses, embeddings } = s.clients.openai;
    const whole = await responses.create({ model: 'small', input: 'Hello' });
    assert.equal(
      await s.spent(),
      miniCost(whole.usage?.input_tokens ?? 0, whole.usage?.output_tokens ?? 0),
    );
    const types = new Set<string>();
    for await (const event of await responses.create({
      ...{ model: 'gpt-4o-mini', input: 'Hello', stream: true },
    }))
      types.add(event.type);
    assert.ok(types.has('response.completed'));
    const before = await s.spent();
    const { data, usage } = await embeddings.create({
      ...{ model: 'text-embedding-3-small', input: ['one', 'two'] },
    });
    assert.equal(data.length, 2);
    // $0.024 for a million, and not twice for being input as well.
    assert.equal((await s.spent()) - before, BigInt(Math.ceil(usage.prompt_tokens * 0.024)));
  });

  it('list the models and their prices', async (t) => {
    const s = await modelsStage(t);
    const listed = await s.clients.openai.models.list();
    const entries = new Map(listed.data.map((model) => [model.id, { ...model }]));
    const of = (id: string) => entries.get(id) as unknown as Record<string, unknown>;
    assert.deepEqual(of('openai/gpt-4o-mini').pricing, {
      ...{ inputTokens: '0.00000018', cachedInputTokens: '0.00000009' },
      ...{ outputTokens: '0.00000072', webSearches: '0.012' },
    });
    assert.equal(of('openai/gpt-4o-mini').owned_by, 'openai');
    assert.equal(of('openai/gpt-4o-mini').context_length, 128_000);
    const alias = of('small').pricing as Record<string, string>;
    assert.equal(alias.inputTokens, '0.0000018', 'the dearest of its models');
    assert.deepEqual(of('small').models, ['openai/gpt-4o-mini', 'backup/big-1']);
    assert.deepEqual(of('any').paths, [
      ...['/v1/chat/completions', '/v1/responses', '/v1/messages'],
    ]);
    assert.deepEqual(of('openai/text-embedding-3-small').paths, ['/v1/embeddings']);
    assert.equal(entries.has('openai/o3'), false, 'no pattern matches it');
    assert.equal((await s.clients.openai.models.retrieve('gpt-4o-mini')).id, 'openai/gpt-4o-mini');
    const names = [];
    for await (const { id } of s.clients.anthropic.models.list()) names.push(id);
    assert.deepEqual(names, [...entries.keys()]);
    await assert.rejects(s.clients.openai.models.retrieve('nothing'), OpenAI.NotFoundError);
    assert.equal(await s.spent(), 0n);
    assert.equal(s.openai.requests.length, 0);
  });
});

describe('an alias', () => {
  for (const status of [429, 500, 503, 401])
    it(`goes on to its next model after ${status}, and costs what that one used`, async (t) => {
      const s = await modelsStage(t);
      s.openai.conduct = { status };
      const { usage } = await s.clients.openai.chat.completions.create(CHAT);
      const cost = bigCost(usage?.prompt_tokens ?? 0, usage?.completion_tokens ?? 0);
      assert.equal(await s.spent(), cost);
      const { usage: lines } = await s.receipt();
      assert.equal(lines[0]?.model, 'backup/big-1');
      const [sent] = s.backup.requests;
      assert.equal(JSON.parse(String(sent?.body)).model, 'big-1');
      assert.equal(sent?.path, '/v1/chat/completions', 'its base URL has the version in it');
      assert.equal(sent?.headers.authorization, 'Bearer backup-secret');
    });

  it('goes on after a time-out before the first byte', async (t) => {
    const s = await modelsStage(t, undefined, { timeouts: { head: '200ms' } });
    s.openai.conduct = { delayMs: 5_000 };
    const stream = await s.clients.openai.chat.completions.create({ ...CHAT, stream: true });
    let events = 0;
    for await (const _ of stream) events++;
    assert.ok(events > 1);
    const { usage } = await s.receipt();
    assert.equal(usage[0]?.model, 'backup/big-1');
  });

  it('goes on where a provider is full', async (t) => {
    const s = await modelsStage(t, ({ openai, backup }) => ({
      providers: {
        openai: { kind: 'openai', url: openai as string, models: ['gpt-*'], concurrency: 1 },
        backup: { kind: 'openai', url: backup as string, models: ['big-*'] },
      },
      aliases: { small: ['openai/gpt-4o-mini', 'backup/big-1'] },
    }));
    s.openai.conduct = { delayMs: 300 };
    const first = s.clients.openai.chat.completions.create(CHAT);
    await until(() => s.openai.requests.length === 1);
    await s.clients.openai.chat.completions.create(CHAT);
    assert.equal(s.backup.requests.length, 1);
    const refused = await s.call('/v1/chat/completions', { ...CHAT, model: 'openai/gpt-4o' });
    assert.equal(refused.status, 503, 'a model without another provider');
    assert.equal(refused.headers.get('retry-after'), '1');
    await first;
  });

  it('is quoted at the dearest of its models, and never costs more than the quote', async (t) => {
    const s = await modelsStage(t);
    const [mini, big, alias] = [
      await quoteOf(s, { ...CHAT, model: 'openai/gpt-4o-mini' }),
      await quoteOf(s, { ...CHAT, model: 'backup/big-1' }),
      await quoteOf(s, CHAT),
    ];
    assert.ok(mini < big);
    assert.equal(alias, big);
    s.openai.conduct = { usage: 'twice' };
    await s.clients.openai.chat.completions.create(CHAT);
    const { cost, quote } = await s.receipt();
    assert.ok(parseUsd(`$${cost}`) <= parseUsd(`$${quote.max}`));
  });

  it('writes the limit where each of its models reads it', async (t) => {
    const s = await modelsStage(t);
    s.openai.conduct = { status: 500 };
    await s.clients.openai.chat.completions.create({ model: 'small', messages: MESSAGES });
    const [first, second] = [s.openai, s.backup].map(({ requests }) =>
      JSON.parse(String(requests[0]?.body)),
    );
    assert.equal(first.max_completion_tokens, 4096);
    assert.equal(second.max_tokens, 4096);
    assert.equal(second.max_completion_tokens, undefined);
  });

  it('is not tried again when a stream breaks after its first byte', async (t) => {
    const s = await modelsStage(t);
    s.openai.conduct = { cutAfterEvents: 3 };
    const stream = await s.clients.openai.chat.completions.create({ ...CHAT, stream: true });
    await assert.rejects(async () => {
      for await (const _ of stream);
    });
    assert.equal(s.backup.requests.length, 0);
    await until(async () => (await s.receipt()).state === 'released');
    assert.equal(await s.spent(), 0n);
  });

  it('on another path uses only the models that speak it', async (t) => {
    const s = await modelsStage(t);
    const ask = { model: 'any', max_tokens: 50, messages: MESSAGES };
    await s.clients.anthropic.messages.create(ask);
    assert.equal(s.anthropic.requests[0]?.path, '/v1/messages');
    assert.equal(s.openai.requests.length, 0);
  });

  it('whose models all fail costs nothing, and says nothing of the provider', async (t) => {
    const s = await modelsStage(t);
    s.openai.conduct = { status: 503 };
    s.backup.conduct = { status: 429, headers: { 'retry-after': '7', 'openai-organization': 'o' } };
    const response = await s.call('/v1/chat/completions', CHAT);
    assert.equal(response.status, 429);
    assert.equal(response.headers.get('retry-after'), '7');
    assert.equal(response.headers.get('openai-organization'), null);
    const text = await response.text();
    assert.doesNotMatch(text, /status 429/);
    assert.match(text, /Nothing was charged/);
    await assert.rejects(s.clients.openai.chat.completions.create(CHAT), OpenAI.RateLimitError);
    assert.equal(await s.spent(), 0n);
  });
});

describe('what is refused', () => {
  it('is a model that nobody serves, before anybody is asked to pay', async (t) => {
    const s = await modelsStage(t);
    for (const model of ['llama-9', 'openai/llama-9', 'nobody/gpt-4o', 'gpt-4o-nonsense']) {
      const { chat } = s.clients.openai;
      await assert.rejects(chat.completions.create({ ...CHAT, model }), (error) => {
        assert.ok(error instanceof OpenAI.NotFoundError);
        assert.equal(error.code, 'model_not_found');
        assert.match(error.message, new RegExp(model));
        return true;
      });
    }
    const unpaid = await s.call('/v1/chat/completions', { ...CHAT, model: 'llama-9' }, {});
    assert.equal(unpaid.status, 404);
    await assert.rejects(
      s.clients.anthropic.messages.create({
        ...{ model: 'gpt-4o-mini', max_tokens: 10, messages: MESSAGES },
      }),
      (error) => {
        assert.ok(error instanceof Anthropic.NotFoundError);
        assert.match(error.message, /not served on \/v1\/messages, but on \/v1\/chat\/completions/);
        return true;
      },
    );
    await assert.rejects(
      s.clients.openai.responses.create({ model: 'claude-haiku-4-5', input: 'Hello' }),
      OpenAI.NotFoundError,
    );
    assert.equal(await s.spent(), 0n);
    assert.equal(s.openai.requests.length, 0);
  });

  it('is a model without a price, which is also said at the start', async (t) => {
    const warnings: string[] = [];
    const quiet = () => {};
    const s = await modelsStage(
      t,
      ({ openai, backup }) => ({
        providers: {
          openai: { kind: 'openai', url: openai as string, models: ['gpt-*'] },
          local: { kind: 'openai', url: backup as string, models: ['llama3', 'qwen*'] },
        },
        aliases: { fast: ['local/llama3', 'openai/gpt-4o-mini'] },
        prices: {},
      }),
      {},
      {
        log: { info: quiet, error: quiet, warn: (_: object, text: string) => warnings.push(text) },
      },
    );
    assert.deepEqual(warnings.sort(), [
      'local/llama3 has no price and is refused',
      'local/llama3 of the alias fast has no price and is left out',
      'local/qwen* has no list prices: models that no price names are refused',
    ]);
    const refused = await s.call('/v1/chat/completions', { ...CHAT, model: 'llama3' });
    assert.equal(refused.status, 404);
    assert.match(await refused.text(), /There is no price for the model/);
    await s.clients.openai.chat.completions.create({ ...CHAT, model: 'fast' });
    assert.equal(s.backup.requests.length, 0);
  });

  it("is what the model refuses: the client's own fault is told in the model's words, once", async (t) => {
    const s = await modelsStage(t);
    s.openai.conduct = { status: 400 };
    await assert.rejects(s.clients.openai.chat.completions.create(CHAT), /status 400/);
    assert.equal(s.backup.requests.length, 0);
    assert.equal(await s.spent(), 0n);
  });

  it('is told in the form that the clients show', async (t) => {
    const s = await modelsStage(t);
    const create = (client: OpenAI, messages: typeof MESSAGES) =>
      client.chat.completions.create({ model: 'small', messages });
    await assert.rejects(create(s.clients.openai, []), /400 messages must be a list/);
    const baseURL = `${s.gateway.url}/v1`;
    const stranger = new OpenAI({ apiKey: s.key.slice(0, -1), baseURL, maxRetries: 0 });
    await assert.rejects(create(stranger, MESSAGES), /401 This API key is not known/);
  });

  it('is an hour in the cache, whose price the receipts do not know', async (t) => {
    const s = await modelsStage(t);
    const text = { type: 'text', text: 'x', cache_control: { type: 'ephemeral', ttl: '1h' } };
    const body = { model: 'claude-haiku-4-5', max_tokens: 10, system: [text], messages: MESSAGES };
    const response = await s.call('/v1/messages', body);
    assert.equal(response.status, 400);
    assert.match(await response.text(), /cache_control\.ttl/);
  });
});

describe('the routes of the models', () => {
  it('tell an empty request the most that any call costs', async (t) => {
    const s = await modelsStage(t);
    const probe = await fetch(`${s.gateway.url}/v1/chat/completions`, { method: 'POST' });
    assert.equal(probe.status, 402);
    const { quote } = (await probe.json()) as { quote: { max: string } };
    assert.equal(quote.max, '1');
  });

  it('yield to configured ones, and obey the free tier', async (t) => {
    const s = await modelsStage(t, undefined, {
      payments: { prepaid: {}, free: { callsPerDay: 1, perDayTotal: '$1' } },
      upstreams: { own: { url: 'http://127.0.0.1:9' } },
      routes: { 'POST /v1/embeddings': { upstream: 'own', price: '$0.5' } },
    });
    const anonymous = { 'content-type': 'application/json' };
    const free = await s.call('/v1/chat/completions', CHAT, anonymous);
    assert.equal(free.status, 200);
    await free.text();
    assert.equal((await s.call('/v1/chat/completions', CHAT, anonymous)).status, 402);
    assert.equal(await quoteOf(s, {}, '/v1/embeddings'), parseUsd('$0.5'));
  });

  it('send providers neither the key nor the payer, nor anything of the operator back', async (t) => {
    const s = await modelsStage(t);
    s.openai.conduct = { headers: { 'openai-organization': 'org-1', 'x-ratelimit-limit': '1' } };
    const response = await s.call('/v1/chat/completions', CHAT, {
      ...{ 'content-type': 'application/json', authorization: `Bearer ${s.key}` },
      ...{ 'openai-organization': 'mine', 'x-forwarded-for': '10.0.0.1' },
    });
    assert.equal(response.status, 200);
    assert.equal(response.headers.get('openai-organization'), null);
    assert.equal(response.headers.get('x-ratelimit-limit'), null);
    const [sent] = s.openai.requests;
    const headers = sent?.headers ?? {};
    assert.equal(headers.authorization, 'Bearer openai-secret');
    for (const name of [
      'x-payment-id',
      'x-payment-payer',
      'x-forwarded-for',
      'openai-organization',
    ])
      assert.equal(headers[name], undefined, name);
    assert.doesNotMatch(JSON.stringify(headers), new RegExp(s.key));
  });

  it('serve new models and prices after a reload', async (t) => {
    const s = await modelsStage(t);
    const { usage } = await s.clients.openai.chat.completions.create(CHAT);
    const before = await s.spent();
    const other = { ...s.models, markup: '500%', aliases: { tiny: ['openai/gpt-4o-mini'] } };
    const input = { database: s.gateway.database, payments: { prepaid: {} }, models: other };
    await s.gateway.gateway.reload(parseConfig(input, {}));
    await s.clients.openai.chat.completions.create({ ...CHAT, model: 'tiny' });
    const [read, output] = [usage?.prompt_tokens ?? 0, usage?.completion_tokens ?? 0];
    // $0.90 and $3.60 for a million.
    const cost = (BigInt(read) * 90n + BigInt(output) * 360n + 99n) / 100n;
    assert.equal((await s.spent()) - before, cost);
    assert.equal((await s.call('/v1/chat/completions', CHAT)).status, 404, 'the alias is gone');
  });
});
