import assert from 'node:assert/strict';
import type { Socket } from 'node:net';
import { test } from 'node:test';
import { CENT, DOLLAR, rawClient, rawUpstream, stage } from './fixture.ts';

const OK = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi';
const answerOk = (socket: Socket): void => void socket.end(OK);

/** What is sent (KEY is replaced), the status that comes back, and how many requests reach the upstream. */
const requests: readonly (readonly [name: string, text: string, status: number, calls: number])[] =
  [
    [
      'a length and chunks',
      'POST /x HTTP/1.1\r\nHost: a\r\nKEY\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /x HTTP/1.1\r\nHost: a\r\nKEY\r\n\r\n',
      400,
      0,
    ],
    [
      'two lengths',
      'POST /x HTTP/1.1\r\nHost: a\r\nKEY\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab',
      400,
      0,
    ],
    [
      'a signed length',
      'POST /x HTTP/1.1\r\nHost: a\r\nKEY\r\nContent-Length: +1\r\n\r\na',
      400,
      0,
    ],
    [
      'a listed length',
      'POST /x HTTP/1.1\r\nHost: a\r\nKEY\r\nContent-Length: 1, 1\r\n\r\na',
      400,
      0,
    ],
    [
      'an unknown coding',
      'POST /x HTTP/1.1\r\nHost: a\r\nKEY\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n',
      400,
      0,
    ],
    [
      'chunked that is not last',
      'POST /x HTTP/1.1\r\nHost: a\r\nKEY\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n',
      400,
      0,
    ],
    [
      'a space before the colon',
      'POST /x HTTP/1.1\r\nHost: a\r\nKEY\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n',
      400,
      0,
    ],
    ['a bare line feed', 'GET /x HTTP/1.1\nHost: a\nKEY\n\n', 400, 0],
    ['a folded header', 'GET /x HTTP/1.1\r\nHost: a\r\nKEY\r\nX-A: b\r\n c\r\n\r\n', 400, 0],
    [
      'a chunk size that overflows',
      'POST /x HTTP/1.1\r\nHost: a\r\nKEY\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n',
      400,
      0,
    ],
    ['no host', 'GET /x HTTP/1.1\r\nKEY\r\n\r\n', 400, 0],
    ['another host', 'GET http://other.example/x HTTP/1.1\r\nHost: a\r\nKEY\r\n\r\n', 200, 1],
    [
      'an authority without a path',
      'GET http://other.example HTTP/1.1\r\nHost: a\r\nKEY\r\n\r\n',
      404,
      0,
    ],
    [
      'a path within an authority',
      'GET http://other.example:80@/x HTTP/1.1\r\nHost: a\r\nKEY\r\n\r\n',
      200,
      1,
    ],
    ['an asterisk', 'OPTIONS * HTTP/1.1\r\nHost: a\r\nKEY\r\n\r\n', 400, 0],
    ['an encoded slash', 'GET /%2Fx HTTP/1.1\r\nHost: a\r\nKEY\r\n\r\n', 400, 0],
    ['a backslash', 'GET /\\x HTTP/1.1\r\nHost: a\r\nKEY\r\n\r\n', 400, 0],
    ['a fragment', 'GET /x#/free HTTP/1.1\r\nHost: a\r\nKEY\r\n\r\n', 400, 0],
    [
      'dots to the gateway itself',
      'GET /x/../%5fpay/balance HTTP/1.1\r\nHost: a\r\nKEY\r\n\r\n',
      200,
      0,
    ],
    [
      'an unknown expectation',
      'GET /x HTTP/1.1\r\nHost: a\r\nKEY\r\nExpect: a-product\r\n\r\n',
      417,
      0,
    ],
    [
      'a websocket of a version that nobody speaks',
      'GET /x HTTP/1.1\r\nHost: a\r\nKEY\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 8\r\n\r\n',
      426,
      0,
    ],
    [
      'HTTP/2 over cleartext',
      'GET /x HTTP/1.1\r\nHost: a\r\nKEY\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n',
      200,
      1,
    ],
    ['two keys in one header name', 'GET /x HTTP/1.1\r\nHost: a\r\nKEY\r\nKEY\r\n\r\n', 401, 0],
    [
      'a key twice',
      'GET /x HTTP/1.1\r\nHost: a\r\nKEY\r\nAuthorization: Bearer another\r\n\r\n',
      400,
      0,
    ],
    [
      'a method override',
      'GET /x HTTP/1.1\r\nHost: a\r\nKEY\r\nX-HTTP-Method-Override: DELETE\r\nX-Original-URL: /admin\r\n\r\n',
      200,
      1,
    ],
    ['HEAD', 'HEAD /x HTTP/1.1\r\nHost: a\r\nKEY\r\nConnection: close\r\n\r\n', 200, 1],
  ];

test('no odd framing, target or header reaches the upstream as another request, and each one that does is paid', async (t) => {
  const upstream = await rawUpstream(t, answerOk);
  const s = await stage(t, upstream);
  let left = DOLLAR;
  for (const [name, text, status, calls] of requests)
    await t.test(name, async (each) => {
      const before = upstream.received.join('');
      const client = await rawClient(each, s.gateway.url);
      client.send(text.replaceAll('KEY', `x-api-key: ${s.key}`));
      await client.until(/\r\n\r\n/);
      client.socket.end();
      const answer = await client.rest();
      assert.equal(Number(/^HTTP\/1\.1 (\d+)/.exec(answer)?.[1]), status, answer);
      assert.equal(answer.match(/HTTP\/1\.1 \d{3} /g)?.length, 1, 'one request has one answer');
      const seen = upstream.received.join('').slice(before.length);
      assert.equal(seen.match(/^[A-Z]+ \S+ HTTP\/1\.1\r$/gm)?.length ?? 0, calls, seen);
      assert.doesNotMatch(
        seen,
        /cs_live|override|original-url|upgrade|http2|expect|other\.example/i,
      );
      left -= CENT * BigInt(calls);
      assert.equal(await s.balance(), left);
    });
});
