/**
 * Law 13: what no route names is 404, and what a route names is what the upstream gets. What would break it: a way to
 * write a path that the gateway takes for a free one and the upstream for a paid one.
 *
 * Here through real sockets, from a free wildcard beside a paid route. More attacks on it: request/match-route (the
 * vectors, and any text), attacks/smuggling (framing, absolute form, overrides).
 */

import assert from 'node:assert/strict';
import type { Socket } from 'node:net';
import { test } from 'node:test';
import { exchangeRaw, rawUpstream, type Stage, stage } from './fixture.ts';

const OK = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi';
const answerOk = (socket: Socket): void => void socket.end(OK);

const ROUTES = {
  'POST /paid': { upstream: 'api', price: '$0.01' },
  'GET /paid': { upstream: 'api', price: '$0.01' },
  'GET /items/:id': { upstream: 'api', price: '$0.01' },
  'GET /free/*': { upstream: 'api', price: 'free' },
  'GET /open': { upstream: 'api', price: 'free' },
} as const;

/** All the ways to write a path that leads from the free routes to the paid one, or nowhere. */
const TARGETS = [
  ...['/free/../paid', '/free/./../paid', '/free//../paid', '//free/../paid', '/free/x/../../paid'],
  ...['/free/%2e%2e/paid', '/free/%2E%2E/paid', '/free/.%2e/paid', '/free/%2e./paid'],
  ...['/free/..%2fpaid', '/free/..%2Fpaid', '/free%2f..%2fpaid', '/free/%2e%2e%2fpaid'],
  ...['/free/..%5cpaid', '/free/..\\paid', '\\paid', '/free\\..\\paid', '/%5cpaid'],
  ...[
    '/free/..%00/paid',
    '/paid%00',
    '/paid%00/free/x',
    '/free/%0d%0a/paid',
    '/paid%09',
    '/paid%20',
  ],
  ...['/paid/', '/paid//', '//paid', '///paid', '/./paid', '/paid/.', '/paid/..', '/paid/../paid'],
  ...[
    '/PAID',
    '/Paid',
    '/paid.',
    '/paid..',
    '/paid;',
    '/paid;x=1',
    '/paid,',
    '/paid:80',
    '/paid@a',
  ],
  ...[
    '/%70aid',
    '/%50aid',
    '/pai%64',
    '/%2570aid',
    '/paid%3f',
    '/paid%23',
    '/paid?',
    '/paid?/free/x',
  ],
  ...['/paid#', '/paid#/free/x', '/free/x?/../../paid', '/free/x#/../../paid', '/open/../paid'],
  ...['/open/%2e%2e/paid', '/open;/../paid', '/open/paid', '/open%2f..%2fpaid', '/free', '/free/'],
  ...['/free/..', '/free/../', '/free/..;', '/..', '/../paid', '/../../../paid', '/.', '/', ''],
  ...['/free/%c0%ae%c0%ae/paid', '/free/%uff0e%uff0e/paid', '/free/\u00ef\u00bc\u008e/paid'],
  ...['/items/../paid', '/items/%2e%2e/paid', '/items/', '/items', '/items/a/b', '/items/a%2fb'],
  ...[
    'http://a/free/../paid',
    'http://a/paid',
    'http://a//paid',
    'http://a@b/paid',
    'HTTP://A/PAID',
  ],
  ...['http://a', 'http:///paid', 'https://a:1/free/%2e%2e/paid', 'ftp://a/paid', 'paid', '*', '?'],
  ...['/_pay/../paid', '/%5Fpay/balance', '/free/../_pay/balance', '/_PAY/balance', '/_pay'],
];

/** Where an upstream might think such a path leads: decoded once or twice, dots resolved, one slash, any case. */
function meanings(path: string): string[] {
  const bare = path.split(/[?#]/, 1)[0] ?? '';
  const decoded = [bare, safeDecode(bare), safeDecode(safeDecode(bare))];
  return decoded.map((one) => {
    const kept: string[] = [];
    for (const segment of one.split(/[\\/]/)) {
      if (segment === '..') kept.pop();
      else if (segment !== '' && segment !== '.') kept.push(segment);
    }
    return `/${kept.join('/')}`.toLowerCase().replace(/[\0\s.;].*$/, '');
  });
}

function safeDecode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

async function attack(t: Parameters<typeof exchangeRaw>[0], s: Stage, request: string) {
  const answer = await exchangeRaw(t, s.gateway.url, request);
  return { answer, status: Number(/^HTTP\/1\.1 (\d+)/.exec(answer)?.[1]) };
}

test('no way to write a path leads past the price: whatever reaches the upstream unpaid is a free path to everybody', async (t) => {
  const upstream = await rawUpstream(t, answerOk);
  const s = await stage(t, upstream, { routes: ROUTES });
  let unpaid = 0;
  for (const target of TARGETS)
    for (const method of ['GET', 'HEAD']) {
      const before = upstream.received.length;
      const line = `${method} ${target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n`;
      const { status, answer } = await attack(t, s, line);
      assert.ok([200, 400, 401, 402, 404, 405].includes(status), `${target}: ${answer}`);
      if (upstream.received.length === before) {
        assert.ok(status !== 200 || answer.includes('_pay'), `${target}: ${answer}`);
        continue;
      }
      unpaid += 1;
      const path = /^\S+ (\S+)/.exec(upstream.received.at(-1) ?? '')?.[1] ?? '';
      for (const meaning of meanings(path))
        assert.match(meaning, /^\/(free\/|open$)/, `${target} reached the upstream as ${path}`);
    }
  assert.ok(unpaid > 0, 'free paths are free');
  assert.deepEqual(await s.gateway.ledger.listPayments({ limit: 1 }), []);
});

test('a dot segment with parameters, which some upstreams take for a dot segment, does not leave a free folder', async (t) => {
  const upstream = await rawUpstream(t, answerOk);
  const s = await stage(t, upstream, { routes: ROUTES });
  for (const target of [
    '/free/..;/paid',
    '/free/..;x=1/paid',
    '/free/%2e%2e;/paid',
    '/free/.;/../paid',
  ]) {
    const { status } = await attack(
      t,
      s,
      `GET ${target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n`,
    );
    assert.ok([400, 402, 404].includes(status), `${target}: ${status}`);
  }
  assert.deepEqual(upstream.received, []);
});

/** Method, target and headers that ask for another method or path than they name. */
const OVERRIDES: readonly (readonly [method: string, target: string, headers: string])[] = [
  ['GET', '/open', 'X-HTTP-Method-Override: POST\r\n'],
  ['GET', '/open', 'X-HTTP-Method: POST\r\nX-Method-Override: POST\r\n'],
  ['GET', '/open', 'X-Original-URL: /paid\r\nX-Rewrite-URL: /paid\r\n'],
  [
    'GET',
    '/open',
    'X-Forwarded-Prefix: /paid\r\nX-Forwarded-Uri: /paid\r\nX-Original-Uri: /paid\r\n',
  ],
  ['GET', '/open', 'X-Forwarded-Path: /paid\r\n'],
  ['GET', '/open?_method=POST', ''],
  ['HEAD', '/open', 'X-HTTP-Method-Override: GET\r\n'],
];

test('a header that names another method or path than the request line changes nothing', async (t) => {
  const upstream = await rawUpstream(t, answerOk);
  const s = await stage(t, upstream, { routes: ROUTES });
  for (const [method, target, headers] of OVERRIDES) {
    const line = `${method} ${target} HTTP/1.1\r\nHost: a\r\n${headers}Connection: close\r\n\r\n`;
    await attack(t, s, line);
    const seen = upstream.received.at(-1) ?? '';
    assert.ok(seen.startsWith(`${method} ${target} HTTP/1.1`), seen);
    assert.doesNotMatch(seen, /override|original|rewrite|x-http-method|prefix|forwarded-uri/i);
  }
});

test('methods that no route names, real or made up, never reach the upstream', async (t) => {
  const upstream = await rawUpstream(t, answerOk);
  const s = await stage(t, upstream, { routes: ROUTES });
  for (const method of [
    'PUT',
    'DELETE',
    'PATCH',
    'OPTIONS',
    'TRACE',
    'CONNECT',
    'PROPFIND',
    'get',
    'GE',
    'G',
  ])
    for (const target of ['/paid', '/open', '/free/x', '/nothing']) {
      const line = `${method} ${target} HTTP/1.1\r\nHost: a\r\nx-api-key: ${s.key}\r\nConnection: close\r\n\r\n`;
      const answer = await exchangeRaw(t, s.gateway.url, line);
      assert.doesNotMatch(answer, /^HTTP\/1\.1 200/, line);
    }
  const preflight =
    'OPTIONS /paid HTTP/1.1\r\nHost: a\r\nOrigin: http://a\r\nAccess-Control-Request-Method: POST\r\nConnection: close\r\n\r\n';
  assert.match(await exchangeRaw(t, s.gateway.url, preflight), /^HTTP\/1\.1 204/);
  assert.deepEqual(upstream.received, []);
  assert.deepEqual(await s.gateway.ledger.listPayments({ limit: 1 }), []);
});

test('a route that is added beside a wildcard takes its path from it, whichever is written first', async (t) => {
  const upstream = await rawUpstream(t, answerOk);
  for (const routes of [
    { 'GET /a/*': ROUTES['GET /open'], 'GET /a/paid': ROUTES['GET /paid'] },
    { 'GET /a/paid': ROUTES['GET /paid'], 'GET /a/*': ROUTES['GET /open'] },
  ] as const) {
    const s = await stage(t, upstream, { routes });
    const status = async (path: string) => (await fetch(s.gateway.url + path)).status;
    assert.deepEqual([await status('/a/x'), await status('/a/paid')], [200, 402]);
    assert.deepEqual([await status('/a/paid/'), await status('/a//paid')], [402, 402]);
    assert.deepEqual([await status('/a/paid/more'), await status('/a/%70aid')], [200, 402]);
  }
});
