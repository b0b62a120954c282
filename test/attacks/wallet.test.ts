import assert from 'node:assert/strict';
import { after, before, type TestContext, test } from 'node:test';
import { type EvmDevnet, startEvmDevnet } from '../../src/devnet/start-evm-devnet.ts';
import { signPayment } from '../support/sign-payment.ts';
import { startGateway, type TestConfig, type TestGateway } from '../support/start-gateway.ts';
import { startUpstream, type TestUpstream } from '../support/start-upstream.ts';
import { paymentIn, rawClient } from './fixture.ts';

let chain: EvmDevnet;
let nextPayer = 2;

before(async () => {
  chain = await startEvmDevnet({ accountsCount: 20 });
});
after(() => chain.close());

const PRICE = 10_000n;
const SETTLEMENT_KEY = '${SETTLEMENT_KEY}';
const ROUTE = { upstream: 'api', price: '$0.01', timeout: '2s' } as const;
const PATHS = ['echo', 'gate', 'sse', 'sse-gate', 'sse-half', 'large/:bytes'];

interface WalletStage {
  readonly gateway: TestGateway;
  readonly upstream: TestUpstream;
  sign(path: string, init?: RequestInit): Promise<Headers>;
  received(): Promise<bigint>;
}

async function stage(
  t: TestContext,
  over: Partial<TestConfig> = {},
  route: object = ROUTE,
): Promise<WalletStage> {
  const upstream = await startUpstream(t);
  const payTo =
    `0x${Buffer.from(crypto.getRandomValues(new Uint8Array(20))).toString('hex')}` as const;
  const network = { rpc: chain.rpcUrl, settleWith: SETTLEMENT_KEY, pollMs: 10 };
  const gateway = await startGateway(t, {
    upstreams: { api: { url: upstream.url } },
    payments: { x402: { payTo: { eip155: payTo }, networks: { [chain.network]: network } } },
    routes: Object.fromEntries(PATHS.map((path) => [`* /${path}`, { ...ROUTE, ...route }])),
    timeouts: { settle: '1s' },
    ...over,
  });
  const payer = chain.accounts[nextPayer++];
  assert.ok(payer, 'the devnet has too few accounts');
  return {
    ...{ gateway, upstream },
    sign: (path, init = {}) => signPayment(gateway.url + path, payer.privateKey, init),
    received: () => chain.usdcBalance(payTo),
  };
}

/** Stops the chain: nothing is mined until the returned function is called, or the test is over. */
async function stopMining(t: TestContext): Promise<() => Promise<void>> {
  const resume = async (): Promise<void> => {
    await chain.rpc('evm_setIntervalMining', [1]);
    await chain.rpc('evm_setAutomine', [true]);
    await chain.rpc('evm_mine');
  };
  await chain.rpc('evm_setAutomine', [false]);
  await chain.rpc('evm_setIntervalMining', [0]);
  t.after(resume);
  return resume;
}

const NO_EXPOSURE = { exposure: { perPayer: '$0', perNetwork: '$0' } };

for (const path of ['/sse', '/large/100000'])
  test(`an answer that is withheld and too long to keep (${path}) is owed back, not sold for nothing`, async (t) => {
    const s = await stage(t, NO_EXPOSURE);
    const headers = await s.sign(path);
    const resume = await stopMining(t);
    const withheld = await fetch(s.gateway.url + path, { headers });
    assert.equal(withheld.status, 503);
    assert.ok(withheld.headers.get('retry-after'));
    await paymentIn(s.gateway.ledger, 'refund_due');
    await resume();
    assert.equal((await fetch(s.gateway.url + path, { headers })).status, 410);
    assert.equal(s.upstream.calls(path), 1);
    assert.equal((await paymentIn(s.gateway.ledger, 'refund_due')).reason, 'answer_not_kept');
  });

test('an answer that is withheld and kept goes to whoever repeats the request, once its money was seen', async (t) => {
  const s = await stage(t, NO_EXPOSURE);
  const headers = await s.sign('/echo');
  const resume = await stopMining(t);
  assert.equal((await fetch(`${s.gateway.url}/echo`, { headers })).status, 503);
  await resume();
  await paymentIn(s.gateway.ledger, 'settled');
  assert.equal((await fetch(`${s.gateway.url}/echo`, { headers })).status, 200);
  assert.equal(s.upstream.calls('/echo'), 1);
  assert.equal(await s.received(), PRICE);
});

test('a client that leaves while its stream is being settled keeps no place and no upstream busy', async (t) => {
  const s = await stage(
    t,
    { limits: { concurrency: 1 }, timeouts: { settle: '5s' } },
    { timeout: '10s' },
  );
  const headers = await s.sign('/sse-gate');
  const resume = await stopMining(t);
  const client = await rawClient(t, s.gateway.url);
  const credential = headers.get('payment-signature');
  client.send(`GET /sse-gate HTTP/1.1\r\nHost: a\r\nPAYMENT-SIGNATURE: ${credential}\r\n\r\n`);
  await paymentIn(s.gateway.ledger, 'captured');
  client.socket.destroy();
  await s.upstream.aborted(1);
  await resume();
  await paymentIn(s.gateway.ledger, 'settled');
  let status = 503;
  for (let i = 0; i < 100 && status === 503; i++)
    status = (await fetch(`${s.gateway.url}/nothing`)).status;
  assert.equal(status, 404);
});

for (const [onBreak, state] of [
  ['release', 'refund_due'],
  ['capture-measured', 'settled'],
] as const)
  test(`a stream that breaks after it was paid ends as ${state} with onBreak ${onBreak}`, async (t) => {
    const s = await stage(t, {}, { onBreak });
    const headers = await s.sign('/sse-half');
    const response = await fetch(`${s.gateway.url}/sse-half`, { headers });
    await assert.rejects(response.text());
    await paymentIn(s.gateway.ledger, state);
    assert.equal(await s.received(), PRICE);
  });

test('a signature that comes twice, in two headers or with another signature runs at most once', async (t) => {
  const s = await stage(t);
  const one = (await s.sign('/echo')).get('payment-signature') ?? '';
  const other = (await s.sign('/echo')).get('payment-signature') ?? '';
  const send = async (...lines: string[]): Promise<number> => {
    const client = await rawClient(t, s.gateway.url);
    client.send(
      `GET /echo HTTP/1.1\r\nHost: a\r\nConnection: close\r\n${lines.join('\r\n')}\r\n\r\n`,
    );
    return Number(/^HTTP\/1\.1 (\d+)/.exec(await client.rest())?.[1]);
  };
  assert.equal(await send(`X-PAYMENT: ${one}`, `X-PAYMENT: ${one}`), 400);
  assert.equal(await send(`PAYMENT-SIGNATURE: ${one}`, `PAYMENT-SIGNATURE: ${other}`), 400);
  assert.equal(await send(`PAYMENT-SIGNATURE: ${one}`, `X-PAYMENT: ${other}`), 400);
  assert.equal(await send(`Connection: PAYMENT-SIGNATURE`, `X-Payment-Payer: me`), 402);
  assert.equal(s.upstream.calls('/echo'), 0);
  assert.equal(await send(`PAYMENT-SIGNATURE: ${one}`, `X-PAYMENT: ${one}`), 200);
  assert.equal(await send(`X-PAYMENT: ${one}`), 200);
  assert.equal(s.upstream.calls('/echo'), 1);
  assert.equal(await s.received(), PRICE);
});

test('a joiner gets nothing and pays nothing when the client that came first leaves', async (t) => {
  const s = await stage(t);
  const headers = await s.sign('/gate');
  const abort = new AbortController();
  const first = fetch(`${s.gateway.url}/gate`, { headers, signal: abort.signal });
  await s.upstream.seen('/gate', 1);
  const second = fetch(`${s.gateway.url}/gate`, { headers });
  abort.abort();
  await assert.rejects(first);
  assert.equal((await second).status, 410);
  s.upstream.open();
  assert.equal((await fetch(`${s.gateway.url}/gate`, { headers })).status, 410);
  assert.equal(s.upstream.calls('/gate'), 1);
  assert.equal(await s.received(), 0n);
});

test('a request that is being paid when the gateway stops is settled or given back by the next start', async (t) => {
  const s = await stage(t, {}, { timeout: '10s' });
  const headers = await s.sign('/gate');
  const gone = fetch(`${s.gateway.url}/gate`, { headers }).then(
    (response) => response.status,
    () => 0,
  );
  await s.upstream.seen('/gate', 1);
  const next = await s.gateway.restart();
  assert.equal(await gone, 0);
  assert.equal((await fetch(`${next.url}/gate`, { headers })).status, 410);
  assert.equal((await paymentIn(next.ledger, 'released')).reason, 'client_gone');
  assert.equal(await s.received(), 0n);
});
