/** What of a WebSocket handshake goes on, what is refused, and what can't be hidden in one. */

import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import { parseUsd } from '../../src/core/money.ts';
import { KEY } from '../support/websocket-client.ts';
import { frame, MASK } from '../support/websocket-frames.ts';
import { webSocketStage } from './websocket-stage.ts';

const TEN = parseUsd('$10');

test('the handshake that reaches the upstream carries no credential, no money header and no extension', async (t) => {
  const s = await webSocketStage(t);
  const client = await s.open('/echo?q=1', {
    Authorization: `Bearer ${s.key}`,
    'Sec-WebSocket-Extensions': 'permessage-deflate; client_max_window_bits',
    'Sec-WebSocket-Protocol': `chat, ${s.key}`,
    'X-PAYMENT-RESPONSE': 'x',
    'X-Payment-Payer': 'key:another',
    'X-Forwarded-For': '6.6.6.6',
    Connection: 'Upgrade, Sec-WebSocket-Key, X-Secret',
    'X-Secret': 'listed',
  });
  assert.equal(client.status, 101);
  const [request] = s.upstream.handshakes;
  const { headers, url } = request ?? assert.fail('no handshake');
  assert.equal(url, '/echo?q=1');
  assert.equal(headers.authorization, 'Bearer upstream-secret');
  assert.equal(headers['sec-websocket-key'], KEY);
  assert.equal(headers['sec-websocket-protocol'], 'chat');
  assert.equal(headers['x-forwarded-for'], '127.0.0.1');
  assert.match(String(headers['x-payment-payer']), /^key:key_/);
  for (const name of ['x-api-key', 'sec-websocket-extensions', 'x-payment-response', 'x-secret'])
    assert.equal(headers[name], undefined, name);
  assert.doesNotMatch(JSON.stringify(request?.rawHeaders), /cs_live/);
  const guid = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11';
  const accept = createHash('sha1').update(KEY + guid);
  assert.equal(client.headers.get('sec-websocket-accept'), accept.digest('base64'));
  assert.equal(client.headers.get('x-own'), 'kept');
  assert.equal(client.headers.get('payment-response'), undefined, 'a forged receipt is dropped');
});

for (const [what, headers, extra, status] of [
  ['a body', { 'Content-Length': '4' }, { early: Buffer.from('abcd') }, 400],
  ['a chunked body', { 'Transfer-Encoding': 'chunked' }, { early: Buffer.from('0\r\n\r\n') }, 400],
  ['no key', { 'Sec-WebSocket-Key': null }, {}, 400],
  ['a short key', { 'Sec-WebSocket-Key': 'YWJj' }, {}, 400],
  ['two keys', {}, { lines: `Sec-WebSocket-Key: ${KEY}\r\n` }, 400],
  ['a version of its own', { 'Sec-WebSocket-Version': '8' }, {}, 426],
  ['two versions', {}, { lines: 'Sec-WebSocket-Version: 13\r\n' }, 426],
  ['a subprotocol that is none', { 'Sec-WebSocket-Protocol': 'a, b c' }, {}, 400],
  ['the method POST', {}, { method: 'POST' }, 400],
] as const)
  test(`a handshake with ${what} is refused with ${status} before anybody pays`, async (t) => {
    const s = await webSocketStage(t, {
      routes: { '* /echo': { upstream: 'api', price: '$0.01' } },
    });
    const client = await s.open('/echo', headers, extra);
    assert.equal(client.status, status);
    assert.equal(s.upstream.handshakes.length, 0);
    assert.equal(await s.balance(), TEN);
    assert.deepEqual(await s.gateway.ledger.listPayments({ limit: 1 }), []);
  });

test('what a client sends before the switch is frames or nothing, never another request', async (t) => {
  const s = await webSocketStage(t);
  const early = frame(1, Buffer.from('early'), { mask: MASK });
  const client = await s.open('/echo', {}, { early });
  assert.equal((await client.frame(0)).payload.toString(), 'early');
  const smuggled = Buffer.from('GET /plain HTTP/1.1\r\nHost: x\r\n\r\n');
  const refused = await s.open('/refuse/403', {}, { early: smuggled });
  assert.equal(refused.status, 403);
  assert.equal(await refused.body(), '{"refused":true}');
  assert.equal(s.upstream.handshakes.length, 2);
  const switched = await s.open('/echo', {}, { early: smuggled });
  assert.equal((await switched.closed())?.code, 1002);
});

test('a handshake that is pipelined behind another request is cut off', async (t) => {
  const s = await webSocketStage(t);
  const head = 'GET /echo HTTP/1.1\r\nHost: x\r\n';
  const early = Buffer.from(
    `${head}X-API-Key: ${s.key}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n` +
      `Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ${KEY}\r\n\r\n`,
  );
  const usual = { Connection: 'keep-alive', Upgrade: null };
  const client = await s.open('/plain', usual, { early });
  assert.doesNotMatch(await client.body(), /101/);
  assert.equal(client.socket.destroyed, true);
  assert.equal(s.upstream.handshakes.length, 0);
});
