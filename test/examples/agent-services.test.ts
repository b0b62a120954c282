import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { receiptOf } from '../../src/client/index.ts';
import { parseUsd } from '../../src/core/money.ts';
import {
  type DevnetAccount,
  type EvmDevnet,
  startEvmDevnet,
} from '../../src/devnet/start-evm-devnet.ts';
import { createKey } from '../attacks/fixture.ts';
import { failOnLeaks } from '../support/leak-check.ts';
import { importsOf, readSourceFiles } from '../support/source-files.ts';
import { type AgentServices, type Caller, startAgentServices } from './agent-services-stage.ts';

failOnLeaks();

const DOLLAR = parseUsd('$1');

let chain: EvmDevnet;
let nextPayer = 1;

before(async () => {
  chain = await startEvmDevnet({ accountsCount: 20 });
});
after(() => chain.close());

function payerOf(): DevnetAccount {
  const payer = chain.accounts[nextPayer++];
  assert.ok(payer, 'the devnet has too few accounts');
  return payer;
}

interface Call {
  readonly path: string;
  readonly body: string;
  readonly cost: string;
  readonly answer: object;
}

/** Every body that is published, character by character. */
const MODEL_CALLS: readonly Call[] = [
  {
    path: '/summarize',
    body: '{"text": "Your text here", "length": "short"}',
    cost: '0.006',
    answer: { summary: 'Your text here.' },
  },
  {
    path: '/summarize',
    body: '{"text": "Long article text...", "length": "short"}',
    cost: '0.006',
    answer: { summary: 'Long article text.' },
  },
  {
    path: '/extract',
    body: '{"text": "Ada Lovelace was born in London in 1815.", "fields": ["name", "year"]}',
    cost: '0.006',
    answer: { data: { name: 'the name', year: 'the year' } },
  },
  {
    path: '/research',
    body: '{"topic": "HTTP 402 and machine payments"}',
    cost: '0.006',
    answer: {
      topic: 'HTTP 402 and machine payments',
      report: 'HTTP 402 and machine payments.',
    },
  },
  {
    path: '/translate',
    body: '{"text": "Coins go into slots.", "language": "German"}',
    cost: '0.006',
    answer: { translation: 'Coins go into slots.', language: 'German' },
  },
  {
    path: '/classify',
    body: '{"text": "The slot ate my coin!", "categories": ["complaint", "praise"]}',
    cost: '0.006',
    answer: { category: 'complaint' },
  },
  {
    path: '/sentiment',
    body: '{"text": "What a lovely machine."}',
    cost: '0.006',
    answer: { sentiment: 'positive' },
  },
];

const QUARTERS = 'The slot on the left takes quarters.';
const STORE = JSON.stringify({ text: QUARTERS });

async function answerOf(response: Response): Promise<Record<string, unknown>> {
  const text = await response.text();
  assert.equal(response.status, 200, text);
  return JSON.parse(text) as Record<string, unknown>;
}

async function found(
  services: AgentServices,
  by: Caller,
  query: Readonly<Record<string, unknown>>,
): Promise<string[]> {
  const answer = await answerOf(await services.post('/memory/search', JSON.stringify(query), by));
  return (answer.results as { text: string }[]).map(({ text }) => text);
}

describe('the source of the example', () => {
  it('imports its own files, Node, and only in the agent what a user could: coinslot/client', () => {
    const files = readSourceFiles(['examples/agent-services/*.ts']);
    const packages = files.flatMap((file) =>
      importsOf(file)
        .filter(({ specifier }) => !/^(node:|\.\/[^/]+\.ts$)/.test(specifier))
        .map(({ specifier }) => `${file.path} ${specifier}`),
    );
    assert.deepEqual(packages, ['examples/agent-services/agent.ts coinslot/client']);
  });
});

describe('the services for agents', () => {
  for (const rail of ['free', 'prepaid', 'x402'] as const)
    it(`answer every published body, paid by ${rail}, at the published price`, async (t) => {
      const services = await startAgentServices(t, chain, rail === 'x402' ? 0 : 10);
      const by: Caller =
        rail === 'free' ? {} : rail === 'prepaid' ? { key: services.key } : { wallet: payerOf() };
      const costs: (string | null | undefined)[] = [];
      const call = async (path: string, body: string): Promise<Record<string, unknown>> => {
        const response = await services.post(path, body, by);
        costs.push(receiptOf(response)?.cost);
        return await answerOf(response);
      };
      for (const { path, body, answer } of MODEL_CALLS)
        assert.deepEqual(await call(path, body), answer);
      const { id, space } = await call('/memory/store', STORE);
      const search = { query: 'quarters', ...(rail === 'free' ? { space } : {}) };
      const { results } = await call('/memory/search', JSON.stringify(search));
      const [{ storedAt, ...result }] = results as [Record<string, unknown>];
      assert.deepEqual(result, { id, text: QUARTERS });
      assert.match(String(storedAt), /^\d{4}-\d\d-\d\dT[\d:.]+Z$/);

      const prices = [...MODEL_CALLS.map(({ cost }) => cost), '0.002', '0.002'];
      assert.deepEqual(costs, rail === 'free' ? prices.map(() => '0') : prices);
      const total = parseUsd('$0.046');
      assert.equal(await services.keyBalance(), rail === 'prepaid' ? DOLLAR - total : DOLLAR);
      assert.equal(await services.received(), rail === 'x402' ? total : 0n);
    });

  it('ask the model that the environment names, and bound what it may write', async (t) => {
    const services = await startAgentServices(t, chain, 1);
    await answerOf(await services.post('/sentiment', '{"text": "Fine."}'));
    const [asked] = services.model.requests;
    assert.equal(asked?.authorization, 'Bearer key-of-the-model');
    assert.equal(asked?.model, 'small-model');
    assert.ok((asked?.max_tokens ?? 0) > 0);
  });

  it('give each length of a summary a task of its own, the short one by default', async (t) => {
    const services = await startAgentServices(t, chain, 4);
    for (const length of [undefined, 'short', 'medium', 'long'])
      await answerOf(await services.post('/summarize', JSON.stringify({ text: 'A.', length })));
    const tasks = services.model.requests.map(({ messages }) => messages[0]?.content);
    assert.equal(tasks[0], tasks[1]);
    assert.equal(new Set(tasks).size, 3);
  });
});

describe('an agent with a wallet', () => {
  it('pays $0.014 for research, extract and store: in its receipts, the ledger and the chain', async (t) => {
    const services = await startAgentServices(t, chain, 0);
    const { ledger, url } = services.gateway;
    const payer = payerOf();
    const before = await chain.usdcBalance(payer.address);
    const topic = 'HTTP 402 and machine payments';
    const command = `WALLET_KEY=${payer.privateKey} node agent.ts ${url} '${topic}'`;
    const { code, stdout, terminal } = await services.workspace.run(command);
    assert.equal(code, 0, terminal);

    const printed = [...stdout.matchAll(/^(\$\S+) +(\/\S+) +(pay_\S+) +(0x\S+)$/gm)];
    assert.deepEqual(
      printed.map(([, cost, path]) => `${path} ${cost}`),
      ['/research $0.006', '/extract $0.006', '/memory/store $0.002'],
    );
    assert.match(stdout, /^total {4}\$0\.014$/m);

    for (const [, cost = '', , id, transaction] of printed) {
      const receipt = await answerOf(await fetch(`${url}/_pay/payments/${id}`));
      assert.deepEqual(
        [receipt.state, receipt.cost, receipt.transaction],
        ['settled', cost.slice(1), transaction],
      );
      const mined = await chain.rpc('eth_getTransactionReceipt', [transaction]);
      assert.equal((mined as { status: string }).status, '0x1');
    }
    const payments = await ledger.listPayments({ limit: 10, state: 'settled' });
    assert.deepEqual(payments.map(({ amount }) => amount).reverse(), [6_000n, 6_000n, 2_000n]);
    const revenue = (await ledger.balances()).filter(({ account }) => /^revenue:/.test(account));
    assert.deepEqual(
      Object.fromEntries(revenue.map(({ account, balance }) => [account, balance])),
      {
        'revenue:POST /research': 6_000n,
        'revenue:POST /extract': 6_000n,
        'revenue:POST /memory/store': 2_000n,
      },
    );
    assert.deepEqual(await ledger.audit(), []);
    assert.equal(before - (await chain.usdcBalance(payer.address)), 14_000n);
    assert.equal(await services.received(), 14_000n);

    const stored = await found(services, { wallet: payer }, { query: 'machine payments' });
    assert.deepEqual(stored, [
      `${topic}: {"definition":"the definition","open questions":"the open questions"}`,
    ]);
  });

  it('stops at the first call that fails, and has paid for none', async (t) => {
    const services = await startAgentServices(t, chain, 0);
    services.model.reply({ status: 500 });
    const command = `WALLET_KEY=${payerOf().privateKey} node agent.ts ${services.gateway.url}`;
    const { code, terminal } = await services.workspace.run(command);
    assert.equal(code, 1);
    assert.match(terminal, /\/research answered 502: The model answered with status 500\./);
    assert.equal(await services.received(), 0n);
  });
});

describe('the memory', () => {
  it('shows what was stored to the payer that stored it, and to no other', async (t) => {
    const services = await startAgentServices(t, chain, 3);
    const other = await createKey(services.gateway.ledger);
    const [first, second] = [payerOf(), payerOf()];
    // The wallets come when the free calls of this address are used.
    for (let call = 0; call < 3; call++) await services.post('/sentiment', '{"text": "Fine."}');
    const payers: Caller[] = [
      { key: services.key },
      { key: other.key },
      { wallet: first },
      { wallet: second },
    ];
    for (const [index, by] of payers.entries()) {
      assert.deepEqual(await found(services, by, { query: 'quarters' }), []);
      await answerOf(
        await services.post('/memory/store', JSON.stringify({ text: `quarters ${index}` }), by),
      );
    }
    for (const [index, by] of payers.entries())
      assert.deepEqual(await found(services, by, { query: 'quarters' }), [`quarters ${index}`]);
  });

  it('is not opened by a caller who writes the header of the gateway himself', async (t) => {
    const services = await startAgentServices(t, chain, 2);
    const owner = await createKey(services.gateway.ledger);
    await answerOf(await services.post('/memory/store', STORE, { key: owner.key }));
    const headers = { 'X-Payment-Payer': `key:${owner.id}` };
    const query = { query: 'quarters' };
    assert.deepEqual(await found(services, { key: services.key, headers }, query), []);
    const free = await services.post('/memory/search', JSON.stringify(query), { headers });
    assert.equal(free.status, 400);
    assert.deepEqual(await found(services, { key: owner.key }, query), [QUARTERS]);
  });

  it('shares nothing between free calls but what is in a space that both know', async (t) => {
    const services = await startAgentServices(t, chain, 10);
    const { space } = await answerOf(await services.post('/memory/store', STORE));
    const { space: another } = await answerOf(await services.post('/memory/store', STORE));
    assert.notEqual(space, another);
    // The same address, without the space.
    const blind = await services.post('/memory/search', '{"query": "quarters"}');
    assert.equal(blind.status, 400);
    assert.match(await blind.text(), /space must be/);
    const more = JSON.stringify({ text: 'Quarters are silver.', space });
    assert.equal((await answerOf(await services.post('/memory/store', more))).space, space);
    for (const by of [{}, { address: '203.0.113.7' }, { key: services.key }]) {
      const texts = await found(services, by, { query: 'quarters', space });
      assert.deepEqual(texts.sort(), ['Quarters are silver.', QUARTERS]);
    }
    assert.deepEqual(await found(services, { key: services.key }, { query: 'quarters' }), []);
  });

  it('takes every query as words, never as an operator of the search', async (t) => {
    const services = await startAgentServices(t, chain, 0);
    const by = { key: services.key };
    await answerOf(await services.post('/memory/store', STORE, by));
    for (const query of ['left" OR scope:*', 'NOT quarters', '(quarters', 'a*b LEFT', 'text:slot'])
      assert.deepEqual(await found(services, by, { query }), [QUARTERS], query);
    assert.deepEqual(await found(services, by, { query: 'scope wallet' }), []);
  });
});

const BROKEN = [
  { what: 'a model that fails', path: '/summarize', reply: { status: 500 } },
  { what: 'a model that is busy', path: '/summarize', reply: { status: 429 } },
  { what: 'an answer that is no JSON', path: '/summarize', reply: { raw: '<html>' } },
  { what: 'an answer of null', path: '/summarize', reply: { raw: 'null' } },
  { what: 'an empty answer', path: '/summarize', reply: { content: ' ' } },
  { what: 'no answer', path: '/summarize', reply: { content: null } },
  {
    what: 'an answer that was cut off',
    path: '/summarize',
    reply: { content: 'It', finishReason: 'length' },
  },
  { what: 'words in place of JSON', path: '/extract', reply: { content: 'I cannot.' } },
  { what: 'broken JSON', path: '/extract', reply: { content: '{"name": }' } },
  { what: 'a category of its own', path: '/classify', reply: { content: 'other' } },
  { what: 'a mood of its own', path: '/sentiment', reply: { content: 'hungry' } },
];

describe('what is not charged', () => {
  it('a model that is down, or answers nothing of use: 502', async (t) => {
    const services = await startAgentServices(t, chain, 0);
    const wallet = payerOf();
    const send = async (path: string, by: Caller): Promise<void> => {
      const body = MODEL_CALLS.find((call) => call.path === path)?.body ?? '';
      const response = await services.post(path, body, by);
      assert.equal(response.status, 502);
      assert.match(await response.text(), /"error":"The (model|answer of the model) /);
    };
    for (const { what, path, reply } of BROKEN)
      await t.test(what, async () => {
        services.model.reply(reply);
        await send(path, { key: services.key });
      });
    await send('/classify', { wallet });
    await services.model.close();
    for (const { path } of MODEL_CALLS) await send(path, { key: services.key });
    await send('/research', { wallet });
    await assertNothingCharged(services);
  });

  const text = 'A text.';
  const wrong: readonly (readonly [path: string, body: unknown, error: RegExp])[] = [
    ['/summarize', '', /not JSON/],
    ['/summarize', 'text=A', /not JSON/],
    ['/summarize', '["A text."]', /JSON object/],
    ['/summarize', 'null', /JSON object/],
    ['/summarize', {}, /text must be a text/],
    ['/summarize', { text: 7 }, /text must be a text/],
    ['/summarize', { text: '  ' }, /text must be a text/],
    ['/summarize', { text: 'a'.repeat(20_001) }, /text must have at most 20000 characters/],
    ['/summarize', { text, length: 'tiny' }, /length must be one of short, medium, long/],
    ['/extract', { text }, /fields must be a list of 1 to 20 names/],
    ['/extract', { text, fields: [] }, /fields must be a list/],
    ['/extract', { text, fields: ['a', 7] }, /fields must be a text/],
    ['/extract', { text, fields: ['a', 'a'] }, /fields must not repeat/],
    ['/extract', { fields: ['a'] }, /text must be a text/],
    ['/research', { text }, /topic must be a text/],
    ['/research', { topic: 'a\nb' }, /topic must be one line/],
    ['/translate', { text }, /language must be a text/],
    ['/translate', { text: 'a'.repeat(2_001), language: 'German' }, /at most 2000/],
    ['/classify', { text, categories: ['one'] }, /categories must be a list of 2/],
    ['/sentiment', { sentiment: 'good' }, /text must be a text/],
    ['/memory/store', { query: 'a' }, /text must be a text/],
    ['/memory/store', { text, space: 'mine' }, /space must be one that/],
    ['/memory/search', { text }, /query must be a text/],
    ['/memory/search', { query: '"*"' }, /query must have a word/],
  ];

  it('a body that is wrong: 400, which names what is wrong, before the model is asked', async (t) => {
    const services = await startAgentServices(t, chain, 0);
    const wallet = payerOf();
    for (const [path, value, error] of wrong) {
      const body = typeof value === 'string' ? value : JSON.stringify(value);
      const response = await services.post(path, body, { key: services.key });
      assert.equal(response.status, 400, `${path} ${body.slice(0, 60)}`);
      assert.match(((await response.json()) as { error: string }).error, error);
    }
    assert.equal((await services.post('/summarize', '{}', { wallet })).status, 400);
    assert.equal(services.model.requests.length, 0);
    await assertNothingCharged(services);
  });

  it('a free call that fails, which stays in the quota', async (t) => {
    const services = await startAgentServices(t, chain, 1);
    assert.equal((await services.post('/summarize', '{}')).status, 400);
    services.model.reply({ status: 500 });
    assert.equal((await services.post('/sentiment', '{"text": "Fine."}')).status, 502);
    services.model.reply(null);
    await answerOf(await services.post('/sentiment', '{"text": "Fine."}'));
    assert.equal((await services.post('/sentiment', '{"text": "Fine."}')).status, 402);
  });
});

async function assertNothingCharged(services: AgentServices): Promise<void> {
  const payments = await services.gateway.ledger.listPayments({ limit: 1_000 });
  assert.ok(payments.length > 0);
  for (const { state, amount, route } of payments)
    assert.deepEqual([state, amount], ['released', 0n], route);
  assert.equal(await services.keyBalance(), DOLLAR);
  assert.equal(await services.received(), 0n);
}
