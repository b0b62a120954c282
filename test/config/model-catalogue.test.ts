import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { PriceSource } from '../../src/config/load-list-prices.ts';
import { ModelCatalogue, ModelNotServed } from '../../src/config/model-catalogue.ts';
import { type ConfigInput, parseConfig } from '../../src/config.ts';
import type { MatchRule } from '../../src/pricing/list-prices.ts';

type Models = NonNullable<ConfigInput['models']>;

const CHAT = '/v1/chat/completions';

/** Publishes `acme` at its URL, and `reseller`, which sells the models of `acme` too. */
const SOURCE: PriceSource = {
  findProvider({ providerId, providerApiUrl }) {
    const model = (id: string, match: MatchRule, input_mtok: number, deprecated = false) => ({
      ...{ id, match, deprecated, context_window: 9_000 },
      prices: { input_mtok, output_mtok: 2 * input_mtok },
    });
    const acme = {
      id: 'acme',
      models: [
        model('duo', { equals: 'duo' }, 1),
        model('trio', { regex: '^trio-\\d{4}$' }, 2),
        model('old', { equals: 'old' }, 3, true),
      ],
    };
    const reseller = {
      id: 'reseller',
      models: [model('acme/duo', { equals: 'acme/duo' }, 5)],
      fallback_model_providers: ['acme', 'nobody'],
    };
    if (providerApiUrl !== undefined)
      return providerApiUrl.startsWith('https://acme.example') ? acme : undefined;
    // Loose, as the package is.
    if (providerId === 'reseller') return reseller;
    return providerId?.includes('acme') ? acme : undefined;
  },
};

function catalogueOf(models: Partial<Models>, source: PriceSource | null = SOURCE): ModelCatalogue {
  const all = { providers: {}, markup: '10%', max: '$1', ...models };
  const { models: compiled } = parseConfig({ payments: { prepaid: {} }, models: all }, {});
  assert.ok(compiled);
  return new ModelCatalogue(compiled, source, 0);
}

function names(catalogue: ModelCatalogue, asked: string, path = CHAT): string[] {
  return catalogue.candidatesOf(asked, path).map((one) => `${one.provider}/${one.model}`);
}

const place = (url: string, ...models: string[]) => ({ kind: 'openai' as const, url, models });

describe('the models of the gateway', () => {
  it('have the prices of their URL, of their exact name, or of the list that is named', () => {
    const providers = {
      shop: place('https://acme.example/v1', '*'),
      acme: place('http://127.0.0.1:1', '*'),
      'my-acme': place('http://127.0.0.1:2', '*'),
      other: { ...place('http://127.0.0.1:3', '*'), list: 'reseller' },
      wrong: { ...place('https://acme.example/v1', '*'), list: 'acme-2' },
    };
    const catalogue = catalogueOf({ providers });
    for (const name of ['shop', 'acme', 'other'])
      assert.deepEqual(names(catalogue, `${name}/duo`), [`${name}/duo`]);
    for (const name of ['my-acme', 'wrong'])
      assert.throws(() => catalogue.resolve(`${name}/duo`, CHAT), /no price/);
    assert.deepEqual(catalogue.unpriced(), [
      'my-acme/* has no list prices: models that no price names are refused',
      'wrong/* has no list prices: models that no price names are refused',
    ]);
    assert.equal(catalogue.contextTokensOf({ provider: 'shop', model: 'duo' }), 9_000);
  });

  it('are known by alias, by full name, and by a bare name, which may have a slash in it', () => {
    const catalogue = catalogueOf({
      providers: {
        acme: place('http://127.0.0.1:1', 'trio-*'),
        reseller: place('http://127.0.0.1:2', 'acme/*', 'duo'),
      },
      aliases: { two: ['reseller/duo', 'acme/trio-2026'], duo: ['acme/trio-2026'] },
    });
    assert.deepEqual(names(catalogue, 'two'), ['reseller/duo', 'acme/trio-2026']);
    assert.deepEqual(names(catalogue, 'duo'), ['acme/trio-2026'], 'an alias comes first');
    assert.deepEqual(names(catalogue, 'reseller/duo'), ['reseller/duo']);
    assert.deepEqual(names(catalogue, 'acme/duo'), ['reseller/acme/duo'], 'acme itself has none');
    assert.deepEqual(names(catalogue, 'trio-2025'), ['acme/trio-2025']);
    for (const asked of ['', '/', 'two/', 'acme/', 'constructor', '__proto__', 'trio-*'])
      assert.deepEqual(names(catalogue, asked), [], asked);
    assert.throws(() => catalogue.resolve('__proto__/duo', CHAT), ModelNotServed);
    assert.deepEqual(names(catalogue, 'duo', '/v1/messages'), []);
  });

  it('have no price by a pattern that is wider than its rule', () => {
    const catalogue = catalogueOf({ providers: { acme: place('http://127.0.0.1:1', '*') } });
    assert.deepEqual(names(catalogue, 'trio-2026'), ['acme/trio-2026']);
    assert.deepEqual(names(catalogue, 'trio-max'), []);
    assert.deepEqual(names(catalogue, 'DUO'), []);
  });

  it('are listed when they are named and priced, without those of yesterday', () => {
    const catalogue = catalogueOf({
      providers: {
        acme: place('http://127.0.0.1:1', '*'),
        local: place('http://127.0.0.1:2', 'mine', 'his', 'hers-*'),
      },
      aliases: { two: ['acme/trio-2026', 'local/his'] },
      prices: { 'local/mine': '$0.01' },
    });
    const known = catalogue.known();
    assert.deepEqual(
      known.map(({ id }) => id),
      ['two', 'acme/trio-2026', 'acme/duo', 'local/mine'],
    );
    assert.deepEqual(known[0]?.candidates, [{ provider: 'acme', model: 'trio-2026' }]);
    assert.deepEqual(known[2]?.paths, [CHAT, '/v1/responses']);
    assert.equal(catalogue.unpriced().length, 3);
  });

  it('are sold only at prices that the config names where there is no list', () => {
    const catalogue = catalogueOf(
      {
        providers: { acme: place('http://127.0.0.1:1', '*') },
        prices: { 'acme/d*': '$0.01' },
      },
      null,
    );
    assert.deepEqual(names(catalogue, 'duo'), ['acme/duo']);
    assert.deepEqual(names(catalogue, 'trio-2026'), []);
  });
});

describe('the routes of the models', () => {
  const routesOf = (kind: 'openai' | 'anthropic', routes: ConfigInput['routes'] = {}) =>
    parseConfig(
      {
        payments: { prepaid: {} },
        upstreams: { own: { url: 'http://127.0.0.1:1' } },
        routes,
        models: {
          ...{ markup: '0%', max: '$1', timeout: '9m', free: false, chargeMax: true },
          providers: { one: { ...place('http://127.0.0.1:1', '*'), kind } },
        },
      },
      {},
    ).routes;

  it('are those that a provider serves, with what the config says of them', () => {
    const routes = routesOf('anthropic');
    assert.deepEqual(
      routes.map(({ id }) => id),
      [
        ...['POST /v1/chat/completions', 'POST /v1/messages'],
        ...['GET /v1/models', 'GET /v1/models/*'],
      ],
    );
    const [chat] = routes;
    assert.equal(chat?.timeoutMs, 540_000);
    assert.equal(chat?.freeTier, false);
    assert.equal(chat?.chargeMax, true);
    assert.equal(routes.at(-1)?.price.kind, 'free');
  });

  it('yield to those of the config', () => {
    const own = { upstream: 'own', price: '$1' };
    const routes = routesOf('openai', {
      ...{ 'POST /v1/responses': own, '* /v1/models': own, 'GET /v1/embeddings': own },
    });
    assert.deepEqual(
      routes.map(({ id }) => id),
      [
        ...['POST /v1/responses', '* /v1/models', 'GET /v1/embeddings'],
        ...['POST /v1/chat/completions', 'POST /v1/embeddings', 'GET /v1/models/*'],
      ],
    );
  });
});
