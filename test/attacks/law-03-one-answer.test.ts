/**
 * Law 3: one payment buys one answer to one request. What would break it: the same credential with a request that
 * differs in one byte, a signature that a stranger reads from the chain, an answer that is forgotten and made again.
 *
 * More attacks on it: gateway/x402 and gateway/prepaid (other bodies, Idempotency-Key, restarts), attacks/wallet and
 * attacks/client-leaves (the first of two leaves), attacks/outside-unknown (answers of open settlements).
 */

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { type EvmDevnet, startEvmDevnet } from '../../src/devnet/start-evm-devnet.ts';
import { encodeHeader } from '../../src/rails/x402/protocol.ts';
import { attackedGateway, PRICE, v1, v2 } from '../support/attacked-gateway.ts';
import { until } from '../support/until.ts';

let chain: EvmDevnet;
before(async () => {
  chain = await startEvmDevnet({ accountsCount: 30 });
});
after(() => chain.close());

const TYPE = { 'content-type': 'text/plain' };
const BODY = 'the text';

/** What differs from `POST /echo?a=1&b=2` with `BODY` by as little as can be. */
const OTHERS: readonly (readonly [name: string, path: string, init?: RequestInit])[] = [
  ['one more byte in the query', '/echo?a=1&b=22'],
  ['no query', '/echo'],
  ['an empty query', '/echo?'],
  ['a query in another order', '/echo?b=2&a=1'],
  ['a query in another case', '/echo?A=1&b=2'],
  ['a query in another encoding', '/echo?a=%31&b=2'],
  ['one more separator', '/echo?a=1&b=2&'],
  ['one byte of the body', '/echo?a=1&b=2', { body: 'the tex_' }],
  ['one byte more of body', '/echo?a=1&b=2', { body: 'the text\n' }],
  ['no body', '/echo?a=1&b=2', { body: '' }],
  ['another content type', '/echo?a=1&b=2', { headers: { 'content-type': 'text/plain;' } }],
  ['another method', '/echo?a=1&b=2', { method: 'PUT' }],
  ['another path of the same price', '/other?a=1&b=2'],
];

for (const version of ['x402 v2', 'a key with Idempotency-Key'] as const)
  test(`${version}: a request that differs in a single byte is another request, and gets nothing`, async (t) => {
    const s = await attackedGateway(t, chain);
    const wallet = version === 'x402 v2';
    const proof = wallet
      ? v2(await s.sign('/echo'))
      : { 'x-api-key': s.key, 'idempotency-key': 'one' };
    const path = '/echo?a=1&b=2';
    const send = (path: string, init: RequestInit = {}) => {
      const { headers, ...rest } = init;
      const all = { ...TYPE, ...(headers as Record<string, string>), ...proof };
      return s.call(path, all, { method: 'POST', body: BODY, ...rest });
    };
    const first = await send(path);
    assert.equal(first.status, 200);
    for (const [name, otherPath, init] of OTHERS) {
      const { status, text } = await send(otherPath, init);
      assert.equal(status, 409, name);
      assert.doesNotMatch(text, /the text/, name);
    }
    for (const [name, samePath, init] of [
      ['the same', path],
      ['the same path, written in another way', '/./echo?a=1&b=2'],
      ['another header that is not part of the request', path, { headers: { accept: 'a/b' } }],
    ] as const) {
      const again = await send(samePath, init ?? {});
      assert.deepEqual([again.status, again.text], [200, first.text], name);
    }
    assert.equal(s.upstream.calls('/echo'), 1);
    assert.equal(s.upstream.calls('/other'), 0);
    assert.equal((await s.payments()).length, 1);
  });

test('a stranger who reads a settled signature from the chain gets no answer, whatever he wraps it in', async (t) => {
  const s = await attackedGateway(t, chain);
  const signed = await s.sign('/echo');
  const mine = await s.call('/echo', v2(signed));
  assert.equal(mine.status, 200);
  const { signature, authorization } = signed;
  const payload = JSON.parse(
    JSON.stringify({ signature, authorization }, (_, value) =>
      typeof value === 'bigint' ? value.toString() : value,
    ),
  );
  const fresh = await s.offer('/echo');
  const wrapped: readonly Record<string, string>[] = [
    { 'payment-signature': encodeHeader({ x402Version: 2, accepted: fresh, payload }) },
    {
      'payment-signature': encodeHeader({
        x402Version: 2,
        accepted: { ...fresh, extra: { name: 'USD Coin', version: '2' } },
        payload,
      }),
    },
    { 'x-payment': encodeHeader({ x402Version: 1, scheme: 'exact', network: 'base', payload }) },
    v1(signed),
  ];
  const id = mine.headers.get('x-payment-id');
  for (const headers of wrapped) {
    const seen = await s.call('/echo', headers);
    assert.ok([402, 409, 410].includes(seen.status), `status ${seen.status}`);
    assert.doesNotMatch(seen.text, new RegExp(`"url"|${id}`), 'neither the answer nor its id');
    assert.equal(seen.headers.get('x-payment-id'), null);
    const page = await s.call(`/_pay/payments/${id}/answer`, headers);
    assert.equal(page.status, 401, 'not even with the id');
  }
  assert.equal(s.upstream.calls('/echo'), 1);
  assert.equal(await s.received(), PRICE);
});

test('a v1 signature gives its answer to nobody from the moment it is broadcast, confirmed or not', async (t) => {
  const s = await attackedGateway(t, chain);
  const headers = v1(await s.sign('/gate'));
  const payer = s.call('/gate', headers);
  await s.upstream.seen('/gate', 1);
  await chain.rpc('evm_setAutomine', [false]);
  await chain.rpc('evm_setIntervalMining', [0]);
  t.after(() => chain.rpc('evm_setAutomine', [true]));
  s.upstream.open();
  await until(async () => Number(await pendingCount()) > 0, { everyMs: 5, what: 'a broadcast' });
  const stranger = await s.call('/gate', headers);
  assert.equal(stranger.status, 410);
  assert.doesNotMatch(stranger.text, /"url"|pay_/);
  await chain.rpc('evm_setIntervalMining', [1]);
  await chain.rpc('evm_setAutomine', [true]);
  await chain.rpc('evm_mine');
  assert.equal((await payer).status, 200);
  const late = await s.call('/gate', headers);
  assert.deepEqual([late.status, /"url"|pay_/.test(late.text)], [410, false]);
  assert.equal(s.upstream.calls('/gate'), 1);
  assert.equal(await s.received(), PRICE);
});

async function pendingCount(): Promise<string> {
  const status = (await chain.rpc('txpool_status')) as { pending: string };
  return status.pending;
}

test('an answer that is no longer kept is 410 for ever, never made again', async (t) => {
  let laterMs = 0;
  const s = await attackedGateway(t, chain, {
    gateway: { clock: { now: () => Date.now() + laterMs } },
    over: { replay: { ttl: '1h', maxBytes: '64KiB' } },
  });
  const proofs = [
    v2(await s.sign('/echo')),
    { 'x-api-key': s.key, 'idempotency-key': 'one' },
  ] as const;
  for (const proof of proofs) assert.equal((await s.call('/echo', proof)).status, 200);
  laterMs = 3 * 3_600_000;
  for (const proof of proofs) {
    await until(async () => (await s.call('/echo', proof)).status === 410, { what: '410' });
    const { status, text } = await s.call('/echo', proof);
    assert.equal(status, 410);
    assert.doesNotMatch(text, /"accepts"/, 'nobody is asked to pay again');
    assert.equal((await s.call('/echo?other', proof)).status, 409);
  }
  assert.equal(s.upstream.calls('/echo'), 2);
  assert.equal(await s.keyBalance(), '$0.99');
});

test('an answer too long to keep, and a stream, are paid once and never made again', async (t) => {
  const s = await attackedGateway(t, chain, { over: { replay: { maxBytes: '1KiB' } } });
  for (const path of ['/large/2000', '/sse']) {
    const headers = v2(await s.sign(path));
    assert.equal((await s.call(path, headers)).status, 200);
    const again = await s.call(path, headers);
    assert.equal(again.status, 410, path);
    assert.doesNotMatch(again.text, /"accepts"/);
    assert.equal(s.upstream.calls(path), 1);
  }
  assert.equal(await s.received(), 2n * PRICE);
});

test('one Idempotency-Key of two payers is two payments, and neither sees the answer of the other', async (t) => {
  const s = await attackedGateway(t, chain);
  const headers = { 'idempotency-key': 'order-1' };
  const key = await s.call('/echo', { ...headers, 'x-api-key': s.key });
  const wallet = await s.call('/echo', { ...headers, ...v2(await s.sign('/echo')) });
  const stranger = await s.call('/echo', headers);
  assert.deepEqual([key.status, wallet.status, stranger.status], [200, 200, 402]);
  assert.equal(new Set([key, wallet].map((one) => one.headers.get('x-payment-id'))).size, 2);
  assert.equal(s.upstream.calls('/echo'), 2);
});
