/** `POST /_pay/quote`: the offers of a 402 for clients that never get to see one. */

import assert from 'node:assert/strict';
import { after, before, type TestContext, test } from 'node:test';
import { x402Client, x402HTTPClient } from '@x402/core/client';
import { ExactEvmScheme } from '@x402/evm';
import fc from 'fast-check';
import { privateKeyToAccount } from 'viem/accounts';
import { type EvmDevnet, startEvmDevnet } from '../../src/devnet/start-evm-devnet.ts';
import { startGateway, type TestConfig, type TestGateway } from '../support/start-gateway.ts';
import { startUpstream, type TestUpstream } from '../support/start-upstream.ts';
import { meteredStage } from './metered-stage.ts';
import { priceStage } from './price-stage.ts';

let chain: EvmDevnet;
before(async () => {
  chain = await startEvmDevnet();
});
after(() => chain.close());

const ask = (url: string, described: unknown, init: RequestInit = {}): Promise<Response> =>
  fetch(`${url}/_pay/quote`, {
    ...{ method: 'POST', headers: { 'content-type': 'application/json' } },
    body: typeof described === 'string' ? described : JSON.stringify(described),
    ...init,
  });

async function stage(
  t: TestContext,
  over: Partial<TestConfig> = {},
): Promise<{ upstream: TestUpstream; gateway: TestGateway }> {
  const upstream = await startUpstream(t);
  const gateway = await startGateway(t, {
    upstreams: { api: { url: upstream.url } },
    payments: { prepaid: {}, free: { callsPerDay: 3 } },
    routes: {
      'POST /echo': { upstream: 'api', price: '$0.01' },
      'GET /status/:code': { upstream: 'api', price: 'free' },
      'POST /images': {
        upstream: 'api',
        price: { by: { 'body.size': { large: '$0.08', small: '$0.04', '*': 'refuse' } } },
      },
      'POST /tiered': {
        upstream: 'api',
        price: { by: { 'header.x-tier': { gold: '$0.002', '*': '$0.005' } } },
      },
    },
    ...over,
  });
  return { upstream, gateway };
}

test('an official x402 client signs the offer of a quote and pays the real request with it', async (t) => {
  const s = await priceStage(t, chain, 2, '$0.01');
  const { url } = s.gateway;
  const answer = await ask(url, { method: 'POST', path: '/echo', body: 'hello' });
  assert.equal(answer.status, 200);
  assert.equal(answer.headers.get('cache-control'), 'no-store');
  const body = (await answer.json()) as { paymentRequired: never; accepts: unknown[] };
  const header = answer.headers.get('payment-required') ?? '';
  assert.deepEqual(body.paymentRequired, JSON.parse(Buffer.from(header, 'base64').toString()));

  const real = await fetch(`${url}/echo`, { method: 'POST', body: 'hello' });
  assert.equal(real.status, 402);
  const unpaid = (await real.json()) as Record<string, unknown>;
  assert.deepEqual(
    Object.keys(body).filter((name) => name !== 'paymentRequired'),
    Object.keys(unpaid),
    'what a quote says beside paymentRequired is what a 402 says',
  );
  assert.deepEqual(body.accepts, unpaid.accepts);

  await s.setPrice('$0.05');
  const client = new x402Client().register(
    chain.network,
    new ExactEvmScheme(privateKeyToAccount(s.payer.privateKey)),
  );
  const payment = await client.createPaymentPayload(body.paymentRequired);
  const headers = new x402HTTPClient(client).encodePaymentSignatureHeader(payment);
  const paid = await fetch(`${url}/echo`, { method: 'POST', body: 'hello', headers });
  assert.equal(paid.status, 200, await paid.clone().text());
  assert.equal(await s.paid(), 10_000n);
  const again = await fetch(`${url}/echo`, { method: 'POST', body: 'other', headers });
  assert.equal(again.status, 409, 'an offer pays one request');
});

test('a quote is the price of exactly the request that is described: model, limits, body and headers', async (t) => {
  const { gateway } = await stage(t);
  const max = async (described: object): Promise<string> => {
    const answer = await ask(gateway.url, described);
    assert.equal(answer.status, 200, await answer.clone().text());
    return ((await answer.json()) as { quote: { max: string } }).quote.max;
  };
  assert.equal(await max({ path: '/images', body: { size: 'large' } }), '0.08');
  assert.equal(await max({ path: '/images', body: '{"size":"small"}' }), '0.04');
  assert.equal(await max({ path: '/tiered', headers: { 'X-Tier': 'gold' } }), '0.002');
  assert.equal(await max({ method: 'post', path: '/tiered?x=1', headers: {} }), '0.005');
  const refused = await ask(gateway.url, { path: '/images', body: { size: 'huge' } });
  assert.equal(refused.status, 400);
  assert.equal(((await refused.json()) as { code: string }).code, 'request_not_priced');

  const s = await meteredStage(t);
  const described = {
    path: '/v1/chat/completions',
    body: { model: 'gpt-4o-mini', messages: [{ role: 'user', content: 'Hi' }], max_tokens: 100 },
  };
  const quoted = await ask(s.gateway.url, described);
  const unpaid = await fetch(s.gateway.url + described.path, {
    ...{ method: 'POST', headers: { 'content-type': 'application/json' } },
    body: JSON.stringify(described.body),
  });
  const quoteOf = async (answer: Response): Promise<unknown> =>
    ((await answer.json()) as { quote: { max: string } }).quote.max;
  assert.equal(await quoteOf(quoted), await quoteOf(unpaid));
  const broken = await ask(s.gateway.url, { path: described.path, body: { model: 'gpt-4o-mini' } });
  assert.equal(broken.status, 400);
  assert.match(await broken.text(), /messages/);
});

test('a quote runs nothing, claims nothing, writes nothing and takes no free call', async (t) => {
  const { gateway, upstream } = await stage(t);
  const left: unknown[] = [];
  for (let i = 0; i < 5; i++) {
    const answer = await ask(gateway.url, { path: '/echo', body: 'x' });
    left.push(((await answer.json()) as { freeCallsRemaining: number }).freeCallsRemaining);
  }
  assert.deepEqual(left, [3, 3, 3, 3, 3]);
  assert.deepEqual(await gateway.ledger.listPayments({ limit: 10 }), []);
  assert.deepEqual(await gateway.ledger.entries({ limit: 10 }), []);
  assert.equal(upstream.calls('/echo'), 0);
});

test('a route without a price is said to be free; what no route names is 404, and its method 405', async (t) => {
  const { gateway } = await stage(t);
  const free = await ask(gateway.url, { method: 'GET', path: '/status/204' });
  assert.equal(free.status, 200);
  const body = (await free.json()) as Record<string, unknown>;
  assert.deepEqual([body.free, body.quote], [true, { max: '0', currency: 'USD' }]);
  for (const [described, status] of [
    [{ path: '/nothing' }, 404],
    [{ path: '/_pay/quote' }, 404],
    [{ method: 'GET', path: '/echo' }, 405],
    [{ path: '/echo%2f..' }, 400],
  ] as const)
    assert.equal((await ask(gateway.url, described)).status, status, JSON.stringify(described));
  const wrong = await fetch(`${gateway.url}/_pay/quote`);
  assert.deepEqual([wrong.status, wrong.headers.get('allow')], [405, 'POST']);
});

test('a description that makes no sense is 400 and names the field', async (t) => {
  const { gateway } = await stage(t);
  const deep = `{"path":"/echo","body":${'['.repeat(200_000)}${']'.repeat(200_000)}}`;
  for (const [described, named] of [
    ['', /JSON/],
    ['[]', /object/],
    ['\ud800', /path|JSON/],
    [{ path: 'echo' }, /^path/],
    [{ path: 7 }, /^path/],
    [{}, /^path/],
    [{ method: 'GET /x', path: '/echo' }, /^method/],
    [{ method: null, path: '/echo' }, /^method/],
    [{ path: '/echo', headers: ['a'] }, /^headers/],
    [{ path: '/echo', headers: { 'a b': 'c' } }, /^headers/],
    [{ path: '/echo', headers: { a: 1 } }, /^headers\.a/],
    [{ path: '/echo', headers: { a: 'b\r\nx-api-key: c' } }, /^headers\.a/],
    [{ path: '/echo', heders: {} }, /heders/],
    [deep, /deep|JSON/],
  ] as const) {
    const answer = await ask(gateway.url, described);
    const { detail } = (await answer.json()) as { detail: string };
    assert.equal(answer.status, 400, detail);
    assert.match(detail, named);
  }
});

test('no description makes it fail, whatever it says', async (t) => {
  const { gateway } = await stage(t, { limits: { unpaidPerMinute: 100_000 } });
  const described = fc.record(
    {
      method: fc.oneof(fc.constantFrom('POST', 'GET'), fc.string()),
      path: fc.oneof(fc.constantFrom('/echo', '/images', '/tiered?a'), fc.webPath(), fc.string()),
      headers: fc.oneof(fc.dictionary(fc.string(), fc.string()), fc.jsonValue()),
      body: fc.oneof(fc.jsonValue(), fc.string({ unit: 'binary' })),
    },
    { requiredKeys: [] },
  );
  await fc.assert(
    fc.asyncProperty(fc.oneof(described, fc.jsonValue()), async (value) => {
      const answer = await ask(gateway.url, JSON.stringify(value));
      assert.ok([200, 400, 404, 405].includes(answer.status), `${answer.status}`);
    }),
    { numRuns: 300 },
  );
});

test('quotes count as 402s do, and a body beyond the limit is refused', async (t) => {
  const { gateway } = await stage(t, { limits: { unpaidPerMinute: 3, bodyBytes: '1KiB' } });
  const large = await ask(gateway.url, { path: '/echo', body: 'x'.repeat(2_000) });
  assert.equal(large.status, 413);
  assert.equal((await ask(gateway.url, { path: '/echo' })).status, 200);
  const real = await fetch(`${gateway.url}/echo`, { method: 'POST' });
  await real.text();
  assert.equal((await ask(gateway.url, { path: '/echo' })).status, 200);
  const over = await ask(gateway.url, { path: '/echo' });
  assert.equal(over.status, 429);
  assert.ok(over.headers.get('retry-after'));
});
