/**
 * Law 14: the upstream's failure is free. What would break it: a failure that looks like a product, and a payer who
 * has work done again and again that he knows will fail.
 *
 * More attacks on it: gateway/prepaid and gateway/x402 (every status, resets, time-outs), attacks/upstream-lies (broken
 * HTTP), attacks/client-leaves (who left: client or upstream), attacks/free-tier, upstreams/http.
 */

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { after, before, describe, it, type TestContext } from 'node:test';
import { type EvmDevnet, startEvmDevnet } from '../../src/devnet/start-evm-devnet.ts';
import { attackedGateway, countEach, PRICE, v1, v2 } from '../support/attacked-gateway.ts';

let chain: EvmDevnet;
before(async () => {
  chain = await startEvmDevnet({ accountsCount: 30 });
});
after(() => chain.close());

async function upstreamOf(
  t: TestContext,
  answer: (response: ServerResponse) => void,
): Promise<string> {
  const server = createServer((_request, response) => answer(response));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

const STREAM = { 'content-type': 'text/event-stream' };
const EMPTY: readonly (readonly [name: string, answer: (response: ServerResponse) => void])[] = [
  [
    '200 with a length of 0',
    (response) => void response.writeHead(200, { 'content-length': 0 }).end(),
  ],
  ['200 in chunks, none of them', (response) => void response.writeHead(200).end()],
  ['an event stream without an event', (response) => void response.writeHead(200, STREAM).end()],
  ['201 without a byte', (response) => void response.writeHead(201).end()],
  ['206 without a byte', (response) => void response.writeHead(206).end()],
];
describe('an upstream that fails', { concurrency: 4 }, () => {
  it('an upstream that answers without a byte is not paid, whatever its status says, by key, by v2 and by v1', async (t) => {
    let answer = EMPTY[0]?.[1] ?? assert.fail();
    const upstreamUrl = await upstreamOf(t, (response) => answer(response));
    const s = await attackedGateway(t, chain, { upstreamUrl });
    for (const [name, next] of EMPTY) {
      answer = next;
      for (const proof of [
        { 'x-api-key': s.key },
        v2(await s.sign('/echo')),
        v1(await s.sign('/echo')),
      ]) {
        const seen = await s.call('/echo', proof);
        assert.equal(seen.headers.get('x-payment-state'), 'released', name);
        assert.equal(seen.headers.get('x-payment-cost'), '0', name);
      }
    }
    assert.equal(await s.received(), 0n);
    assert.equal(await s.keyBalance(), '$1');
  });

  it('work that fails is free only so often: then the payer and his address wait, and in the next minute they may again', async (t) => {
    let laterMs = 0;
    const s = await attackedGateway(t, chain, {
      gateway: { clock: { now: () => Date.now() + laterMs } },
      over: { limits: { failuresPerMinute: 5 } },
    });
    const statuses = [];
    for (let i = 0; i < 8; i++)
      statuses.push((await s.call('/status/500', { 'x-api-key': s.key })).status);
    assert.deepEqual(countEach(statuses), { 500: 5, 429: 3 });
    const refused = await s.call('/echo', { 'x-api-key': s.key });
    assert.equal(refused.status, 429);
    assert.match(refused.headers.get('retry-after') ?? '', /^\d+$/);
    assert.equal(s.upstream.calls('/status/500'), 5);
    laterMs = 61_000;
    assert.equal((await s.call('/echo', { 'x-api-key': s.key })).status, 200);
    assert.equal(await s.keyBalance(), '$0.99');
  });

  it('a wallet can not have failing work done for ever from address to address: its own failures count', async (t) => {
    const s = await attackedGateway(t, chain, {
      over: { limits: { failuresPerMinute: 3 }, trustProxy: ['127.0.0.1/32'] },
    });
    const statuses: number[] = [];
    const signed = [];
    for (let i = 0; i < 6; i++) signed.push(await s.sign('/status/500'));
    for (const [i, one] of signed.entries()) {
      const headers = { ...v2(one), 'x-forwarded-for': `203.0.113.${i}` };
      statuses.push((await s.call('/status/500', headers)).status);
    }
    assert.deepEqual(statuses, [500, 500, 500, 429, 429, 429]);
    assert.equal(s.upstream.calls('/status/500'), 3);
    assert.equal(await s.received(), 0n);
  });

  it('the same failure can be asked for again by its credential without another run, and stays free', async (t) => {
    const s = await attackedGateway(t, chain);
    for (const proof of [
      v2(await s.sign('/status/500')),
      v1(await s.sign('/status/500')),
      { 'x-api-key': s.key, 'idempotency-key': 'one' },
    ]) {
      const before = s.upstream.calls('/status/500');
      const first = await s.call('/status/500', proof);
      const again = await s.call('/status/500', proof);
      assert.deepEqual([first.status, again.status], [500, 500]);
      assert.equal(again.text, first.text);
      assert.equal(s.upstream.calls('/status/500'), before + 1);
    }
    assert.equal(await s.received(), 0n);
  });

  it('a status that the route sells is paid, and its neighbours are not, whatever the list says about failures', async (t) => {
    const s = await attackedGateway(t, chain, { route: { chargeOn: [404, 422] } });
    for (const [status, state] of [
      [404, 'settled'],
      [422, 'settled'],
      [400, 'released'],
      [403, 'released'],
      [408, 'released'],
      [429, 'released'],
      [500, 'released'],
      [301, 'released'],
    ] as const) {
      const seen = await s.call(`/status/${status}`, v2(await s.sign(`/status/${status}`)));
      assert.deepEqual([seen.status, seen.headers.get('x-payment-state')], [status, state]);
    }
    assert.equal(await s.received(), 2n * PRICE);
  });
});
