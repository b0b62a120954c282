import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CENT, DOLLAR, rawUpstream, stage } from './fixture.ts';

const lies: readonly (readonly [name: string, answer: string, charged: boolean])[] = [
  ['status 000', 'HTTP/1.1 000 Nothing\r\nContent-Length: 2\r\n\r\nhi', false],
  ['status 099', 'HTTP/1.1 099 Nothing\r\nContent-Length: 2\r\n\r\nhi', false],
  ['status 600', 'HTTP/1.1 600 Odd\r\nContent-Length: 2\r\n\r\nhi', false],
  ['status 999', 'HTTP/1.1 999 Odd\r\nContent-Length: 2\r\n\r\nhi', false],
  ['an upgrade that nobody asked for', 'HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n', false],
  ['100 as its only answer', 'HTTP/1.1 100 Continue\r\n\r\n', false],
  ['no HTTP at all', 'SSH-2.0-OpenSSH_9\r\n\r\n', false],
  ['HTTP/0.9', 'hello', false],
  ['a fourth digit in the status', 'HTTP/1.1 2000 OK\r\nContent-Length: 2\r\n\r\nhi', false],
  ['two lengths', 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nhi', false],
  ['a length that is too long', 'HTTP/1.1 200 OK\r\nContent-Length: 9\r\nConnection: close\r\n\r\nhi', false],
  ['a chunk that is no chunk', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nhi', false],
  ['chunks without an end', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n', false],
  ['a header of 20 KiB', `HTTP/1.1 200 OK\r\nX-Big: ${'x'.repeat(20_000)}\r\nContent-Length: 2\r\n\r\nhi`, false],
  ['a NUL in a header', 'HTTP/1.1 200 OK\r\nX-A: a\0b\r\nContent-Length: 2\r\n\r\nhi', false],
  ['a header name with a space', 'HTTP/1.1 200 OK\r\nX A: b\r\nContent-Length: 2\r\n\r\nhi', false],
  ['bytes beyond ASCII in a header', 'HTTP/1.1 200 OK\r\nX-A: \xe6\x97\xa5\r\nContent-Length: 2\r\n\r\nhi', true],
  ['control characters in a header', 'HTTP/1.1 200 OK\r\nX-A: a\x01\x02b\r\nContent-Length: 2\r\n\r\nhi', true],
  ['DEL in a header', 'HTTP/1.1 200 OK\r\nX-A: a\x7fb\r\nContent-Length: 2\r\n\r\nhi', true],
  ['a folded header', 'HTTP/1.1 200 OK\r\nX-A: a\r\n b\r\nContent-Length: 2\r\n\r\nhi', true],
  ['early hints first', 'HTTP/1.1 103 Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi', true],
  ['trailers', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Payment-Id\r\n\r\n2\r\nhi\r\n0\r\nX-Payment-Id: forged\r\n\r\n', true],
  ['a body with 204', 'HTTP/1.1 204 No\r\nContent-Length: 2\r\n\r\nhi', true],
];

for (const [name, text, charged] of lies)
  test(`an upstream that answers ${name} ${charged ? 'is charged once' : 'costs nothing'} and harms nobody`, async (t) => {
    const upstream = await rawUpstream(t, (socket) => socket.end(text, 'latin1'));
    const s = await stage(t, upstream);
    const response = await s.call('/x').catch((error) => error);
    console.log(name, response.status, response.cause ?? '', await response.text?.());
    assert.equal(await s.balance(), charged ? DOLLAR - CENT : DOLLAR);
  });
