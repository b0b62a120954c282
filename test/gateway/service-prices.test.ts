/** Prices that an HTTP service names for each request: bounded, kept for whoever was shown them, never guessed. */

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { after, before, type TestContext, test } from 'node:test';
import { type EvmDevnet, startEvmDevnet } from '../../src/devnet/start-evm-devnet.ts';
import { afterFirst402, CLIENTS, priceStage } from './price-stage.ts';

let chain: EvmDevnet;
let nextPayer = 2;
before(async () => {
  chain = await startEvmDevnet({ accountsCount: 40 });
});
after(() => chain.close());

interface PriceService {
  readonly url: string;
  readonly asked: Record<string, unknown>[];
  answer: (response: ServerResponse) => void;
}

const says =
  (max: unknown) =>
  (response: ServerResponse): void =>
    void response.end(JSON.stringify({ max }));

async function startService(t: TestContext, max: string): Promise<PriceService> {
  const service: PriceService & { url: string } = { url: '', asked: [], answer: says(max) };
  const server = createServer(async (request, response) => {
    let text = '';
    for await (const chunk of request) text += chunk;
    service.asked.push(JSON.parse(text || 'null'));
    service.answer(response);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(async () => {
    server.closeAllConnections();
    server.close();
    await once(server, 'close');
  });
  service.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/quote`;
  return service;
}

const CENT = 10_000n;
const priceOf = ({ url }: PriceService) => ({ service: { url, timeout: '300ms' }, max: '$0.05' });
const HELLO = { method: 'POST', body: 'hello' };

for (const [name, make] of CLIENTS)
  test(`${name} pays what the service named for its request, although it names another price now`, async (t) => {
    const service = await startService(t, '0.01');
    const s = await priceStage(t, chain, nextPayer++, priceOf(service));
    const dearer = afterFirst402(async () => {
      service.answer = says('0.02');
      assert.equal(await s.asked(), 2n * CENT, 'for whoever asks now');
    });
    const response = await make(s, dearer)(`${s.gateway.url}/echo`, HELLO);
    assert.equal(response.status, 200, await response.clone().text());
    assert.equal(await s.paid(), CENT);
    const { method, path, route } = service.asked[0] ?? {};
    assert.deepEqual([method, path, route], ['POST', '/echo', 'POST /echo']);

    const late = afterFirst402(async () => {
      service.answer = says('0.04');
      s.skewMs = 16_000;
    });
    const statuses: number[] = [];
    const noting: typeof fetch = async (input, init) => {
      const answer = await late(input, init);
      statuses.push(answer.status);
      return answer;
    };
    await make(s, noting)(`${s.gateway.url}/echo`, HELLO).catch(() => {});
    assert.deepEqual(statuses.slice(0, 2), [402, 402]);
    assert.equal(await s.paid(), statuses.includes(200) ? 5n * CENT : CENT);
  });

test('what was named for one request pays no other, however much dearer', async (t) => {
  const service = await startService(t, '0.01');
  const s = await priceStage(t, chain, nextPayer++, priceOf(service));
  for (const [, make] of CLIENTS) {
    const elsewhere: typeof fetch = async (input, init) => {
      const request = new Request(input, init);
      const isPaid = request.headers.has('payment-signature') || request.headers.has('x-payment');
      if (!isPaid) return await fetch(request);
      service.answer = says('0.05');
      return await fetch(request.url, { method: 'POST', body: 'dear', headers: request.headers });
    };
    service.answer = says('0.01');
    await make(s, elsewhere)(`${s.gateway.url}/echo`, HELLO).catch(() => {});
  }
  assert.equal(await s.paid(), 0n);
  assert.equal(s.upstream.calls('/echo'), 0);
});

test('the service never gets more than max', async (t) => {
  const service = await startService(t, '1000000');
  const s = await priceStage(t, chain, nextPayer++, priceOf(service));
  assert.equal(await s.asked(), 5n * CENT);
});

const FAILURES: readonly (readonly [string, (response: ServerResponse) => void])[] = [
  ['nothing in time', () => {}],
  ['an error', (response) => void response.writeHead(500).end('{"max":"0.01"}')],
  ['a redirect', (response) => void response.writeHead(307, { location: '/other' }).end()],
  ['no JSON', (response) => void response.end('0.01')],
  ['a number', says(0.01)],
  ['a negative price', says('-0.01')],
  ['no price', says('0')],
  ['too many places', says('0.00000001')],
  ['a broken answer', (response) => void response.write('{"max":', () => response.destroy())],
  ['too much', says('0.01'.padEnd(100_000, '0'))],
];

test('a service that fails makes its route 503 with Retry-After, and nothing runs', async (t) => {
  const service = await startService(t, '0.01');
  const s = await priceStage(t, chain, nextPayer++, priceOf(service));
  for (const [what, answer] of FAILURES) {
    service.answer = answer;
    const response = await fetch(`${s.gateway.url}/echo`, HELLO);
    assert.equal(response.status, 503, what);
    assert.equal(((await response.json()) as { code: string }).code, 'price_unavailable', what);
    assert.ok(response.headers.get('retry-after'), what);
  }
  assert.equal(s.upstream.calls('/echo'), 0);
  service.answer = says('0.03');
  assert.equal(await s.asked(), 3n * CENT, 'and it works again when the service does');
});
