import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  CoinslotError,
  MethodNotAllowed,
  RequestMalformed,
  RouteNotFound,
} from '../../src/core/errors.ts';
import { normalisePath, parseTarget } from '../../src/core/path.ts';
import { compileRoutes } from '../../src/request/match-route.ts';
import { routeOf } from '../support/route-of.ts';

const match = compileRoutes(
  [
    'POST /summarize',
    'GET /items/:id',
    'GET /items/special',
    'GET /files/*',
    'POST /v1/chat/completions',
    '* /any',
    'GET /',
  ].map((id) => routeOf(id)),
);

/** How the same path can be written: what is expected is the route, `404` or `400`; never a free pass. */
const VECTORS: readonly (readonly [method: string, target: string, expected: string])[] = [
  ['POST', '/summarize', 'POST /summarize'],
  ['POST', '/summarize?x=/../y', 'POST /summarize'],
  ['POST', '/summarize/', 'POST /summarize'],
  ['POST', '//summarize', 'POST /summarize'],
  ['POST', '/./summarize', 'POST /summarize'],
  ['POST', '/x/../summarize', 'POST /summarize'],
  ['POST', '/x/%2e%2E/summarize', 'POST /summarize'],
  ['POST', '/%73ummarize', 'POST /summarize'],
  ['POST', '/../../summarize', 'POST /summarize'],
  ['POST', 'http://anything.example/summarize', 'POST /summarize'],
  ['POST', 'HTTP://user@h:1//summarize?q', 'POST /summarize'],
  ['POST', '/Summarize', '404'],
  ['POST', '/summarize;x=1', '404'],
  ['POST', '/summarize%20', '404'],
  ['POST', '/summarize%2Fx', '400'],
  ['POST', '/summarize%2f', '400'],
  ['POST', '/v1%2Fchat/completions', '400'],
  ['POST', '/v1%5Cchat/completions', '400'],
  ['POST', '/v1\\chat/completions', '400'],
  ['POST', '/summarize%00', '400'],
  ['POST', '/summarize%0d%0a', '400'],
  ['POST', '/summarize%', '400'],
  ['POST', '/summarize%zz', '400'],
  ['POST', '/summ\u00e4rize', '400'],
  ['POST', 'summarize', '400'],
  ['POST', '*', '400'],
  ['POST', 'ftp://h/summarize', '400'],
  ['GET', '/items/7', 'GET /items/:id'],
  ['GET', '/items/special', 'GET /items/special'],
  ['GET', '/items/7/8', '404'],
  ['GET', '/items', '404'],
  ['GET', '/items/', '404'],
  ['GET', '/files/a/b.txt', 'GET /files/*'],
  ['GET', '/files', '404'],
  ['GET', '/files/a/../../summarize', '405'],
  ['GET', '/', 'GET /'],
  ['GET', 'http://h', 'GET /'],
  ['HEAD', '/items/7', 'GET /items/:id'],
  ['DELETE', '/any', '* /any'],
  ['GET', '/summarize', '405'],
  ['OPTIONS', '/summarize', '405'],
  ['post', '/summarize', '405'],
];

for (const [method, target, expected] of VECTORS)
  test(`${method} ${JSON.stringify(target)} is ${expected}`, () => {
    assert.equal(outcome(method, target), expected);
  });

test('what was matched is what the upstream gets: the normal form of a normal form is itself', () => {
  fc.assert(
    fc.property(fc.string({ unit: fc.constantFrom(...'/.%2eEfF5cab~:@ 0?#\\') }), (text) => {
      try {
        const once = normalisePath(`/${text}`);
        assert.equal(normalisePath(once), once);
        assert.doesNotMatch(once, /\/\/|\/\.{1,2}(?:\/|$)|%2[fF]|%5[cC]/);
      } catch (error) {
        assert.ok(error instanceof RequestMalformed, String(error));
      }
    }),
    { numRuns: 3000 },
  );
});

test('any target and method either match one route or throw a CoinslotError', () => {
  fc.assert(
    fc.property(fc.string(), fc.string({ unit: 'binary' }), (method, target) => {
      try {
        assert.ok(match(method, target).route);
      } catch (error) {
        assert.ok(error instanceof CoinslotError, String(error));
      }
    }),
    { numRuns: 2000 },
  );
});

test('a query keeps its bytes', () => {
  assert.deepEqual(parseTarget('/a?b=%2F&c=../d?e'), { path: '/a', query: 'b=%2F&c=../d?e' });
  assert.deepEqual(parseTarget('/a?'), { path: '/a', query: '' });
});

function outcome(method: string, target: string): string {
  try {
    return match(method, target).route.id;
  } catch (error) {
    if (error instanceof MethodNotAllowed) return '405';
    if (error instanceof RouteNotFound) return '404';
    if (error instanceof RequestMalformed) return '400';
    throw error;
  }
}
