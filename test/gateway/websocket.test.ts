import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { systemClock } from '../../src/core/clock.ts';
import { parseUsd } from '../../src/core/money.ts';
import { openLedger } from '../../src/ledger/open-ledger.ts';
import { newApiKey } from '../../src/rails/prepaid/protocol.ts';
import { spawnGateway } from '../support/spawn-gateway.ts';
import { tempDir } from '../support/temp-dir.ts';
import { until } from '../support/until.ts';
import { openWebSocket } from '../support/websocket-client.ts';
import { frame, MASK } from '../support/websocket-frames.ts';
import { unitsOf, webSocketStage } from './websocket-stage.ts';

const TEN = parseUsd('$10');
const close = (code: number): Buffer => Buffer.from([code >> 8, code & 255]);

test('messages pass both ways, and those of the upstream are paid for when the client leaves', async (t) => {
  const s = await webSocketStage(t);
  const client = await s.open('/echo');
  assert.equal(client.status, 101);
  assert.match(client.headers.get('x-payment-id') ?? '', /^pay_/);
  for (const [i, text] of ['one', 'two', 'three'].entries()) {
    client.text(text);
    assert.equal((await client.frame(i)).payload.toString(), text);
  }
  assert.equal(await s.balance(), TEN - parseUsd('$0.01'), 'the most is held');
  client.send(8, close(1000));
  assert.deepEqual(await client.closed(), { code: 1000, reason: '' });
  const receipt = await s.receipt(client);
  assert.equal(receipt.state, 'settled');
  assert.deepEqual(unitsOf(receipt), [['messages', 3]]);
  assert.equal(await s.balance(), TEN - parseUsd('$0.003'));
  await until(() => s.upstream.open() === 0);
});

test("node's own client is served, and sees a clean end", async (t) => {
  const s = await webSocketStage(t, {
    payments: { free: { callsPerDay: 10 } },
  });
  const socket = new WebSocket(`${s.gateway.url.replace('http', 'ws')}/echo`);
  await new Promise((resolve) => socket.addEventListener('open', resolve));
  const message = new Promise<MessageEvent>((resolve) =>
    socket.addEventListener('message', resolve),
  );
  socket.send('hello');
  assert.equal((await message).data, 'hello');
  const closed = new Promise<CloseEvent>((resolve) => socket.addEventListener('close', resolve));
  for (let i = 0; i < 20; i++) socket.send('more');
  const { code, reason, wasClean } = await closed;
  assert.deepEqual([code, wasClean], [1008, true]);
  assert.match(reason, /Connect again/);
  const [payment] = await s.gateway.ledger.listPayments({ limit: 1 });
  assert.equal(payment?.state, 'settled');
});

test('a client that sends nothing to pay with gets the offers instead of the switch', async (t) => {
  const s = await webSocketStage(t);
  const client = await s.open('/echo', { 'x-api-key': null });
  assert.equal(client.status, 402);
  const body = JSON.parse(await client.body()) as { quote: { max: string } };
  assert.equal(body.quote.max, '0.01');
  assert.equal(s.upstream.handshakes.length, 0);
  const unknown = await s.open('/echo', { 'x-api-key': 'cs_live_nobody' });
  assert.equal(unknown.status, 401);
  assert.equal((await s.open('/nowhere')).status, 404);
});

test('the next message that would pass the hold does not leave, and the close frame says why', async (t) => {
  const s = await webSocketStage(t);
  const client = await s.open('/send/25');
  const closed = await client.closed();
  assert.equal(closed?.code, 1008);
  assert.match(closed?.reason ?? '', /used up.*Connect again/);
  assert.equal(client.frames.filter(({ opcode }) => opcode === 1).length, 10);
  assert.equal((await s.receipt(client)).cost, '0.01');
  assert.equal(await s.balance(), TEN - parseUsd('$0.01'));
  const frames = (): number[] => s.upstream.received.map(({ opcode }) => opcode);
  await until(() => frames().includes(8));
});

test('an upstream that leaves is paid for what passed, with its close frame or without', async (t) => {
  const s = await webSocketStage(t);
  const left = await s.open('/leave');
  await left.frame(1);
  left.send(8, close(4000));
  assert.deepEqual(await left.closed(), { code: 4000, reason: 'bye' });
  assert.deepEqual(unitsOf(await s.receipt(left)), [['messages', 1]]);
  const dropped = await s.open('/drop');
  assert.equal((await dropped.closed())?.code, 1011);
  assert.deepEqual(unitsOf(await s.receipt(dropped)), [['messages', 1]]);
  assert.equal(await s.balance(), TEN - parseUsd('$0.002'));
});

test('a client that breaks off pays for what passed, and the upstream hears of it', async (t) => {
  const s = await webSocketStage(t);
  const client = await s.open('/echo');
  client.text('once');
  await client.frame(0);
  client.socket.resetAndDestroy();
  assert.deepEqual(unitsOf(await s.receipt(client)), [['messages', 1]]);
  await until(() => s.upstream.received.some(({ opcode }) => opcode === 8));
  await until(() => s.upstream.open() === 0);
});

for (const [path, status] of [
  ['/refuse/403', 403],
  ['/refuse/500', 500],
  ['/refuse/404', 502],
  ['/plain', 502],
  ['/accept', 502],
  ['/extension', 502],
  ['/never', 504],
] as const)
  test(`an upstream that does not switch (${path}) costs nothing and gives nothing away`, async (t) => {
    const s = await webSocketStage(t);
    const client = await s.open(path);
    assert.equal(client.status, status);
    assert.equal((await s.receipt(client)).state, 'released');
    if (status === 403) assert.equal(await client.body(), '{"refused":true}');
    else if (status === 502) assert.doesNotMatch(await client.body(), /refused|product/);
    assert.equal(await s.balance(), TEN);
  });

test('the time of a route ends a connection, and what passed is paid for', async (t) => {
  const s = await webSocketStage(t);
  const client = await s.open('/silent');
  const closed = await client.closed();
  assert.equal(closed?.code, 1008);
  assert.match(closed?.reason ?? '', /time of this route/);
  assert.equal((await s.receipt(client)).cost, '0');
  assert.equal(await s.balance(), TEN);
});

test('a connection on which nothing passes is ended, and pings keep it open', async (t) => {
  const s = await webSocketStage(t, { timeouts: { idle: '400ms' } });
  const client = await s.open('/echo');
  const pings = setInterval(() => client.send(9, ''), 50);
  const startedAtMs = performance.now();
  await until(() => performance.now() - startedAtMs > 800);
  assert.equal(client.socket.destroyed, false);
  clearInterval(pings);
  const closed = await client.closed();
  assert.match(closed?.reason ?? '', /Nothing was sent/);
  assert.equal((await s.receipt(client)).state, 'settled');
});

test('time is paid for by the second that has begun, and ends with the hold', async (t) => {
  const s = await webSocketStage(t, {
    routes: {
      'GET /echo': {
        upstream: 'api',
        price: { per: { connectedSecond: '$0.001' }, max: '$0.05' },
      },
      'GET /send/:n': {
        upstream: 'api',
        price: { per: { computeMs: '$0.00001' }, max: '$0.002' },
      },
    },
  });
  const client = await s.open('/echo');
  client.text('x');
  await client.frame(0);
  client.send(8, close(1000));
  await client.closed();
  assert.deepEqual(unitsOf(await s.receipt(client)), [['connectedSeconds', 1]]);
  assert.equal(await s.balance(), TEN - parseUsd('$0.001'));
  const startedAtMs = performance.now();
  const timed = await s.open('/send/1');
  assert.match((await timed.closed())?.reason ?? '', /used up/);
  assert.ok(performance.now() - startedAtMs > 150);
  const { cost } = await s.receipt(timed);
  assert.ok(
    parseUsd(`$${cost}`) <= parseUsd('$0.002') && parseUsd(`$${cost}`) > parseUsd('$0.001'),
    cost,
  );
});

test('OpenAI Realtime is paid for by the usage that its responses state', async (t) => {
  const s = await webSocketStage(t);
  const client = await s.open('/v1/realtime?model=gpt-realtime', {
    'Sec-WebSocket-Protocol':
      'realtime, openai-insecure-api-key.sk-secret, openai-beta.realtime-v1',
    Origin: 'https://app.example',
  });
  assert.equal(client.headers.get('sec-websocket-protocol'), 'realtime');
  const [handshake] = s.upstream.handshakes;
  assert.equal(handshake?.headers['sec-websocket-protocol'], 'realtime, openai-beta.realtime-v1');
  assert.equal(handshake?.headers.origin, 'https://app.example');
  assert.equal(handshake?.headers.authorization, 'Bearer upstream-secret');
  client.text('{"type":"response.create"}');
  client.text('{"type":"response.create"}');
  await client.frame(5);
  client.send(8, close(1000));
  await client.closed();
  const receipt = await s.receipt(client);
  assert.deepEqual(unitsOf(receipt), [
    ['inputTokens', 20],
    ['outputTokens', 8],
  ]);
  assert.equal(await s.balance(), TEN - 100n);
});

test('a Realtime response that is left before it is done is counted from what passed', async (t) => {
  const s = await webSocketStage(t);
  const client = await s.open('/v1/realtime');
  client.text('{"type":"response.create"}');
  await client.frame(2);
  client.text('{"type":"response.create","stall":true}');
  await client.frame(4);
  client.socket.destroy();
  assert.deepEqual(unitsOf(await s.receipt(client)), [
    ['inputTokens', 20],
    ['outputTokens', 14],
  ]);
});

test('a Realtime connection ends behind the response that used the hold up', async (t) => {
  const s = await webSocketStage(t);
  const client = await s.open('/v1/realtime');
  for (let i = 0; i < 30; i++) client.text('{"type":"response.create"}');
  const closed = await client.closed();
  assert.equal(closed?.code, 1008);
  assert.equal((await s.receipt(client)).cost, '0.001');
});

test('a Realtime response that uses more than the hold is the last one, without waiting for another', async (t) => {
  const s = await webSocketStage(t, {
    routes: {
      'GET /v1/realtime': {
        ...{ upstream: 'api', price: { per: { inputToken: '$0.0001' }, max: '$0.0005' } },
      },
    },
  });
  const client = await s.open('/v1/realtime');
  client.text('{"type":"response.create"}');
  assert.match((await client.closed())?.reason ?? '', /used up/);
  assert.match(client.frames[2]?.payload.toString() ?? '', /response\.done/);
  assert.equal((await s.receipt(client)).cost, '0.0005');
});

test('a message that is larger than a body may be is not taken, in one frame or in many', async (t) => {
  const s = await webSocketStage(t, { limits: { bodyBytes: '1KiB' } });
  const whole = await s.open('/echo');
  whole.send(2, Buffer.alloc(1_025));
  assert.equal((await whole.closed())?.code, 1009);
  const parts = await s.open('/echo');
  const part = Buffer.alloc(600);
  parts.socket.write(frame(2, part, { mask: MASK, isLast: false }));
  parts.socket.write(frame(0, part, { mask: MASK }));
  assert.equal((await parts.closed())?.code, 1009);
  const messages = s.upstream.received.filter(({ opcode, isLast }) => opcode < 3 && isLast);
  assert.deepEqual(messages, []);
});

test('fragments and control frames between them pass as they are and are one message', async (t) => {
  const s = await webSocketStage(t);
  const client = await s.open('/fragments');
  await client.frame(3);
  assert.deepEqual(
    client.frames.map(({ opcode, isLast, payload }) => [opcode, isLast, payload.toString()]),
    [
      [1, false, 'one '],
      [9, true, 'ping'],
      [0, false, 'two '],
      [0, true, 'three'],
    ],
  );
  client.socket.destroy();
  assert.deepEqual(unitsOf(await s.receipt(client)), [['messages', 1]]);
});

test('a huge frame passes in pieces and is paid for by the byte; one beyond the hold does not begin', async (t) => {
  const s = await webSocketStage(t);
  const client = await s.open('/huge/4000000');
  assert.equal((await client.frame(0)).payload.length, 4_000_000);
  client.socket.destroy();
  const receipt = await s.receipt(client);
  assert.deepEqual(unitsOf(receipt), [['bytesOut', 4_000_000]]);
  assert.equal(receipt.cost, '0.04');
  const beyond = await s.open('/huge/5000001');
  assert.equal((await beyond.closed())?.code, 1008);
  assert.equal((await s.receipt(beyond)).cost, '0');
});

test('a frame that never ends is cut without a close frame in the middle of it, and half of it is half the price', async (t) => {
  const s = await webSocketStage(t);
  const client = await s.open('/half/1000');
  let bytes = 0;
  client.socket.on('data', (chunk: Buffer) => {
    bytes += chunk.length;
  });
  assert.equal(await client.closed(), null);
  const receipt = await s.receipt(client);
  assert.deepEqual(unitsOf(receipt), [['bytesOut', 500]]);
  assert.equal(receipt.cost, '0.005');
  assert.ok(bytes <= 504, `${bytes} bytes came`);
});

test('a client that reads nothing keeps the upstream waiting, not the memory full', async (t) => {
  const s = await webSocketStage(t, { timeouts: { idle: '500ms' } });
  const client = await s.open('/flood');
  client.socket.pause();
  let last = -1;
  await until(
    () => {
      const isSame = s.upstream.flooded() === last;
      last = s.upstream.flooded();
      return isSame && last > 0;
    },
    { everyMs: 100 },
  );
  assert.ok(last < 40_000_000, `${last} bytes were taken from the upstream`);
  const receipt = await s.receipt(client);
  assert.equal(receipt.state, 'settled');
  const bytes = receipt.usage.find(({ unit }) => unit === 'bytesOut')?.count ?? 0;
  assert.ok(bytes > 0 && bytes <= last);
  await until(() => s.upstream.open() === 0);
});

test('frames that are none end the connection with 1002, from either side', async (t) => {
  const s = await webSocketStage(t);
  const client = await s.open('/echo');
  client.socket.write(frame(1, Buffer.from('unmasked')));
  assert.equal((await client.closed())?.code, 1002);
  const compressed = await s.open('/echo');
  compressed.socket.write(frame(1, Buffer.from('x'), { mask: MASK, reserved: 4 }));
  assert.equal((await compressed.closed())?.code, 1002);
  assert.deepEqual(
    s.upstream.received.filter(({ opcode }) => opcode < 3),
    [],
  );
  assert.equal((await (await s.open('/garbage')).closed())?.code, 1011);
});

test('a flat price is one connection, and a free one needs no key', async (t) => {
  const s = await webSocketStage(t, {
    routes: {
      'GET /echo': { upstream: 'api', price: '$0.02' },
      'GET /send/:n': { upstream: 'api', price: 'free' },
    },
  });
  const client = await s.open('/echo');
  for (let i = 0; i < 50; i++) client.text('x');
  await client.frame(49);
  client.send(8, close(1000));
  await client.closed();
  assert.equal((await s.receipt(client)).cost, '0.02');
  const free = await s.open('/send/40', { 'x-api-key': null });
  await free.frame(39);
  assert.equal(free.headers.get('x-payment-id'), undefined);
  free.send(8, close(1000));
  await free.closed();
  assert.equal(await s.balance(), TEN - parseUsd('$0.02'));
});

test('connections count for the limits, and a stop ends them in order', async (t) => {
  const s = await webSocketStage(t, { limits: { concurrency: 2 } });
  const [one, two] = [await s.open('/echo'), await s.open('/echo')];
  assert.equal((await s.open('/echo')).status, 503);
  one.text('x');
  await one.frame(0);
  const startedAtMs = performance.now();
  const stopped = s.gateway.gateway.close(10_000);
  for (const client of [one, two]) {
    assert.deepEqual(await client.closed(), {
      ...{ code: 1001, reason: 'The gateway is stopping. Connect again.' },
    });
  }
  await stopped;
  assert.ok(performance.now() - startedAtMs < 5_000);
  const payments = await s.gateway.ledger.listPayments({ limit: 5 });
  assert.deepEqual(payments.map(({ state, cost }) => [state, cost]).sort(), [
    ['settled', 0n],
    ['settled', 1_000n],
  ]);
});

for (const [onAbort, cost] of [
  ['release', '0'],
  ['drain', '0.001'],
] as const)
  test(`a client that leaves without a close frame pays by onAbort: ${onAbort}`, async (t) => {
    const s = await webSocketStage(t, {
      routes: {
        'GET /echo': {
          ...{ upstream: 'api', price: { per: { message: '$0.001' }, max: '$0.01' }, onAbort },
        },
      },
    });
    for (const leave of ['end', 'resetAndDestroy'] as const) {
      const client = await s.open('/echo');
      client.text('x');
      await client.frame(0);
      client.socket[leave]();
      assert.equal((await s.receipt(client)).cost, cost, leave);
    }
  });

test('an Idempotency-Key opens one connection', async (t) => {
  const s = await webSocketStage(t);
  const headers = { 'Idempotency-Key': 'one' };
  const client = await s.open('/echo', headers);
  assert.equal((await s.open('/echo', headers)).status, 503);
  client.send(8, close(1000));
  await client.closed();
  await s.receipt(client);
  assert.equal((await s.open('/echo', headers)).status, 410);
  assert.equal(s.upstream.handshakes.length, 1);
});

test('kill -9 in the middle of a connection: the next start gives its hold back', async (t) => {
  const s = await webSocketStage(t);
  const folder = await tempDir(t);
  const file = join(folder, 'coinslot.yaml');
  const config = {
    listen: '127.0.0.1:0',
    database: `sqlite:${join(folder, 'test.db')}`,
    upstreams: { api: { url: s.upstream.url } },
    payments: { prepaid: {} },
    routes: { 'GET /echo': { upstream: 'api', price: { per: { message: '$0.001' }, max: '$1' } } },
  };
  await writeFile(file, JSON.stringify(config));
  const first = await spawnGateway(t, { config: file });
  const ledger = await openLedger({
    ...{ url: config.database, clock: systemClock, exclusive: false, onFatal: () => {} },
  });
  t.after(() => ledger.close());
  const { id, key, prefix, secretHash } = newApiKey('live', randomBytes);
  await ledger.createKey({
    ...{ id, prefix, secretHash, mode: 'live', name: null, nowMs: Date.now() },
    ...{ topUp: TEN, perDay: null, routes: null },
  });
  const client = await openWebSocket(t, `${first.url}/echo`, { 'x-api-key': key });
  client.text('x');
  await client.frame(0);
  assert.equal((await ledger.findKey(id))?.balance, TEN - parseUsd('$1'));
  await first.end('SIGKILL');
  assert.equal(await client.closed(), null);
  await spawnGateway(t, { config: file });
  await until(async () => (await ledger.findKey(id))?.balance === TEN, { timeoutMs: 40_000 });
  assert.deepEqual(await ledger.audit(), []);
});

test('200 connections at once: the books are exact to the atom', async (t) => {
  const s = await webSocketStage(t);
  let messages = 0;
  const clients = await Promise.all(Array.from({ length: 200 }, () => s.open('/echo')));
  await Promise.all(
    clients.map(async (client, i) => {
      const count = i % 8;
      messages += count;
      for (let n = 0; n < count; n++) client.text(`${n}`);
      if (count > 0) await client.frame(count - 1);
      if (i % 3 === 0) return void client.socket.resetAndDestroy();
      client.send(8, close(1000));
      await client.closed();
    }),
  );
  for (const client of clients) await s.receipt(client);
  assert.equal(await s.balance(), TEN - BigInt(messages) * 1_000n);
  assert.deepEqual(await s.gateway.ledger.audit(), []);
});
