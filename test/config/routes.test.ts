import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { parseRouteKey } from '../../src/config/routes.ts';
import { ScalarError } from '../../src/config/scalars.ts';
import { parseConfig } from '../../src/config.ts';
import { configWith, problemAt, withRoute } from './config-of.ts';

describe('a route key', () => {
  it('is a method and a path with parameters or a rest', () => {
    assert.deepEqual(parseRouteKey('GET /'), { method: 'GET', pattern: '/' });
    assert.deepEqual(parseRouteKey('* /files/*'), { method: '*', pattern: '/files/*' });
    assert.deepEqual(parseRouteKey('POST /v1/items/:id/notes'), {
      method: 'POST',
      pattern: '/v1/items/:id/notes',
    });
    assert.deepEqual(parseRouteKey('GET /a%20b'), { method: 'GET', pattern: '/a%20b' });
  });

  it('shows the form that it should have had', () => {
    for (const [key, hint] of [
      ['get /a', 'Write GET /a.'],
      ['GET /a/', 'Write /a.'],
      ['GET //a', 'Write /a.'],
      ['GET /a/../b', 'Write /b.'],
      ['GET /a/./b', 'Write /a/b.'],
      ['GET /%61', 'Write /a.'],
      ['GET /a%2db', 'Write /a-b.'],
      ['GET /a%c3%bc', 'Write /a%C3%BC.'],
    ] as const)
      assert.equal(problemAt(`routes.${key}`, withRoute(key)).hint, hint);
  });

  it('is refused when no request could match it', () => {
    for (const key of [
      ...['/a', 'GET', 'GET a', 'GET  /a', 'GET /a b', 'G-T /a', ' GET /a', '', 'CONNECT /a'],
      ...['GET /a?b', 'GET /a#b', 'GET /ü', 'GET /a%2Fb', 'GET /a%zz', 'GET /a%00', 'GET /{id}'],
      ...['GET /*/a', 'GET /a*', 'GET /:', 'GET /:a-b', 'GET /:1'],
      ...['GET /_pay', 'GET /_pay/balance', '* /_pay/*', 'GET /%5Fpay'],
    ])
      problemAt(`routes.${key}`, withRoute(key));
  });

  it('is refused when another route matches the same requests', () => {
    const route = { upstream: 'models', price: '$1' };
    const both = (a: string, b: string) => configWith({ routes: { [a]: route, [b]: route } });
    assert.match(
      problemAt('routes.GET /x/:b', both('GET /x/:a', 'GET /x/:b')).message,
      /same requests as GET \/x\/:a/,
    );
    for (const [a, b] of [
      ['GET /x/:a', 'POST /x/:a'],
      ['GET /x/:a', 'GET /x/a'],
      ['GET /x/:a', 'GET /x/*'],
      ['GET /x', '* /x'],
    ] as const)
      assert.equal(parseConfig(both(a, b), {}).routes.length, 2);
  });

  it('throws nothing but ScalarError, whatever it is given', () => {
    const keys = fc.oneof(
      fc.string(),
      fc.string({ unit: 'binary' }).map((path) => `GET /${path}`),
      fc.webPath().map((path) => `GET ${path}`),
    );
    fc.assert(
      fc.property(keys, (key) => {
        try {
          parseRouteKey(key);
        } catch (error) {
          assert.ok(error instanceof ScalarError);
        }
      }),
    );
  });
});

describe('a route', () => {
  it('charges only for answers that are a product', () => {
    assert.deepEqual(
      parseConfig(withRoute('GET /a', { chargeOn: [404, 410] }), {}).routes[0]?.chargeOn,
      [404, 410],
    );
    for (const status of [200, 399, 408, 429, 500, 404.5, '404'])
      problemAt('routes.GET /a.chargeOn.0', withRoute('GET /a', { chargeOn: [status] }));
  });

  it('needs an upstream that exists, by its own name only', () => {
    for (const upstream of ['other', '', 'toString', '__proto__'])
      problemAt('routes.GET /a.upstream', withRoute('GET /a', { upstream }));
  });
});
