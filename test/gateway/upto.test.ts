/** Metered routes paid by wallet (x402 upto), from the 402 to the chain, with the clients that payers have. */

import assert from 'node:assert/strict';
import { after, before, type TestContext, test } from 'node:test';
import { UptoEvmScheme } from '@x402/evm/upto/client';
import { wrapFetchWithPaymentFromConfig } from '@x402/fetch';
import { createPublicClient, http } from 'viem';
import { privateKeyToAccount } from 'viem/accounts';
import { base } from 'viem/chains';
import { AllowanceMissing, payFetch, privateKeyWallet } from '../../src/client/index.ts';
import type { Payment } from '../../src/core/payment.ts';
import { type EvmDevnet, startEvmDevnet } from '../../src/devnet/start-evm-devnet.ts';
import { approve } from '../rails/x402-upto-fixture.ts';
import { signPayment } from '../support/sign-payment.ts';
import { startGateway, type TestConfig, type TestGateway } from '../support/start-gateway.ts';
import { startUpstream, type TestUpstream } from '../support/start-upstream.ts';
import { until } from '../support/until.ts';

const MAX = 10_000n;
const SETTLEMENT_KEY = '${SETTLEMENT_KEY}';

let chain: EvmDevnet;
let nextPayer = 2;
before(async () => {
  chain = await startEvmDevnet({ chainId: 8453, accountsCount: 40 });
});
after(() => chain.close());

interface Stage {
  readonly upstream: TestUpstream;
  readonly gateway: TestGateway;
  readonly index: number;
  readonly payer: EvmDevnet['accounts'][number];
  moved(): Promise<{ paid: bigint; received: bigint }>;
  paymentOf(response: Response): Promise<Payment>;
}

/** At most $0.01 a call; an answer that states no pages costs all of it. */
const METERED = {
  ...{ upstream: 'api', timeout: '2s' },
  price: { per: { pages: '$0.001' }, max: '$0.01' },
  units: { pages: { header: 'x-pages', max: 10 } },
};

async function stage(
  t: TestContext,
  over: { readonly config?: Partial<TestConfig>; readonly approved?: boolean } = {},
): Promise<Stage> {
  const upstream = await startUpstream(t);
  const index = nextPayer++;
  const payer = chain.accounts[index];
  assert.ok(payer, 'the devnet has too few accounts');
  if (over.approved !== false) await approve(chain, index);
  const payTo = `0x${Buffer.from(crypto.getRandomValues(new Uint8Array(20))).toString('hex')}`;
  const network = { rpc: chain.rpcUrl, settleWith: SETTLEMENT_KEY, pollMs: 10 };
  const gateway = await startGateway(t, {
    upstreams: { api: { url: upstream.url } },
    payments: {
      x402: {
        payTo: { eip155: payTo },
        networks: { [chain.network]: network },
        gasSponsoring: { perDay: 1, minPrice: '$0.01' },
      },
    },
    routes: {
      'POST /echo': METERED,
      'GET /echo': METERED,
      'GET /other': METERED,
      'GET /status/:code': METERED,
      'GET /sse': METERED,
      'GET /sse-gate': METERED,
      'GET /sse-half': METERED,
      'GET /large/:bytes': METERED,
      'GET /gate': { ...METERED, chargeMax: true },
    },
    ...over.config,
  });
  const before = await chain.usdcBalance(payer.address);
  return {
    ...{ upstream, gateway, index, payer },
    moved: async () => ({
      paid: before - (await chain.usdcBalance(payer.address)),
      received: await chain.usdcBalance(payTo),
    }),
    async paymentOf(response) {
      const id = response.headers.get('x-payment-id') ?? '';
      return (await gateway.ledger.findPayment(id)) ?? assert.fail('no payment is named');
    },
  };
}

/** The official v2 client with the scheme upto. */
function officialFetch(s: Stage): typeof fetch {
  const reader = createPublicClient({ chain: base, transport: http(chain.rpcUrl) });
  const account = privateKeyToAccount(s.payer.privateKey);
  const client = new UptoEvmScheme({ ...account, readContract: reader.readContract } as never);
  return wrapFetchWithPaymentFromConfig(fetch, { schemes: [{ network: chain.network, client }] });
}

function ourFetch(s: Stage): typeof fetch {
  return payFetch(fetch, {
    wallet: privateKeyWallet(s.payer.privateKey),
    budget: { perCall: '$0.01' },
    rpc: { [chain.network]: chain.rpcUrl },
  }) as typeof fetch;
}

const signed = (s: Stage, path: string): Promise<Headers> =>
  signPayment(s.gateway.url + path, s.payer.privateKey);

for (const [name, make] of [
  ['the official client', officialFetch],
  ['our payer', ourFetch],
] as const)
  for (const approved of [true, false])
    test(`${name} pays what a call used${approved ? '' : ', with a permit whose gas we pay'}`, async (t) => {
      const s = await stage(t, { approved });
      const response = await make(s)(`${s.gateway.url}/echo?pages=3`, {
        method: 'POST',
        body: 'hello',
      });
      assert.equal(response.status, 200, await response.clone().text());
      assert.equal(((await response.json()) as { body: string }).body, 'hello');
      const payment = await s.paymentOf(response);
      assert.equal(payment.state, 'settled');
      assert.equal(payment.max, MAX);
      assert.deepEqual(await s.moved(), { paid: 3_000n, received: 3_000n });
      assert.equal(response.headers.get('x-payment-cost'), '0.003');
      assert.ok(response.headers.get('payment-response'));
    });

test('a wallet that approved nothing gets no second permit on the same day, and is told what to do', async (t) => {
  const s = await stage(t, { approved: false });
  const pay = () => ourFetch(s)(`${s.gateway.url}/echo`, { method: 'POST', body: 'x' });
  assert.equal((await pay()).status, 200);
  await assert.rejects(pay(), AllowanceMissing);
  assert.equal(s.upstream.calls('/echo'), 1);
});

test('a signature runs once, however often it comes, and its answer is replayed', async (t) => {
  const s = await stage(t);
  const headers = await signed(s, '/echo');
  const all = await Promise.all(
    Array.from({ length: 20 }, () => fetch(`${s.gateway.url}/echo`, { headers })),
  );
  assert.deepEqual(new Set(all.map(({ status }) => status)), new Set([200]));
  assert.equal((await fetch(`${s.gateway.url}/other`, { headers })).status, 409);
  assert.equal(s.upstream.calls('/echo'), 1);
  const [first] = all;
  assert.ok(first);
  const { amount } = await s.paymentOf(first);
  assert.deepEqual(await s.moved(), { paid: amount, received: amount });
  for (const one of all) await one.arrayBuffer();
});

test('a signature for one metered route is refused on another of the same price', async (t) => {
  const s = await stage(t);
  const headers = await signed(s, '/echo');
  assert.equal((await fetch(`${s.gateway.url}/other`, { headers })).status, 402);
  assert.equal((await fetch(`${s.gateway.url}/echo`, { headers })).status, 200);
});

test('a stream leaves at once, unpaid, and is settled when it has ended', async (t) => {
  const s = await stage(t);
  const path = '/sse-gate?pages=2';
  const headers = await signed(s, path);
  const response = await fetch(s.gateway.url + path, { headers });
  const reader = response.body?.getReader();
  assert.equal(Buffer.from((await reader?.read())?.value ?? []).toString(), 'data: 1\n\n');
  assert.deepEqual(await s.moved(), { paid: 0n, received: 0n });
  s.upstream.open();
  while (!(await reader?.read())?.done);
  await until(async () => (await s.paymentOf(response)).state === 'settled');
  assert.deepEqual(await s.moved(), { paid: 2_000n, received: 2_000n });
});

test('an upstream that states more than the price allows, or nothing usable, costs the most and no more', async (t) => {
  const s = await stage(t);
  let paid = 0n;
  for (const pages of ['999999', '0', '99999999999999999999999999']) {
    const path = `/echo?pages=${pages}`;
    const response = await fetch(s.gateway.url + path, { headers: await signed(s, path) });
    assert.equal(response.status, 200);
    const payment = await s.paymentOf(response);
    assert.equal(payment.state, 'settled');
    assert.ok(payment.amount <= MAX);
    paid += payment.amount;
    await response.arrayBuffer();
  }
  assert.deepEqual(await s.moved(), { paid, received: paid });
});

test('a stream that breaks is free, and so is an upstream that fails', async (t) => {
  const s = await stage(t);
  const broken = await fetch(`${s.gateway.url}/sse-half`, {
    headers: await signed(s, '/sse-half'),
  });
  await assert.rejects(broken.text());
  await until(async () => (await s.paymentOf(broken)).state === 'released');
  const path = '/status/500';
  const failed = await fetch(s.gateway.url + path, { headers: await signed(s, path) });
  assert.equal(failed.status, 500);
  assert.equal((await s.paymentOf(failed)).state, 'released');
  assert.deepEqual(await s.moved(), { paid: 0n, received: 0n });
});

test('a stream beyond the exposure limit is not begun, and nothing is charged', async (t) => {
  const s = await stage(t, { config: { exposure: { perPayer: '$0.001', perNetwork: '$1' } } });
  const response = await fetch(`${s.gateway.url}/sse`, { headers: await signed(s, '/sse') });
  assert.equal(response.status, 503);
  assert.equal((await s.paymentOf(response)).state, 'released');
  await response.arrayBuffer();
});

test('a wallet that withdraws its allowance during a stream goes on owing, and pays once it is given back', async (t) => {
  const s = await stage(t);
  const headers = await signed(s, '/sse-gate');
  const response = await fetch(`${s.gateway.url}/sse-gate`, { headers });
  const reader = response.body?.getReader();
  await reader?.read();
  await approve(chain, s.index, 0n);
  s.upstream.open();
  while (!(await reader?.read())?.done);
  await until(async () => (await s.paymentOf(response)).state === 'settlement_unknown');
  assert.equal((await s.paymentOf(response)).reason, 'insufficient_funds');
  assert.deepEqual(await s.moved(), { paid: 0n, received: 0n });
  // Given back, it pays after all.
  await approve(chain, s.index);
  await until(async () => (await s.paymentOf(response)).state === 'settled');
});

test('what a stream cost is settled once, also when the gateway stops right behind it', async (t) => {
  const s = await stage(t);
  const headers = await signed(s, '/sse');
  const response = await fetch(`${s.gateway.url}/sse`, { headers });
  const reader = response.body?.getReader();
  await reader?.read();
  while (!(await reader?.read())?.done);
  const next = await s.gateway.restart();
  const id = response.headers.get('x-payment-id') ?? '';
  await until(async () => (await next.ledger.findPayment(id))?.state === 'settled');
  const { amount = 0n } = (await next.ledger.findPayment(id)) ?? {};
  assert.deepEqual(await s.moved(), { paid: amount, received: amount });
});

test('a route with chargeMax also takes an exact payment of the most', async (t) => {
  const s = await stage(t);
  s.upstream.open();
  const { address, signTransferAuthorization } = privateKeyWallet(s.payer.privateKey);
  const exact = payFetch(fetch, {
    wallet: { address, signTransferAuthorization },
    budget: { perCall: '$0.01' },
  });
  const response = await exact(`${s.gateway.url}/gate`);
  assert.equal(response.status, 200);
  assert.deepEqual(await s.moved(), { paid: MAX, received: MAX });
  await response.arrayBuffer();
});
