import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseUsd } from '../../src/core/money.ts';
import { problemAt, withRoute } from '../config/config-of.ts';
import { type MeteredStage, meteredStage } from './metered-stage.ts';

const PRICE = { per: { inputToken: '$1/1M', outputToken: '$10/1M' }, max: '$5' };
const PLAIN = { upstream: 'models', price: PRICE };

async function quoteOf(s: MeteredStage, path: string, body: object): Promise<bigint> {
  const response = await fetch(s.gateway.url + path, {
    ...{ method: 'POST', headers: { 'content-type': 'application/json' } },
    body: JSON.stringify(body),
  });
  const text = await response.text();
  assert.equal(response.status, 402, text);
  return parseUsd(`$${(JSON.parse(text) as { quote: { max: string } }).quote.max}`);
}

test('what an operator says of the models behind a route bounds what a request does not tell', async (t) => {
  const s = await meteredStage(t, {
    routes: {
      'POST /plain/responses': PLAIN,
      'POST /v1/responses': {
        ...{ ...PLAIN, contextTokens: '100k', allow: ['store'], webSearches: 2, imageTokens: 500 },
      },
    },
  });
  const earlier = {
    ...{ model: 'gpt-4o', input: 'Go on', max_output_tokens: 100 },
    ...{ previous_response_id: 'resp_1', store: true },
  };
  const refused = await s.call('/plain/responses', { ...earlier, store: false });
  assert.equal(refused.status, 400);
  assert.match(await refused.text(), /previous_response_id/);
  assert.match(await (await s.call('/plain/responses', { ...earlier })).text(), /store/);
  assert.equal(await quoteOf(s, '/v1/responses', earlier), 100_000n + 1_000n);

  const image = { type: 'input_image', image_url: 'data:image/png;base64,AA==' };
  const see = (images: number): object => ({
    ...{ model: 'gpt-4o', max_output_tokens: 100 },
    input: [{ role: 'user', content: Array.from({ length: images }, () => image) }],
  });
  const [one, two] = [
    await quoteOf(s, '/v1/responses', see(1)),
    await quoteOf(s, '/v1/responses', see(2)),
  ];
  assert.ok(two - one >= 500n && two - one < 520n, `${two - one}`);
  const search = { ...see(0), input: 'News?', tools: [{ type: 'web_search' }] };
  assert.equal((await s.call('/plain/responses', search)).status, 400);
  assert.equal(await quoteOf(s, '/v1/responses', search), 300_000n + 1_000n, 'three rounds');
});

test('compute is what the header says, up to its maximum, which is what a call is quoted', async (t) => {
  const price = { per: { computeMs: '$0.001' }, max: '$9' };
  const s = await meteredStage(t, {
    routes: {
      'POST /v1/models': {
        ...{ upstream: 'models', price, computeMs: { max: 2_000, header: 'X-Compute-Ms' } },
      },
    },
  });
  assert.equal(await quoteOf(s, '/v1/models', {}), parseUsd('$2'));
  const answer = await s.call('/v1/models', {}, { headers: { 'x-compute-ms': '12.5' } });
  assert.equal(answer.status, 200);
  assert.equal(answer.headers.get('x-payment-cost'), '0.013');
  const much = await s.call('/v1/models', {}, { headers: { 'x-compute-ms': '999999' } });
  assert.equal(much.headers.get('x-payment-cost'), '2');
});

test('what is no such option is refused with its path', () => {
  problemAt('routes.POST /a.contextTokens', withRoute('POST /a', { contextTokens: 'many' }));
  problemAt('routes.POST /a.webSearches', withRoute('POST /a', { webSearches: 0 }));
  problemAt(
    'routes.POST /a.computeMs.header',
    withRoute('POST /a', { computeMs: { header: 'a b' } }),
  );
});
