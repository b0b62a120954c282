import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CENT, DOLLAR, exchangeRaw, rawUpstream, stage } from './fixture.ts';

const lies: readonly (readonly [name: string, answer: string, charged: boolean])[] = [
  ['status 000', 'HTTP/1.1 000 Nothing\r\nContent-Length: 2\r\n\r\nhi', false],
  ['status 099', 'HTTP/1.1 099 Nothing\r\nContent-Length: 2\r\n\r\nhi', false],
  ['status 600', 'HTTP/1.1 600 Odd\r\nContent-Length: 2\r\n\r\nhi', false],
  ['status 999', 'HTTP/1.1 999 Odd\r\nContent-Length: 2\r\n\r\nhi', false],
  [
    'an upgrade that nobody asked for',
    'HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n',
    false,
  ],
  ['100 as its only answer', 'HTTP/1.1 100 Continue\r\n\r\n', false],
  ['no HTTP at all', 'SSH-2.0-OpenSSH_9\r\n\r\n', false],
  ['HTTP/0.9', 'hello', false],
  ['a fourth digit in the status', 'HTTP/1.1 2000 OK\r\nContent-Length: 2\r\n\r\nhi', false],
  ['two lengths', 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nhi', false],
  [
    'a length that is too long',
    'HTTP/1.1 200 OK\r\nContent-Length: 9\r\nConnection: close\r\n\r\nhi',
    false,
  ],
  [
    'a chunk that is no chunk',
    'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nhi',
    false,
  ],
  [
    'chunks without an end',
    'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n',
    false,
  ],
  [
    'a header of 20 KiB',
    `HTTP/1.1 200 OK\r\nX-Big: ${'x'.repeat(20_000)}\r\nContent-Length: 2\r\n\r\nhi`,
    false,
  ],
  ['a NUL in a header', 'HTTP/1.1 200 OK\r\nX-A: a\0b\r\nContent-Length: 2\r\n\r\nhi', false],
  ['a header name with a space', 'HTTP/1.1 200 OK\r\nX A: b\r\nContent-Length: 2\r\n\r\nhi', false],
  [
    'bytes beyond ASCII in a header',
    'HTTP/1.1 200 OK\r\nX-A: \xe6\x97\xa5\r\nContent-Length: 2\r\n\r\nhi',
    true,
  ],
  [
    'control characters in a header',
    'HTTP/1.1 200 OK\r\nX-A: a\x01\x02b\r\nContent-Length: 2\r\n\r\nhi',
    false,
  ],
  ['DEL in a header', 'HTTP/1.1 200 OK\r\nX-A: a\x7fb\r\nContent-Length: 2\r\n\r\nhi', false],
  ['a folded header', 'HTTP/1.1 200 OK\r\nX-A: a\r\n b\r\nContent-Length: 2\r\n\r\nhi', false],
  [
    'early hints first',
    'HTTP/1.1 103 Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi',
    true,
  ],
  [
    'trailers',
    'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Payment-Id\r\n\r\n2\r\nhi\r\n0\r\nX-Payment-Id: forged\r\n\r\n',
    true,
  ],
  ['a body with 204', 'HTTP/1.1 204 No\r\nContent-Length: 2\r\n\r\nhi', false],
];

test('whatever an upstream answers, its failure is free, its product is charged once, and the gateway stands', async (t) => {
  const upstream = await rawUpstream(t, (socket, text) => {
    const at = Number(/^GET \/lie\/(\d+) /.exec(text)?.[1]);
    socket.end(lies[at]?.[1] ?? '', 'latin1');
  });
  const s = await stage(t, upstream, {
    routes: { 'GET /lie/:n': { upstream: 'api', price: '$0.01' } },
  });
  let left = DOLLAR;
  for (const [at, [name, , charged]] of lies.entries())
    await t.test(name, async () => {
      const response = await s.call(`/lie/${at}`);
      if (charged) left -= CENT;
      assert.equal(await s.balance(), left);
      assert.equal(response.headers.get('x-payment-state'), charged ? 'settled' : 'released');
      if (!charged) assert.equal(response.status, 502);
      await response.text();
    });
});

test('the web form serves the same upstream without throwing', async (t) => {
  const upstream = await rawUpstream(t, (socket) =>
    socket.end('HTTP/1.1 999 Odd\r\nX-A: \xe6\r\nContent-Length: 2\r\n\r\nhi', 'latin1'),
  );
  const s = await stage(t, upstream);
  const headers = { 'x-api-key': s.key };
  const request = new Request('http://gateway.example/x', { headers });
  assert.equal((await s.gateway.gateway.fetch(request)).status, 502);
  assert.equal(await s.balance(), DOLLAR);
});

test('money headers and trailers that an upstream makes up never reach the client', async (t) => {
  const forged = 'X-Payment-Id: pay_forged\r\nX-Payment-Cost: 0\r\nPAYMENT-RESPONSE: e30=\r\n';
  const upstream = await rawUpstream(t, (socket) =>
    socket.end(
      `HTTP/1.1 200 OK\r\n${forged}Transfer-Encoding: chunked\r\nTrailer: PAYMENT-RESPONSE\r\n\r\n2\r\nhi\r\n0\r\n${forged}\r\n`,
    ),
  );
  const s = await stage(t, upstream);
  const raw = await exchangeRaw(
    t,
    s.gateway.url,
    `GET /x HTTP/1.1\r\nHost: a\r\nx-api-key: ${s.key}\r\nConnection: close\r\n\r\n`,
  );
  assert.doesNotMatch(raw, /forged|^payment-response|^trailer/im);
  assert.match(raw, /X-Payment-Cost: 0\.01\r\n/);
});

test('an upstream that answers and hangs up before it has read the body is charged once, and its successor is not disturbed', async (t) => {
  const upstream = await rawUpstream(t, (socket) =>
    socket.end('HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nearly'),
  );
  const s = await stage(t, upstream);
  const init = { method: 'POST', body: 'x'.repeat(4_000_000) };
  const answers = [await s.call('/x', init), await s.call('/x', init)];
  for (const answer of answers) {
    const isWhole = answer.status === 200 && (await answer.text()) === 'early';
    assert.ok(isWhole || answer.status === 502, `status ${answer.status}`);
  }
  const sold = answers.filter(({ status }) => status === 200).length;
  assert.equal(await s.balance(), DOLLAR - BigInt(sold) * CENT);
});
