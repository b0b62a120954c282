import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { parseConfig } from '../../src/config.ts';
import { configWith, problemAt, TEST_KEY, withRoute } from './config-of.ts';

describe('environment variables', () => {
  const withHeader = (value: string) =>
    configWith({
      upstreams: { models: { url: 'https://a.example', headers: { authorization: value } } },
    });
  const headerOf = (value: string, env: Record<string, string>) =>
    parseConfig(withHeader(value), env).upstreams.models?.headers.authorization;

  it('are put into string values and stay text', () => {
    assert.equal(headerOf(`Bearer \${KEY}`, { KEY: 'abc' }), 'Bearer abc');
    assert.equal(headerOf(`\${A}-\${B}`, { A: '1', B: '2' }), '1-2');
    const price = parseConfig(withRoute('POST /a', { price: `$\${PRICE}` }), { PRICE: '0.5' });
    assert.deepEqual(price.routes[0]?.price, { kind: 'flat', amount: 500_000n });
    const number = configWith({ payments: { free: { callsPerDay: `\${CALLS}` } } });
    problemAt('payments.free.callsPerDay', number, { CALLS: '10' });
  });

  it('are not searched again for references', () => {
    assert.equal(headerOf(`\${A}`, { A: `\${B}`, B: 'secret' }), `\${B}`);
  });

  it('that are missing or empty are problems', () => {
    const path = 'upstreams.models.headers.authorization';
    assert.match(problemAt(path, withHeader(`\${KEY}`)).message, /KEY is not set/);
    assert.match(problemAt(path, withHeader(`\${KEY}`), { KEY: '' }).message, /KEY is empty/);
    assert.match(problemAt(path, withHeader(`\${toString}`)).message, /toString is not set/);
    assert.match(problemAt(path, withHeader(`\${}`)).message, /names no variable/);
    assert.match(problemAt(path, withHeader(`\${KEY`), { KEY: 'x' }).message, /names no variable/);
  });

  it('never show their value in a problem', () => {
    const price = withRoute('POST /a', { price: `\${SECRET_PRICE}` });
    const { message } = problemAt('routes.POST /a.price', price, {
      SECRET_PRICE: 'hunter2hunter2',
    });
    assert.doesNotMatch(message, /hunter2/);
    assert.match(message, /\$\{SECRET_PRICE\}/);
  });
});

describe('secrets in the file', () => {
  const path = 'upstreams.models.headers.x-secret';
  const withHeader = (value: string) =>
    configWith({
      upstreams: { models: { url: 'https://a.example', headers: { 'x-secret': value } } },
    });

  it('are refused with a hint to use the environment, and are not repeated', () => {
    for (const secret of [
      TEST_KEY,
      'sk_live_abcdefgh12345678',
      'Bearer sk-proj-abcdefghijklmnopqrst',
    ]) {
      const { message, hint } = problemAt(path, withHeader(secret));
      assert.match(message, /in the file/);
      assert.match(hint, /\$\{NAME\}/);
      assert.ok(!`${message}${hint}`.includes(secret));
    }
  });

  it('are fine when an environment variable holds them', () => {
    const env = { SETTLEMENT_KEY: TEST_KEY };
    for (const value of [`\${SETTLEMENT_KEY}`, TEST_KEY, `key ${TEST_KEY}`])
      assert.ok(parseConfig(withHeader(value), env));
  });
});
