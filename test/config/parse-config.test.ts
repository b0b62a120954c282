import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { parseConfig } from '../../src/config.ts';
import { configWith, problemAt, problemsOf, withRoute, x402With } from './config-of.ts';

describe('a config', () => {
  it('fills in every default', () => {
    const config = parseConfig(configWith(), {});
    const { routes, ...rest } = config;
    assert.deepEqual(rest, {
      listen: { host: '127.0.0.1', port: 4020 },
      publicUrl: null,
      operator: null,
      database: 'sqlite:coinslot.db',
      mode: 'live',
      trustProxy: [],
      upstreams: { models: { url: 'https://api.example.com', headers: {}, connections: 128 } },
      payments: {
        order: ['prepaid', 'free'],
        free: { callsPerDay: 10, per: 'ip', perDayTotal: null },
        prepaid: {},
        x402: null,
      },
      models: null,
      rates: {},
      limits: {
        headerBytes: 16_384,
        bodyBytes: 10_485_760,
        concurrency: 2048,
        requestsPerMinute: { ip: 6000, key: 12_000, wallet: 12_000 },
        unpaidPerMinute: 3000,
        failuresPerMinute: 300,
      },
      timeouts: {
        connectMs: 5000,
        headMs: 60_000,
        idleMs: 30_000,
        requestMs: 30_000,
        settleMs: 10_000,
      },
      exposure: { perPayer: 1_000_000n, perNetwork: 50_000_000n },
      quotes: { ttlMs: 300_000, graceMs: 30_000 },
      replay: { ttlMs: 3_600_000, maxBytes: 65_536 },
      confirmations: 1,
      exact: { bufferBytes: 65_536 },
      secret: null,
      cors: { origins: ['*'] },
    });
    assert.deepEqual(routes, [
      {
        id: 'POST /summarize',
        method: 'POST',
        pattern: '/summarize',
        upstream: 'models',
        price: { kind: 'flat', amount: 6000n },
        priceVersion: '13cf75321e74d0e4',
        description: '',
        timeoutMs: 120_000,
        chargeOn: [],
        onAbort: 'capture-measured',
        onBreak: 'release',
        freeTier: true,
        units: [],
        missingUsage: 'count',
        outputTokensMax: 4096,
        shadow: false,
        chargeMax: false,
        terms: null,
        reading: {
          ...{ contextTokensMax: null, imageTokensMax: null, audioSecondsMax: null },
          ...{ webSearchesMax: 0, allow: [], computeMsMax: null, computeMsHeader: null },
        },
      },
    ]);
  });

  it('keeps what is written', () => {
    const config = parseConfig(
      configWith({
        listen: '[::1]:0',
        publicUrl: 'https://api.example.com/',
        operator: '127.0.0.1:4021',
        mode: 'test',
        trustProxy: ['10.0.0.0/8', '::1'],
        limits: { bodyBytes: '1MiB', requestsPerMinute: { key: 5 } },
        timeouts: { idle: '500ms', settle: '2m' },
        exposure: { perPayer: '$0.5' },
        replay: { ttl: '1d', maxBytes: 10 },
        routes: {
          '* /files/*': {
            ...{ upstream: 'models', price: 'free', timeout: '5s', chargeOn: [404], free: false },
            ...{
              onAbort: 'drain',
              onBreak: 'capture-measured',
              terms: 'Be kind.',
              description: 'Files',
            },
          },
          'GET /items/:id': { upstream: 'models', price: '$1' },
        },
      }),
      {},
    );
    assert.deepEqual(config.listen, { host: '::1', port: 0 });
    assert.equal(config.publicUrl, 'https://api.example.com');
    assert.deepEqual(config.operator, { host: '127.0.0.1', port: 4021 });
    assert.equal(config.mode, 'test');
    assert.deepEqual(config.trustProxy, ['10.0.0.0/8', '::1/128']);
    assert.equal(config.limits.bodyBytes, 1_048_576);
    assert.deepEqual(config.limits.requestsPerMinute, { ip: 6000, key: 5, wallet: 12_000 });
    assert.equal(config.timeouts.idleMs, 500);
    assert.equal(config.timeouts.settleMs, 120_000);
    assert.deepEqual(config.exposure, { perPayer: 500_000n, perNetwork: 50_000_000n });
    assert.deepEqual(config.replay, { ttlMs: 86_400_000, maxBytes: 10 });
    assert.deepEqual(
      config.routes.map(({ id }) => id),
      ['* /files/*', 'GET /items/:id'],
    );
    const [files] = config.routes;
    assert.equal(files?.method, '*');
    assert.equal(files?.timeoutMs, 5000);
    assert.deepEqual(files?.chargeOn, [404]);
    assert.equal(files?.onAbort, 'drain');
    assert.equal(files?.onBreak, 'capture-measured');
    assert.equal(files?.freeTier, false);
    assert.equal(files?.terms, 'Be kind.');
  });

  it('reports every problem at once, each with its path', () => {
    const problems = problemsOf(
      configWith({
        listn: 1,
        listen: 4020,
        upstreams: { models: { url: 'ftp://x' } },
        payments: { free: { callsPerDay: '10', perDayTotal: 20 } },
        routes: {
          'POST /a': { upstream: 'modles', price: 0.006 },
          'post /b': {
            upstream: 'models',
            price: { per: { inputTokn: '$1/1M' }, mx: '$1' },
            timeout: 30,
          },
        },
        exposure: { perPayer: 1 },
        secret: `\${MISSING}`,
      }),
    );
    assert.deepEqual(problems.map(({ path }) => path).sort(), [
      'exposure.perPayer',
      'listen',
      'listn',
      'payments.free.callsPerDay',
      'payments.free.perDayTotal',
      'routes.POST /a.price',
      'routes.POST /a.upstream',
      'routes.post /b',
      'routes.post /b.price.mx',
      'routes.post /b.price.per.inputTokn',
      'routes.post /b.timeout',
      'secret',
      'upstreams.models.url',
    ]);
    for (const { message, hint } of problems) {
      assert.notEqual(message, '');
      assert.notEqual(hint, '');
    }
  });

  it('names each problem on one line of its message', () => {
    const error = (() => {
      try {
        return parseConfig({ 'a\nb': 1, upstreams: {}, routes: { 'GET /x\n': 0 } }, {});
      } catch (caught) {
        return caught;
      }
    })();
    assert.ok(error instanceof Error);
    assert.equal(error.message.split('\n').length, 2);
  });

  it('says what an unknown key was probably meant to be', () => {
    assert.equal(problemAt('pyments', configWith({ pyments: {} })).hint, 'Did you mean payments?');
    const network = withRoute('POST /a', { timout: '5s' });
    assert.equal(problemAt('routes.POST /a.timout', network).hint, 'Did you mean timeout?');
    assert.match(problemAt('quotes.zzzz', configWith({ quotes: { zzzz: 1 } })).hint, /ttl/);
  });

  it('refuses what is not available yet in words of its own', () => {
    const wallet = configWith({ payments: { free: { callsPerDay: 1, per: 'wallet' } } });
    assert.match(problemAt('payments.free.per', wallet).message, /signed sign-in/);
    const lightning = configWith({ payments: { prepaid: {}, l402: {} } });
    assert.match(problemAt('payments.l402', lightning).message, /not available yet/);
    const postgres = configWith({ database: 'postgres://localhost/coinslot' });
    assert.match(problemAt('database', postgres).message, /not available yet/);
  });

  it('refuses a config without routes, and prices that nobody could pay', () => {
    assert.match(problemAt('routes', configWith({ routes: {} })).message, /no route/);
    assert.match(problemAt('payments', configWith({ payments: {} })).message, /nobody could pay/);
    const free = { 'GET /a': { upstream: 'models', price: 'free' } };
    assert.deepEqual(
      parseConfig(configWith({ payments: {}, routes: free }), {}).payments.order,
      [],
    );
  });
});

describe('the order of rails', () => {
  it('is API key, wallet, free, of those that are configured', () => {
    const all = { free: { callsPerDay: 1 }, prepaid: {}, x402: x402With('eip155:8453') };
    const order = (payments: object) => parseConfig(configWith({ payments }), {}).payments.order;
    assert.deepEqual(order(all), ['prepaid', 'x402', 'free']);
    assert.deepEqual(order({ free: { callsPerDay: 0 } }), ['free']);
    assert.deepEqual(order({ ...all, order: ['free', 'prepaid', 'x402'] }), [
      'free',
      'prepaid',
      'x402',
    ]);
  });

  it('refuses a rail that is not configured, one that is left out, and one listed twice', () => {
    const payments = (order: string[]) => configWith({ payments: { order, prepaid: {} } });
    assert.match(problemAt('payments.order.1', payments(['prepaid', 'free'])).message, /free/);
    assert.match(problemAt('payments.order', payments([])).message, /leaves out prepaid/);
    assert.match(problemAt('payments.order.1', payments(['prepaid', 'prepaid'])).message, /twice/);
  });
});

describe('the mode', () => {
  const withNetworks = (networks: string[], mode?: string) =>
    configWith({ payments: { x402: x402With(...networks) }, ...(mode && { mode }) });

  it('follows the networks, and is live without any', () => {
    assert.equal(parseConfig(withNetworks(['eip155:84532']), {}).mode, 'test');
    assert.equal(parseConfig(withNetworks(['eip155:8453']), {}).mode, 'live');
    assert.equal(parseConfig(configWith(), {}).mode, 'live');
  });

  it('refuses test money beside real money', () => {
    const mixed = withNetworks(['eip155:8453', 'eip155:84532']);
    assert.match(problemAt('payments.x402.networks', mixed).message, /mixes test networks/);
  });

  it('says only once that a network has no such name', () => {
    const named = withNetworks(['eip155:84532', 'base']);
    problemAt('payments.x402.networks.base', named);
  });

  it('refuses a mode that the networks contradict', () => {
    assert.match(problemAt('mode', withNetworks(['eip155:8453'], 'test')).message, /real money/);
    assert.match(problemAt('mode', withNetworks(['eip155:84532'], 'live')).message, /test network/);
  });

  it('counts confirmations per network only for networks that are there', () => {
    const config = withNetworks(['eip155:84532']);
    const counted = parseConfig({ ...config, confirmations: { 'eip155:84532': 3 } }, {});
    assert.deepEqual(counted.confirmations, { 'eip155:84532': 3 });
    problemAt('confirmations.eip155:1', { ...config, confirmations: { 'eip155:1': 3 } });
  });
});

describe('upstreams', () => {
  const upstream = (fields: object) =>
    configWith({ upstreams: { models: { url: 'https://a.example', ...fields } } });

  it('have a plain http URL, with or without a path', () => {
    const urlOf = (url: string) => parseConfig(upstream({ url }), {}).upstreams.models?.url;
    assert.equal(urlOf('http://127.0.0.1:11434/'), 'http://127.0.0.1:11434');
    assert.equal(urlOf('https://a.example/v1/'), 'https://a.example/v1');
    for (const url of [
      'a.example',
      'file:///etc',
      'https://u:p@a.example',
      'https://a.example/?x',
      '',
    ])
      problemAt('upstreams.models.url', upstream({ url }));
  });

  it('refuse headers that would break the framing of requests', () => {
    for (const [name, value] of [
      ['Transfer-Encoding', 'chunked'],
      ['content-length', '5'],
      ['bad name', 'x'],
      ['x-good', 'a\r\nx-evil: 1'],
    ] as const)
      problemAt(`upstreams.models.headers.${name}`, upstream({ headers: { [name]: value } }));
  });
});
