import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { ConfigError, parseConfig } from '../../src/config.ts';
import { configWith, TEST_KEY, x402With } from './config-of.ts';

function onlyConfigError(input: unknown, env: Record<string, string> = {}): void {
  try {
    parseConfig(input, env);
  } catch (error) {
    assert.ok(error instanceof ConfigError, String(error));
    assert.ok(error.problems.length > 0);
    for (const { message, hint } of error.problems) assert.ok(message !== '' && hint !== '');
  }
}

/** A good config in which the value at one place is replaced by another. */
function replaceAt(node: unknown, path: readonly number[], replacement: unknown): unknown {
  const [first, ...rest] = path;
  if (first === undefined || typeof node !== 'object' || node === null) return replacement;
  const keys = Object.keys(node);
  if (keys.length === 0) return replacement;
  const chosen = keys[first % keys.length];
  return Object.fromEntries(
    Object.entries(node).map(([key, value]) => [
      key,
      key === chosen ? replaceAt(value, rest, replacement) : value,
    ]),
  );
}

const FULL = configWith({
  listen: '127.0.0.1:0',
  publicUrl: 'https://a.example',
  operator: '127.0.0.1:0',
  database: 'sqlite:a.db',
  trustProxy: ['10.0.0.0/8'],
  payments: {
    order: ['x402', 'prepaid', 'free'],
    free: { callsPerDay: 1, per: 'ip', perDayTotal: '$1' },
    prepaid: {},
    x402: x402With('eip155:84532'),
  },
  limits: { bodyBytes: '1MiB', requestsPerMinute: { ip: 1 } },
  timeouts: { idle: '1s' },
  exposure: { perPayer: '$1' },
  rates: { EURC: { usd: '1.08' }, BTC: { url: 'https://a.example/x?y', json: 'data.usd' } },
  models: {
    providers: {
      openai: { kind: 'openai', url: 'https://a.example', models: ['gpt-*'] },
    },
    aliases: { fast: ['openai/gpt-4o-mini'] },
    markup: '20%',
    prices: { 'openai/gpt-4o*': { per: { inputToken: '$1/1M' } } },
    max: '$1',
  },
  routes: {
    'POST /summarize': { upstream: 'models', price: '$0.006' },
    'POST /chat': {
      upstream: 'models',
      units: { gpuMs: { header: 'x-gpu-ms', max: 60_000 } },
      price: {
        by: { model: { 'gpt-*': { per: { gpuMs: '1 sat/1k' } }, '*': 'refuse' } },
        schedule: [{ days: 'mon-fri', from: '09:00', to: '18:00', factor: 1.5 }],
        volume: [{ above: '$100', off: '10%' }],
        max: '0.05 EURC',
      },
    },
  },
  quotes: { ttl: '1m', grace: '1m' },
  replay: { ttl: '1m', maxBytes: 1 },
  confirmations: { 'eip155:84532': 2 },
  exact: { bufferBytes: 1 },
  secret: 's'.repeat(32),
  refundWith: `\${KEY}`,
  cors: { origins: ['https://a.example'] },
});
const ENV = { KEY: TEST_KEY };

describe('parseConfig', () => {
  it('accepts the config that the fuzzing starts from', () => {
    assert.equal(parseConfig(FULL, ENV).mode, 'test');
  });

  it('throws nothing but ConfigError for any JSON', () => {
    fc.assert(
      fc.property(fc.jsonValue(), (input) => onlyConfigError(input)),
      { numRuns: 500 },
    );
  });

  it('throws nothing but ConfigError for a good config with any value in any place', () => {
    const replacement = fc.oneof(
      fc.jsonValue({ maxDepth: 2 }),
      fc.anything({ maxDepth: 2 }),
      fc.constantFrom(
        '',
        '$1',
        '$',
        `\${`,
        `\${KEY}`,
        '1s',
        '-1',
        0,
        -1,
        Number.POSITIVE_INFINITY,
        null,
        TEST_KEY,
      ),
    );
    fc.assert(
      fc.property(fc.array(fc.nat(20), { maxLength: 5 }), replacement, (path, value) =>
        onlyConfigError(replaceAt(FULL, path, value), ENV),
      ),
      { numRuns: 2000 },
    );
  });

  it('throws nothing but ConfigError for keys that objects have by nature', () => {
    for (const key of ['__proto__', 'constructor', 'toString', 'hasOwnProperty'])
      for (const section of ['routes', 'upstreams', 'payments', 'confirmations', 'limits', 'x']) {
        const odd = JSON.parse(`{"${section}":{"${key}":{"${key}":1}},"${key}":{"a":1}}`);
        onlyConfigError({ ...odd });
        onlyConfigError(JSON.parse(JSON.stringify({ ...FULL, ...odd })), ENV);
      }
  });

  it('throws nothing but ConfigError for a config that contains itself', () => {
    const circle: Record<string, unknown> = { ...FULL };
    circle.limits = circle;
    onlyConfigError(circle, ENV);
  });

  it('never shows a private key from the environment, wherever it was put', () => {
    fc.assert(
      fc.property(fc.array(fc.nat(20), { maxLength: 5 }), (path) => {
        try {
          parseConfig(replaceAt(FULL, path, `\${KEY}`), ENV);
        } catch (error) {
          assert.ok(error instanceof ConfigError);
          assert.ok(!error.message.includes(TEST_KEY));
        }
      }),
    );
  });
});
