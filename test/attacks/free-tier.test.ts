import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type TestContext, test } from 'node:test';
import { startUpstream } from '../support/start-upstream.ts';
import { rawClient, stage } from './fixture.ts';

const free = {
  payments: { prepaid: {}, free: { callsPerDay: 1 } },
  limits: { bodyBytes: '1KiB' },
} as const;
const route = { upstream: 'api', price: '$0.01', timeout: '2s' } as const;

/** A server that answers with the beginning of a stream before it has read the request. */
async function hasty(t: TestContext): Promise<{ url: string }> {
  const server = createServer((request, response) => {
    request.on('error', () => {});
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    response.write('data: the whole product\n\n');
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}` };
}

for (const [name, end] of [
  ['sends too much', (send: (text: string) => void) => send(`800\r\n${'x'.repeat(2048)}\r\n`)],
  ['sends no chunk', (send: (text: string) => void) => send('no chunk\r\n')],
] as const)
  test(`a free call is used up by a client that takes the answer and then ${name}`, async (t) => {
    const s = await stage(t, await hasty(t), { ...free, routes: { 'POST /x': route } });
    const client = await rawClient(t, s.gateway.url);
    client.send('POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n');
    await client.until(/the whole product/);
    end(client.send);
    await client.rest();
    const again = await fetch(`${s.gateway.url}/x`, { method: 'POST', body: 'a' });
    assert.equal(again.status, 402);
    await again.text();
  });

test('a hundred clients at once share one free call, whatever addresses they claim to have', async (t) => {
  const upstream = await startUpstream(t);
  const s = await stage(t, upstream, { ...free, routes: { 'GET /echo': route } });
  const answers = await Promise.all(
    Array.from({ length: 100 }, (_, i) =>
      fetch(`${s.gateway.url}/echo`, {
        headers: {
          'x-forwarded-for': `10.0.0.${i}`,
          'x-real-ip': `10.1.0.${i}`,
          forwarded: `for=10.2.0.${i}`,
        },
      }),
    ),
  );
  assert.equal(answers.filter(({ status }) => status === 200).length, 1);
  assert.equal(upstream.calls('/echo'), 1);
});

test('a connection stays in step after an unread body, and every request on it is judged for itself', async (t) => {
  const upstream = await startUpstream(t);
  const s = await stage(t, upstream, { routes: { '* /echo': route } });
  const client = await rawClient(t, s.gateway.url);
  const hidden = 'GET /echo HTTP/1.1\r\nHost: a\r\n\r\n';
  const post = `POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: ${hidden.length}\r\n\r\n${hidden}`;
  client.send(`${post}${post}GET /nothing HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n`);
  const statuses = [...(await client.rest()).matchAll(/HTTP\/1\.1 (\d{3}) /g)].map((one) => one[1]);
  assert.deepEqual(statuses, ['402', '402', '404']);
  assert.equal(upstream.calls('/echo'), 0);
});
