import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { readYaml } from '../../src/config/read-yaml.ts';
import { type Config, ConfigError, parseConfig } from '../../src/config.ts';
import { FLAT_WORK, flatTerms } from '../../src/pricing/flat-work.ts';
import { formatPrice } from '../../src/pricing/format-price.ts';
import { quoteMax } from '../../src/pricing/quote-max.ts';
import { configWith, problemAt, problemsOf, withRoute } from './config-of.ts';

const routeOf = (route: object) => {
  const [first] = parseConfig(withRoute('POST /a', route), {}).routes;
  assert.ok(first);
  return first;
};

describe('the price of a route', () => {
  it('is compiled from every form', () => {
    for (const [price, text] of [
      ['free', 'free'],
      ['$0.006', '$0.006'],
      [{ per: { call: '$0.006' } }, '$0.006'],
      [
        { per: { outputToken: '$0.60/1M', inputToken: '$0.15/1M' }, max: '$0.05' },
        '{ per: { inputToken: $0.15/1M, outputToken: $0.6/1M }, max: $0.05 }',
      ],
    ] as const)
      assert.equal(formatPrice(routeOf({ price }).price), text);
  });

  it('has problems at their places in the file, and beside all others', () => {
    const problems = problemsOf(
      withRoute('POST /a', {
        upstream: 'nowhere',
        price: { per: { inputToken: '1' }, min: '$1', max: 5 },
      }),
    );
    assert.deepEqual(problems.map(({ path }) => path).sort(), [
      'routes.POST /a.price.max',
      'routes.POST /a.price.per.inputToken',
      'routes.POST /a.upstream',
    ]);
  });

  it('has problems with the lines of the file', () => {
    const yaml = readYaml(
      [
        'upstreams: { tools: { url: http://127.0.0.1:8080 } }',
        'payments: { prepaid: {} }',
        'routes:',
        '  POST /a:',
        '    upstream: tools',
        '    price:',
        '      by:',
        '        body.size:',
        '          "1024x1024": $0.04',
        '          "*": 0.08',
      ].join('\n'),
      'coinslot.yaml',
    );
    assert.throws(
      () => parseConfig(yaml.value, {}, { file: 'coinslot.yaml', lineOf: yaml.lineOf }),
      (error) => {
        assert.ok(error instanceof ConfigError);
        const [problem] = error.problems;
        assert.equal(problem?.path, 'routes.POST /a.price.by.body.size.*');
        assert.equal(problem?.line, 10);
        return true;
      },
    );
  });

  it('changes its version with the rule, not with the order of its keys', () => {
    const versionOf = (price: object) => routeOf({ price }).priceVersion;
    const first = versionOf({ per: { call: '$0.01', image: '$1' }, max: '$2' });
    assert.equal(versionOf({ max: '$2.0', per: { image: '$1', call: '$0.010' } }), first);
    assert.notEqual(versionOf({ per: { call: '$0.01', image: '$1' }, max: '$2.01' }), first);
  });

  it('is payable by somebody', () => {
    const metered = {
      'POST /a': { upstream: 'models', price: { per: { call: '$1' }, min: '$1' } },
    };
    const config = configWith({ payments: {}, routes: metered });
    assert.match(problemAt('payments', config).message, /nobody could pay/);
  });
});

describe("the route's own units", () => {
  const units = {
    gpuMs: { header: 'X-GPU-Ms', max: '60k' },
    pages: { json: 'usage.pages', max: 100 },
  };
  const price = { per: { gpuMs: '$0.01/1k', pages: '$0.001' } };

  it('say where they are read and bound the price', () => {
    const route = routeOf({ units, price });
    assert.deepEqual(route.units, [
      { unit: 'gpuMs', header: 'x-gpu-ms', json: null, max: 60_000 },
      { unit: 'pages', header: null, json: ['usage', 'pages'], max: 100 },
    ]);
    assert.equal(quoteMax(route.price, FLAT_WORK, flatTerms(0)), 700_000n);
  });

  it('are refused without a place, with two, or under a name that means something else', () => {
    const at = (name: string, unit: object) =>
      problemAt(`routes.POST /a.units.${name}`, withRoute('POST /a', { units: { [name]: unit } }));
    assert.match(at('gpuMs', { max: 1 }).message, /where it is read/);
    assert.match(at('gpuMs', { header: 'a', json: 'b', max: 1 }).message, /two places/);
    for (const name of ['calls', 'inputToken', 'min', 'rounding', 'free:x', 'Gpu', '__proto__'])
      at(name, { header: 'a', max: 1 });
    problemAt(
      'routes.POST /a.units.gpuMs.max',
      withRoute('POST /a', { units: { gpuMs: { header: 'a' } } }),
    );
    problemAt(
      'routes.POST /a.price.per.gpuMs',
      withRoute('POST /a', { price: { per: { gpuMs: '$1' } } }),
    );
  });
});

describe('how a route is metered', () => {
  it('is said by the route', () => {
    const { missingUsage, outputTokensMax, shadow, chargeMax } = routeOf({
      ...{ missingUsage: 'hold', maxOutputTokens: '8k', shadow: true, chargeMax: true },
    });
    assert.deepEqual(
      [missingUsage, outputTokensMax, shadow, chargeMax],
      ['hold', 8000, true, true],
    );
    problemAt('routes.POST /a.missingUsage', withRoute('POST /a', { missingUsage: 'free' }));
    problemAt('routes.POST /a.maxOutputTokens', withRoute('POST /a', { maxOutputTokens: 0 }));
  });

  it('follows the kind of the upstream', () => {
    const kind = (value: unknown) =>
      configWith({ upstreams: { models: { url: 'https://a.example', kind: value } } });
    assert.equal(parseConfig(kind('openai'), {}).upstreams.models?.kind, 'openai');
    problemAt('upstreams.models.kind', kind('bard'));
  });
});

describe('rates', () => {
  it('are fixed, or read from a service', () => {
    const rates = {
      EURC: { usd: '1.08' },
      BTC: { url: 'https://a.example/x?y=z', json: 'data.usd', every: '30s', tolerance: '5%' },
    };
    assert.deepEqual(parseConfig(configWith({ rates }), {}).rates, {
      EURC: { kind: 'fixed', usd: { n: 27n, d: 25n } },
      BTC: {
        ...{ kind: 'read', url: 'https://a.example/x?y=z', json: ['data', 'usd'] },
        ...{ everyMs: 30_000, staleAfterMs: 600_000, tolerance: { n: 1n, d: 20n } },
      },
    });
  });

  it('are refused when they say nothing, or both', () => {
    const at = (path: string, rate: unknown, name = 'BTC') =>
      problemAt(`rates.${path}`, configWith({ rates: { [name]: rate } }));
    at('BTC', {});
    at('BTC', { usd: '1', url: 'https://a.example', json: 'a' });
    at('BTC', { url: 'https://a.example' });
    at('BTC.usd', { usd: 65_000 });
    at('BTC.usd', { usd: '0' });
    at('BTC.url', { url: 'https://u:p@a.example', json: 'a' });
    at('sat', { usd: '1' }, 'sat');
    at('USD', { usd: '1' }, 'USD');
  });

  it('are there for every currency that a price names', () => {
    const price = { by: { model: { a: '10 sat', '*': '$1' } }, max: '1 EURC' };
    const at = withRoute('POST /a', { price });
    assert.match(problemAt('routes.POST /a.price', at).message, /(BTC|EURC) is worth/);
    const rates = { BTC: { usd: '65000' }, EURC: { usd: '1.08' } };
    assert.equal(parseConfig({ ...at, rates }, {}).routes.length, 1);
  });
});

describe('the model gateway', () => {
  const models = {
    providers: {
      openai: { kind: 'openai', url: 'https://api.openai.com/', models: ['gpt-*', 'o*'] },
      local: { kind: 'openai', url: 'http://127.0.0.1:11434', models: ['llama*'], concurrency: 2 },
    },
    aliases: { fast: ['openai/gpt-4o-mini', 'local/llama3'] },
    markup: '20%',
    prices: { 'local/*': { per: { inputToken: '$0.05/1M', outputToken: '$0.10/1M' } } },
    max: '$1',
  };
  const configOf = (changes: object): Config =>
    parseConfig({ payments: { prepaid: {} }, models: { ...models, ...changes } }, {});
  const at = (path: string, changes: object) =>
    problemAt(path, { payments: { prepaid: {} }, models: { ...models, ...changes } });

  it('needs no routes and no upstreams beside it', () => {
    const { models: compiled } = configOf({});
    assert.ok(compiled);
    assert.deepEqual(compiled.aliases, {
      fast: [
        { provider: 'openai', model: 'gpt-4o-mini' },
        { provider: 'local', model: 'llama3' },
      ],
    });
    assert.deepEqual(compiled.providers.openai, {
      ...{ kind: 'openai', url: 'https://api.openai.com', headers: {}, concurrency: 64 },
      models: ['gpt-*', 'o*'],
    });
    assert.equal(compiled.max, 1_000_000n);
    assert.equal(compiled.outputTokensMax, 4096);
    assert.equal(
      formatPrice(compiled.price),
      '{ by: { model: { "local/*": { per: { inputToken: $0.05/1M, outputToken: $0.1/1M } }, ' +
        '"*": { costPlus: { markup: 20% } } } }, max: $1 }',
    );
  });

  it('refuses models without a price where there is no markup', () => {
    const text = formatPrice(configOf({ markup: undefined }).models?.price ?? { kind: 'free' });
    assert.match(text, /"\*": refuse/);
    assert.match(at('models', { markup: undefined, prices: {} }).message, /no price/);
  });

  it('names each wrong alias, price and provider', () => {
    at('models.aliases.fast.1', { aliases: { fast: ['openai/o3', 'claude/x'] } });
    at('models.aliases.fast.0', { aliases: { fast: ['openai/claude'] } });
    at('models.aliases.fast.0', { aliases: { fast: ['gpt-4o'] } });
    at('models.aliases.a/b', { aliases: { 'a/b': ['openai/o3'] } });
    at('models.aliases.fast', { aliases: { fast: [] } });
    at('models.prices.remote/*', { prices: { 'remote/*': '$1' } });
    at('models.prices.llama3', { prices: { llama3: '$1' } });
    at('models.prices.local/*.per.token', { prices: { 'local/*': { per: { token: '$1' } } } });
    at('models.max', { max: undefined });
    const nowhere = { ...models.providers.local, url: 'x' };
    at('models.providers.local.url', { providers: { ...models.providers, local: nowhere } });
    assert.match(problemAt('payments', { models, payments: {} }).message, /nobody could pay/);
  });
});
