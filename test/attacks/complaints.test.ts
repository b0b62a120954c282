/**
 * What users of systems like this one complain about in public, a case each: the name says what they want instead.
 *
 * Left out, for there is nothing of it here yet: prices from the body, metered usage and missing usage, prices per MCP
 * tool, a guard for gas above the price, the payment-identifier extension on the server's side, discovery documents.
 */

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, before, test } from 'node:test';
import { payFetch, privateKeyWallet } from '../../src/client/index.ts';
import { parseUsd } from '../../src/core/money.ts';
import { type EvmDevnet, startEvmDevnet } from '../../src/devnet/start-evm-devnet.ts';
import { newApiKey } from '../../src/rails/prepaid/protocol.ts';
import { cancelAuthorization } from '../chains/evm-payer.ts';
import {
  type AttackedGateway,
  attackedGateway,
  countEach,
  PRICE,
  sharedGateway,
  v1,
  v2,
} from '../support/attacked-gateway.ts';
import { conduct, startHostileFacilitator } from '../support/hostile-facilitator.ts';
import { startHostileRpc } from '../support/hostile-rpc.ts';
import { until } from '../support/until.ts';

let chain: EvmDevnet;
before(async () => {
  chain = await startEvmDevnet({ accountsCount: 80 });
});
const visitor = sharedGateway(() => chain);
after(() => chain.close());

const allSettled = (s: AttackedGateway): Promise<boolean> =>
  until(async () => (await s.payments()).every(({ state }) => state === 'settled'));

test('the money moves after the work and before the answer, not before the work and not after the answer', async (t) => {
  const s = await attackedGateway(t, chain);
  const answer = s.call('/gate', v2(await s.sign('/gate')));
  await s.upstream.seen('/gate', 1);
  assert.equal(await s.received(), 0n, 'the work runs and nothing has moved');
  s.upstream.open();
  assert.equal((await answer).status, 200);
  assert.equal(await s.received(), PRICE);
});

test('nobody pays for an upstream that failed', async () => {
  const s = await visitor();
  for (const path of ['/status/500', '/status/400', '/reset', '/half', '/empty']) {
    await s.call(path, v2(await s.sign(path)));
    await s.call(path, { 'x-api-key': s.key });
  }
  assert.equal(await s.received(), 0n);
  assert.equal(await s.keyBalance(), '$1');
});

test('an answer whose settlement failed does not leave', async (t) => {
  const s = await attackedGateway(t, chain);
  const signed = await s.sign('/gate');
  const answer = s.call('/gate', v2(signed));
  await s.upstream.seen('/gate', 1);
  const payer = chain.accounts.findIndex(({ address }) => address === s.payer.address);
  await cancelAuthorization(chain, payer, signed.authorization.nonce);
  s.upstream.open();
  const { status, text } = await answer;
  assert.equal(status, 402);
  assert.doesNotMatch(text, /"url"/);
});

test('a chain that is slower than anybody waits debits no wallet without data: the same request gets its answer', async (t) => {
  const node = await startHostileRpc(t, chain.rpcUrl);
  const s = await attackedGateway(t, chain, {
    network: { rpc: node.url },
    over: { timeouts: { settle: '200ms' }, exposure: { perPayer: '$0', perNetwork: '$0' } },
  });
  node.set('eth_getTransactionReceipt', { kind: 'lie', about: () => null });
  node.set('eth_getLogs', { kind: 'lie', about: () => [] });
  const headers = v2(await s.sign('/echo'));
  const late = await s.call('/echo', headers);
  assert.deepEqual([late.status, late.code], [503, 'settlement_pending']);
  assert.equal(await s.received(), PRICE, 'the wallet was debited');
  node.honest();
  await until(async () => (await s.call('/echo', headers)).status === 200, { what: 'the data' });
  assert.equal(await s.received(), PRICE);
  assert.equal(s.upstream.calls('/echo'), 1);
});

test('an outcome that is not known is a 503 with Retry-After and an id to look it up, never a 402', async (t) => {
  const node = await startHostileRpc(t, chain.rpcUrl);
  const s = await attackedGateway(t, chain, {
    network: { rpc: node.url },
    over: { timeouts: { settle: '200ms' }, exposure: { perPayer: '$0', perNetwork: '$0' } },
  });
  node.set('eth_sendRawTransaction', { kind: 'swallow' });
  const seen = await s.call('/echo', v2(await s.sign('/echo')));
  assert.deepEqual([seen.status, seen.headers.get('payment-required')], [503, null]);
  assert.match(seen.headers.get('retry-after') ?? '', /^\d+$/);
  const id = (await s.payments())[0]?.id;
  const page = JSON.parse((await s.call(`/_pay/payments/${id}`)).text);
  assert.equal(page.state, 'settlement_unknown');
  node.honest();
  await allSettled(s);
});

test('when a facilitator is down the next one takes the payments that follow, after a moment and not after a minute', async (t) => {
  const start = (account: number) => startHostileFacilitator(t, { devnet: chain, account });
  const [first, second] = [await start(79), await start(78)];
  const s = await attackedGateway(t, chain, {
    network: { settleWith: undefined, facilitator: [first.url, second.url] },
  });
  const early = v2(await s.sign('/echo'));
  assert.equal((await s.call('/echo', early)).status, 200);
  first.set('supported', conduct.reset);
  first.set('verify', conduct.reset);
  assert.equal((await s.call('/echo', v2(await s.sign('/echo')))).status, 503);
  const late = await until(
    async () => {
      // Between the two there may be a moment in which no wallet is offered anything.
      const signed = await s.sign('/echo').catch(() => null);
      const seen = signed && (await s.call('/echo', v2(signed)));
      return seen?.status === 200 && seen;
    },
    { what: 'the second facilitator' },
  );
  assert.equal(late.headers.get('x-payment-state'), 'settled');
  assert.equal(first.asked('settle').length, 1);
  assert.equal(second.asked('settle').length, 1);
});

test('a client that tries again pays once: by its signature, and by Idempotency-Key', async () => {
  const s = await visitor();
  for (const proof of [
    v2(await s.sign('/echo')),
    { 'x-api-key': s.key, 'idempotency-key': 'order-1' },
  ]) {
    const before = s.upstream.calls('/echo');
    const texts = new Set();
    for (let i = 0; i < 3; i++) texts.add((await s.call('/echo', proof)).text);
    assert.equal(texts.size, 1);
    assert.equal(s.upstream.calls('/echo'), before + 1);
  }
  assert.equal(await s.received(), PRICE);
  assert.equal(await s.keyBalance(), '$0.99');
});

test('what is kept for a repeat is no free pass: not for another route, body or payer', async () => {
  const s = await visitor();
  const proof = { 'x-api-key': s.key, 'idempotency-key': 'order-1' };
  const first = await s.call('/echo', proof, { method: 'POST', body: 'a' });
  assert.equal(first.status, 200);
  assert.equal((await s.call('/echo', proof, { method: 'POST', body: 'b' })).status, 409);
  assert.equal((await s.call('/other', proof, { method: 'POST', body: 'a' })).status, 409);
  const stranger = await s.call(
    '/echo',
    { 'idempotency-key': 'order-1' },
    { method: 'POST', body: 'a' },
  );
  assert.equal(stranger.status, 402);
  assert.equal(s.upstream.calls('/echo'), 1);
});

test('one proof for several requests at once serves one of them', async (t) => {
  const s = await attackedGateway(t, chain);
  const headers = v1(await s.sign('/gate'));
  const calls = Array.from({ length: 10 }, (_, i) => s.call(`/gate?${i}`, headers));
  await s.upstream.seen('/gate', 1);
  s.upstream.open();
  const statuses = (await Promise.all(calls)).map(({ status }) => status);
  assert.deepEqual(countEach(statuses), { 200: 1, 409: 9 });
});

test('between its check and its settlement a payment can not be shown a second time', async (t) => {
  const s = await attackedGateway(t, chain);
  const headers = v2(await s.sign('/gate'));
  const first = s.call('/gate', headers);
  await s.upstream.seen('/gate', 1);
  for (const path of ['/gate?again', '/echo', '/other'])
    assert.equal((await s.call(path, headers)).status, 409);
  s.upstream.open();
  assert.equal((await first).status, 200);
  assert.equal(await s.received(), PRICE);
});

test('a slash, a dot or an encoding more does not open a route', async () => {
  const s = await visitor();
  for (const path of ['//echo', '/echo/', '/./echo', '/%65cho', '/free/../echo', '/x/..//echo'])
    assert.equal((await s.call(path)).status, 402, path);
  for (const path of ['/echo%2f', '/echo%', '/%2Fecho'])
    assert.equal((await s.call(path)).status, 400, path);
  for (const path of ['/Echo', '/echo/x', '/echo;x'])
    assert.equal((await s.call(path)).status, 404, path);
  assert.equal(s.upstream.calls('/echo'), 0);
});

test('a payment belongs to its route and its body', async () => {
  const s = await visitor();
  const headers = v2(await s.sign('/echo'));
  assert.equal((await s.call('/other', headers)).status, 402);
  assert.equal((await s.call('/echo', headers, { method: 'POST', body: 'a' })).status, 200);
  assert.equal((await s.call('/echo', headers, { method: 'POST', body: 'b' })).status, 409);
});

test('a quote holds for the time that it names, and afterwards a new one is offered', async (t) => {
  let laterMs = 0;
  const s = await attackedGateway(t, chain, {
    gateway: { clock: { now: () => Date.now() + laterMs } },
    over: { quotes: { ttl: '10s', grace: '1ms' } },
  });
  const [early, late] = [v2(await s.sign('/echo')), v2(await s.sign('/echo'))];
  laterMs = 8_000;
  assert.equal((await s.call('/echo', early)).status, 200);
  laterMs = 15_000;
  const seen = await s.call('/echo', late);
  assert.deepEqual([seen.status, seen.code], [402, 'quote_expired']);
  assert.ok(seen.headers.get('payment-required'));
  assert.equal((await s.call('/echo', v2(await s.sign('/echo')))).status, 200);
});

test('payers are somebody: a key has a balance, routes of its own and a limit for the day', async () => {
  const s = await visitor();
  const { id, key, prefix, secretHash } = newApiKey('live', randomBytes);
  await s.gateway.ledger.createKey({
    ...{ id, prefix, secretHash, mode: 'live', name: 'a team', nowMs: Date.now() },
    ...{ topUp: parseUsd('$1'), perDay: parseUsd('$0.02'), routes: ['* /echo'] },
  });
  const headers = { 'x-api-key': key };
  assert.equal((await s.call('/other', headers)).status, 403);
  const statuses = [];
  for (let i = 0; i < 3; i++) statuses.push((await s.call('/echo', headers)).status);
  assert.deepEqual(statuses, [200, 200, 403]);
});

test('a stream is paid and flows, and is not collected first', async (t) => {
  const s = await attackedGateway(t, chain);
  const response = await fetch(`${s.gateway.url}/sse-gate`, {
    headers: v2(await s.sign('/sse-gate')),
  });
  const reader = response.body?.getReader();
  assert.ok(!(await reader?.read())?.done);
  assert.equal(await s.received(), PRICE);
  s.upstream.open();
  while (!(await reader?.read())?.done);
});

for (const [onAbort, balance] of [
  ['capture-measured', '$0.99'],
  ['drain', '$0.99'],
  ['release', '$1'],
] as const)
  test(`who leaves a stream pays what the operator says, here ${onAbort}`, async (t) => {
    const s = await attackedGateway(t, chain, { route: { onAbort } });
    const abort = new AbortController();
    const headers = { 'x-api-key': s.key };
    const response = await fetch(`${s.gateway.url}/sse-gate`, { headers, signal: abort.signal });
    await response.body?.getReader().read();
    abort.abort();
    if (onAbort !== 'drain') await s.upstream.aborted(1);
    s.upstream.open();
    await until(async () => /settled|released/.test((await s.payments())[0]?.state ?? ''));
    assert.equal(await s.keyBalance(), balance);
  });

test('many small calls need one top-up and not one transaction', async (t) => {
  const s = await attackedGateway(t, chain);
  const block = await chain.rpc('eth_getTransactionCount', [s.settler.address, 'latest']);
  const headers = { 'x-api-key': s.key };
  const all = await Promise.all(Array.from({ length: 50 }, () => s.call('/echo', headers)));
  assert.deepEqual(countEach(all.map(({ status }) => status)), { 200: 50 });
  assert.equal(await s.keyBalance(), '$0.5');
  assert.equal(await chain.rpc('eth_getTransactionCount', [s.settler.address, 'latest']), block);
});

test('keys, wallets and free calls stand side by side, in the order that the operator says', async (t) => {
  const s = await attackedGateway(t, chain);
  const { payments } = await offered(s);
  await s.restart({
    payments: { ...payments, free: { callsPerDay: 1 } },
    routes: { '* /echo': { upstream: 'api', price: '$0.01' } },
  });
  const railOf = async (headers: Record<string, string>) => {
    const seen = await s.call('/echo', headers);
    return seen.status === 402 ? 402 : (await s.payments())[0]?.rail;
  };
  assert.equal(await railOf({ 'x-api-key': s.key }), 'prepaid');
  assert.equal(await railOf({}), 'free');
  assert.equal(await railOf({}), 402);
  assert.equal(await railOf(v2(await s.sign('/echo'))), 'x402');
});

/** The rails of a gateway, to be written into another config of it. */
async function offered(s: AttackedGateway) {
  const { payTo } = await s.offer('/echo');
  const network = { rpc: chain.rpcUrl, settleWith: '${SETTLEMENT_KEY}', pollMs: 10 };
  const x402 = { payTo: { eip155: payTo }, networks: { [chain.network]: network } };
  return { payments: { prepaid: {}, x402 } };
}

test('both versions are offered in one 402 and taken in either header, each with the receipt that it reads', async () => {
  const s = await visitor();
  const signed = [await s.sign('/echo'), await s.sign('/echo')] as const;
  for (const headers of [
    { 'payment-signature': signed[0].v1 },
    { 'x-payment': signed[1].v2 },
  ] as const) {
    const seen = await s.call('/echo', headers);
    assert.equal(seen.status, 200);
    for (const name of ['payment-response', 'x-payment-response']) {
      const receipt = Buffer.from(seen.headers.get(name) ?? '', 'base64').toString();
      assert.equal(JSON.parse(receipt).success, true, name);
    }
  }
});

test('browsers, caches and proxies need no help: CORS, no-store, private, and https behind a TLS proxy', async (t) => {
  const s = await attackedGateway(t, chain, { over: { trustProxy: ['127.0.0.1/32'] } });
  const proxied = { 'x-forwarded-proto': 'https', 'x-forwarded-host': 'api.example.com' };
  const unpaid = await s.call('/echo', proxied);
  assert.equal(unpaid.headers.get('cache-control'), 'no-store');
  assert.match(unpaid.headers.get('access-control-expose-headers') ?? '', /PAYMENT-REQUIRED/);
  const required = unpaid.headers.get('payment-required') ?? '';
  const { resource } = JSON.parse(Buffer.from(required, 'base64').toString());
  assert.equal(resource.url, 'https://api.example.com/echo');
  const asked = {
    'access-control-request-method': 'POST',
    'access-control-request-headers': 'payment-signature',
  };
  const preflight = await s.call('/echo', asked, { method: 'OPTIONS' });
  assert.equal(preflight.status, 204);
  assert.match(preflight.headers.get('access-control-allow-headers') ?? '', /payment-signature/i);
  const paid = await s.call('/echo', { 'x-api-key': s.key });
  assert.equal(paid.headers.get('cache-control'), 'private');
});

test('a header that makes no sense is the sender’s mistake: 400 and the field, never 500', async () => {
  const s = await visitor();
  const good = JSON.parse(Buffer.from((await s.sign('/echo')).v2, 'base64').toString());
  for (const amount of ['0.05', '1e-7', '-1', '', null, 0.05, {}]) {
    good.payload.authorization.value = amount;
    const header = Buffer.from(JSON.stringify(good)).toString('base64');
    const seen = await s.call('/echo', { 'payment-signature': header });
    assert.equal(seen.status, 400, String(amount));
    assert.match(seen.text, /payload\.authorization\.value/);
  }
});

test('the books can be proven: every sum is recomputed, and the chain has what they say', async (t) => {
  const s = await attackedGateway(t, chain);
  for (let i = 0; i < 3; i++) await s.call('/echo', v2(await s.sign('/echo')));
  await s.call('/echo', { 'x-api-key': s.key });
  assert.deepEqual(await s.gateway.ledger.audit(), []);
  const balances = await s.gateway.ledger.balances();
  const onChain = balances.find(({ account }) => account === `chain:${chain.network}`);
  assert.equal(-(onChain?.balance ?? 0n), await s.received());
});

test('a budget is a wall: of twenty calls at once no more are paid than the day allows, and each price is known before', async () => {
  const s = await visitor();
  const pay = payFetch(fetch, {
    wallet: privateKeyWallet(s.payer.privateKey),
    budget: { perCall: '$0.01', perDay: '$0.05' },
  });
  const calls = Array.from({ length: 20 }, (_, i) =>
    pay(`${s.gateway.url}/echo?${i}`).then(
      (response) => String(response.status),
      (error: { code: string }) => error.code,
    ),
  );
  assert.deepEqual(countEach(await Promise.all(calls)), { 200: 5, budget_exceeded: 15 });
  assert.equal(await s.received(), 5n * PRICE);
  const unpaid = JSON.parse((await s.call('/echo')).text);
  assert.equal(unpaid.quote.max, '0.01');
});
