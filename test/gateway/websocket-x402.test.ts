/** WebSocket connections paid by wallet: one amount before the switch, or what was used after the last frame. */

import assert from 'node:assert/strict';
import { after, before, type TestContext, test } from 'node:test';
import { type EvmDevnet, startEvmDevnet } from '../../src/devnet/start-evm-devnet.ts';
import { approve } from '../rails/x402-upto-fixture.ts';
import { signPayment } from '../support/sign-payment.ts';
import { until } from '../support/until.ts';
import { type WebSocketStage, webSocketStage } from './websocket-stage.ts';

let chain: EvmDevnet;
let nextPayer = 2;
before(async () => {
  chain = await startEvmDevnet({ chainId: 8453, accountsCount: 12 });
});
after(() => chain.close());

interface Wallet {
  readonly s: WebSocketStage;
  readonly payTo: string;
  headers(path: string): Promise<Record<string, string>>;
  received(): Promise<bigint>;
}

const METERED = { upstream: 'api', price: { per: { message: '$0.001' }, max: '$0.01' } };

async function wallet(t: TestContext, isApproved: boolean): Promise<Wallet> {
  const index = nextPayer++;
  const payer = chain.accounts[index] ?? assert.fail('the devnet has too few accounts');
  if (isApproved) await approve(chain, index);
  const payTo = `0x${Buffer.from(crypto.getRandomValues(new Uint8Array(20))).toString('hex')}`;
  const network = { rpc: chain.rpcUrl, settleWith: '${SETTLEMENT_KEY}', pollMs: 10 };
  const s = await webSocketStage(t, {
    payments: {
      prepaid: {},
      x402: { payTo: { eip155: payTo }, networks: { [chain.network]: network } },
    },
    routes: {
      'GET /echo': METERED,
      'GET /send/:n': { ...METERED, chargeMax: true },
      'GET /leave': { upstream: 'api', price: '$0.01' },
      'GET /refuse/403': { upstream: 'api', price: '$0.01' },
    },
  });
  return {
    ...{ s, payTo },
    async headers(path) {
      const signed = await signPayment(s.gateway.url + path, payer.privateKey);
      const payment = signed.get('payment-signature') ?? assert.fail('nothing was signed');
      return { 'PAYMENT-SIGNATURE': payment, 'x-api-key': 'unused' };
    },
    received: () => chain.usdcBalance(payTo),
  };
}

const NORMAL = Buffer.from([3, 232]);

test('upto: the wallet pays what passed, once the connection is over', async (t) => {
  const { s, headers, received } = await wallet(t, true);
  const client = await s.open('/echo', await headers('/echo'));
  assert.equal(client.status, 101);
  for (let i = 0; i < 3; i++) client.text('x');
  await client.frame(2);
  assert.equal(await received(), 0n);
  client.send(8, NORMAL);
  await client.closed();
  await until(async () => (await s.receipt(client)).state === 'settled');
  assert.equal(await received(), 3_000n);
});

test('upto: a connection on which nothing was used sends nothing to the chain', async (t) => {
  const { s, headers, received } = await wallet(t, true);
  const client = await s.open('/echo', await headers('/echo'));
  client.send(8, NORMAL);
  await client.closed();
  const { cost } = await s.receipt(client);
  assert.equal(cost, '0');
  assert.equal(await received(), 0n);
});

test('exact: a flat price is paid before the switch, and a signature opens one connection', async (t) => {
  const { s, headers, received } = await wallet(t, false);
  const paid = await headers('/leave');
  const client = await s.open('/leave', paid);
  assert.equal(client.status, 101);
  assert.ok(client.headers.get('payment-response'));
  assert.equal(await received(), 10_000n);
  client.send(8, NORMAL);
  assert.equal((await client.closed())?.code, 4000);
  assert.equal((await s.receipt(client)).state, 'settled');
  const again = await s.open('/leave', paid);
  assert.equal(again.status, 410);
  assert.equal(s.upstream.handshakes.length, 1);
  const all = await Promise.all([...Array(5)].map(async () => s.open('/leave', paid)));
  assert.deepEqual(new Set(all.map(({ status }) => status)), new Set([410]));
});

test('exact: a metered route takes one only with chargeMax, and ends at the most all the same', async (t) => {
  const { s, headers, received } = await wallet(t, false);
  const client = await s.open('/send/25', await headers('/send/25'));
  assert.equal(client.status, 101);
  assert.equal((await client.closed())?.code, 1008);
  assert.equal(client.frames.filter(({ opcode }) => opcode === 1).length, 10);
  assert.equal(await received(), 10_000n);
});

test('exact: a handshake that the upstream refuses is never settled', async (t) => {
  const { s, headers, received } = await wallet(t, false);
  const client = await s.open('/refuse/403', await headers('/refuse/403'));
  assert.equal(client.status, 403);
  assert.equal((await s.receipt(client)).state, 'released');
  assert.equal(await received(), 0n);
});
