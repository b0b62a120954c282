import assert from 'node:assert/strict';
import { after, before, type TestContext, test } from 'node:test';
import { ExactEvmScheme } from '@x402/evm';
import { wrapFetchWithPaymentFromConfig } from '@x402/fetch';
import OpenAI from 'openai';
import { createWalletClient, http } from 'viem';
import { privateKeyToAccount } from 'viem/accounts';
import { base } from 'viem/chains';
import { wrapFetchWithPayment as wrapFetchV1 } from 'x402-fetch';
import { toChecksumAddress } from '../../src/chains/evm/sign.ts';
import { payFetch, privateKeyWallet } from '../../src/client/index.ts';
import { type EvmDevnet, startEvmDevnet } from '../../src/devnet/start-evm-devnet.ts';
import { signPayment } from '../support/sign-payment.ts';
import { startGateway, type TestConfig, type TestGateway } from '../support/start-gateway.ts';
import { startUpstream, type TestUpstream } from '../support/start-upstream.ts';

let chain: EvmDevnet;
let nextPayer = 2;

before(async () => {
  chain = await startEvmDevnet({ accountsCount: 60 });
});
after(() => chain.close());

interface Stage {
  readonly upstream: TestUpstream;
  readonly gateway: TestGateway;
  readonly payer: { readonly address: string; readonly privateKey: `0x${string}` };
  readonly payTo: string;
  /** USDC atoms that the payer lost and the operator got since the stage was set. */
  moved(): Promise<{ paid: bigint; received: bigint }>;
}

const PRICE = 10_000n;
const SETTLEMENT_KEY = '${SETTLEMENT_KEY}';

/** Each stage has a payer and a receiver of its own, so that balances are its own as well. */
async function stage(
  t: TestContext,
  over: Partial<TestConfig> = {},
  cents?: bigint,
): Promise<Stage> {
  const upstream = await startUpstream(t);
  const payer = chain.accounts[nextPayer++];
  assert.ok(payer, 'the devnet has too few accounts');
  const payTo = freshAddress();
  const gateway = await startGateway(t, {
    upstreams: { api: { url: upstream.url } },
    payments: {
      prepaid: {},
      x402: {
        payTo: { eip155: payTo },
        networks: {
          [chain.network]: { rpc: chain.rpcUrl, settleWith: SETTLEMENT_KEY, pollMs: 10 },
        },
      },
    },
    routes: routes(),
    ...over,
  });
  const wallet = cents === undefined ? payer : await walletWith(cents * 10_000n);
  const paid = await chain.usdcBalance(wallet.address);
  const moved = async () => ({
    paid: paid - (await chain.usdcBalance(wallet.address)),
    received: await chain.usdcBalance(payTo),
  });
  return { upstream, gateway, payer: wallet, payTo, moved };
}

function routes(): TestConfig['routes'] {
  const paths = [
    'echo',
    'other',
    'status/:code',
    'empty',
    'large/:bytes',
    'redirect',
    'reset',
    'half',
    'hang',
  ];
  const gated = ['gate', 'sse', 'sse-gate', 'sse-half', 'v1/chat/completions'];
  const route = { upstream: 'api', price: '$0.01', timeout: '2s' };
  return Object.fromEntries([...paths, ...gated].map((path) => [`* /${path}`, route]));
}

function freshAddress(): `0x${string}` {
  return `0x${Buffer.from(crypto.getRandomValues(new Uint8Array(20))).toString('hex')}`;
}

async function walletWith(atoms: bigint): Promise<Stage['payer']> {
  const privateKey: `0x${string}` = `0x${Buffer.from(crypto.getRandomValues(new Uint8Array(32))).toString('hex')}`;
  const { address } = privateKeyToAccount(privateKey);
  await chain.mint(address, atoms);
  return { address, privateKey };
}

/** Official client, v2. */
function officialFetch(s: Stage): typeof fetch {
  const client = new ExactEvmScheme(privateKeyToAccount(s.payer.privateKey));
  return wrapFetchWithPaymentFromConfig(fetch, { schemes: [{ network: chain.network, client }] });
}

/** Official client, v1. */
function officialFetchV1(s: Stage): typeof fetch {
  const account = privateKeyToAccount(s.payer.privateKey);
  const wallet = createWalletClient({ account, chain: base, transport: http(chain.rpcUrl) });
  return wrapFetchV1(fetch, wallet as never) as typeof fetch;
}

function ourFetch(s: Stage): typeof fetch {
  return payFetch(fetch, {
    wallet: privateKeyWallet(s.payer.privateKey),
    budget: { perCall: '$0.05' },
  });
}

const signed = (s: Stage, path: string, init: RequestInit = {}): Promise<Headers> =>
  signPayment(s.gateway.url + path, s.payer.privateKey, init);

const clients: readonly (readonly [string, (s: Stage) => typeof fetch])[] = [
  ['the official v2 client', officialFetch],
  ['the official v1 client', officialFetchV1],
  ['our payer', ourFetch],
];

for (const [name, make] of clients)
  test(`${name} pays, is served, and the chain moves by exactly the price, once`, async (t) => {
    const s = await stage(t);
    const response = await make(s)(`${s.gateway.url}/echo`, { method: 'POST', body: 'hello' });
    assert.equal(response.status, 200, await response.clone().text());
    assert.equal(((await response.json()) as { body: string }).body, 'hello');
    assert.deepEqual(await s.moved(), { paid: PRICE, received: PRICE });
    const payment = await s.gateway.ledger.findPayment(response.headers.get('x-payment-id') ?? '');
    assert.equal(payment?.state, 'settled');
    assert.ok(response.headers.get('payment-response'));
    assert.ok(response.headers.get('x-payment-response'));
    assert.equal(response.headers.get('x-payment-cost'), '0.01');
    assert.equal(s.upstream.calls('/echo'), 1);
  });

test('the official openai client with a placeholder key and a paying fetch gets its answer', async (t) => {
  const s = await stage(t);
  const openai = new OpenAI({
    apiKey: 'unused',
    baseURL: `${s.gateway.url}/v1`,
    fetch: officialFetch(s),
    maxRetries: 0,
  });
  const answer = await openai.chat.completions.create({
    model: 'any',
    messages: [{ role: 'user', content: 'hi' }],
  });
  assert.match(String((answer as unknown as { body: string }).body), /"content":"hi"/);
  assert.deepEqual(await s.moved(), { paid: PRICE, received: PRICE });
});

test('fifty concurrent requests with one signature run once, settle once and share one answer', async (t) => {
  const s = await stage(t);
  const init = {
    method: 'POST',
    body: 'x',
    headers: await signed(s, '/gate', { method: 'POST', body: 'x' }),
  };
  const calls = Array.from({ length: 50 }, () => fetch(`${s.gateway.url}/gate`, init));
  await s.upstream.seen('/gate', 1);
  s.upstream.open();
  const responses = await Promise.all(calls);
  assert.deepEqual(new Set(responses.map((one) => one.status)), new Set([200]));
  assert.equal(new Set(responses.map((one) => one.headers.get('x-payment-id'))).size, 1);
  assert.equal(s.upstream.calls('/gate'), 1);
  assert.deepEqual(await s.moved(), { paid: PRICE, received: PRICE });
});

test('fifty concurrent requests with one signature and fifty bodies: one runs, the others are 409', async (t) => {
  const s = await stage(t);
  const headers = await signed(s, '/gate', { method: 'POST', body: '0' });
  const calls = Array.from({ length: 50 }, (_, i) =>
    fetch(`${s.gateway.url}/gate`, { method: 'POST', body: String(i), headers }),
  );
  await s.upstream.seen('/gate', 1);
  s.upstream.open();
  const statuses = (await Promise.all(calls)).map((one) => one.status);
  assert.equal(statuses.filter((status) => status === 200).length, 1);
  assert.equal(statuses.filter((status) => status === 409).length, 49);
  assert.equal(s.upstream.calls('/gate'), 1);
  assert.deepEqual(await s.moved(), { paid: PRICE, received: PRICE });
});

test('a signature for one route is refused on another of the same price', async (t) => {
  const s = await stage(t);
  const headers = await signed(s, '/echo');
  const elsewhere = await fetch(`${s.gateway.url}/other`, { headers });
  assert.equal(elsewhere.status, 402);
  assert.equal((await fetch(`${s.gateway.url}/echo`, { headers })).status, 200);
  assert.equal((await fetch(`${s.gateway.url}/other`, { headers })).status, 409);
  assert.deepEqual(await s.moved(), { paid: PRICE, received: PRICE });
});

test('after a restart a used signature is replayed, never run again', async (t) => {
  const s = await stage(t);
  const headers = await signed(s, '/echo');
  const first = await fetch(`${s.gateway.url}/echo`, { headers });
  const restarted = await s.gateway.restart();
  const again = await fetch(`${restarted.url}/echo`, { headers });
  assert.equal(again.status, 200);
  assert.equal(await again.text(), await first.text());
  assert.equal(s.upstream.calls('/echo'), 1);
  assert.deepEqual(await s.moved(), { paid: PRICE, received: PRICE });
});

test('a wallet with five cents and a hundred concurrent one-cent requests is served exactly five times', async (t) => {
  const s = await stage(t, {}, 5n);
  const all = await Promise.all(Array.from({ length: 100 }, () => signed(s, '/echo')));
  const responses = await Promise.all(
    all.map((headers) => fetch(`${s.gateway.url}/echo`, { headers })),
  );
  const statuses = responses.map((one) => one.status);
  assert.equal(statuses.filter((status) => status === 200).length, 5, statuses.join());
  assert.equal(statuses.filter((status) => status === 402).length, 95, statuses.join());
  assert.equal(s.upstream.calls('/echo'), 5);
  assert.deepEqual(await s.moved(), { paid: 5n * PRICE, received: 5n * PRICE });
});

for (const [path, status] of [
  ['/status/500', 500],
  ['/status/404', 404],
  ['/redirect', 302],
  ['/empty', 200],
  ['/reset', 502],
  ['/half', 502],
  ['/hang', 504],
] as const)
  test(`an upstream that does ${path} settles nothing, releases the hold, and the answer says so`, async (t) => {
    const s = await stage(t);
    const headers = await signed(s, path);
    const response = await fetch(s.gateway.url + path, { headers, redirect: 'manual' });
    assert.equal(response.status, status);
    assert.equal(response.headers.get('x-payment-state'), 'released');
    assert.equal(response.headers.get('x-payment-cost'), '0');
    assert.equal(response.headers.get('payment-response'), null);
    assert.deepEqual(await s.moved(), { paid: 0n, received: 0n });
    await response.body?.cancel();
  });

test('a client that aborts before the answer leaves no hold and no settlement', async (t) => {
  const s = await stage(t);
  const headers = await signed(s, '/hang');
  const abort = new AbortController();
  const gone = fetch(`${s.gateway.url}/hang`, { headers, signal: abort.signal });
  await s.upstream.seen('/hang', 1);
  abort.abort();
  await assert.rejects(gone);
  await s.upstream.aborted(1);
  await s.gateway.close();
  assert.deepEqual(await s.moved(), { paid: 0n, received: 0n });
});

test('a stream is paid before its first byte leaves and is not buffered', async (t) => {
  const s = await stage(t);
  const headers = await signed(s, '/sse-gate');
  const response = await fetch(`${s.gateway.url}/sse-gate`, { headers });
  const reader = response.body?.getReader();
  assert.equal(Buffer.from((await reader?.read())?.value ?? []).toString(), 'data: 1\n\n');
  assert.deepEqual(await s.moved(), { paid: PRICE, received: PRICE });
  s.upstream.open();
  while (!(await reader?.read())?.done);
});

test('a stream that breaks after it was paid is owed back: refund_due', async (t) => {
  const s = await stage(t);
  const headers = await signed(s, '/sse-half');
  const response = await fetch(`${s.gateway.url}/sse-half`, { headers });
  await assert.rejects(response.text());
  const payment = await s.gateway.ledger.findPayment(response.headers.get('x-payment-id') ?? '');
  assert.equal(payment?.state, 'refund_due');
});

test('an answer larger than the buffer is paid and arrives whole', async (t) => {
  const s = await stage(t);
  const headers = await signed(s, '/large/1000000');
  const response = await fetch(`${s.gateway.url}/large/1000000`, { headers });
  assert.equal((await response.arrayBuffer()).byteLength, 1_000_000);
  assert.deepEqual(await s.moved(), { paid: PRICE, received: PRICE });
});

test('a header that does not parse is 400 and names the field', async (t) => {
  const s = await stage(t);
  const cases: readonly (readonly [string, RegExp])[] = [
    ['***', /base64/i],
    [Buffer.from('{').toString('base64'), /JSON/i],
    [Buffer.from('{"x402Version":7}').toString('base64'), /x402Version/],
    [Buffer.from('{"x402Version":2,"accepted":{}}').toString('base64'), /accepted\.scheme/],
  ];
  for (const [header, names] of cases) {
    const response = await fetch(`${s.gateway.url}/echo`, {
      headers: { 'payment-signature': header },
    });
    assert.equal(response.status, 400, header);
    assert.match(((await response.json()) as { detail: string }).detail, names);
  }
  assert.equal(s.upstream.calls('/echo'), 0);
});

test('the unpaid 402 serves v1, v2, people and simple agents at once, in small headers', async (t) => {
  const s = await stage(t);
  const response = await fetch(`${s.gateway.url}/echo`);
  assert.equal(response.status, 402);
  assert.equal(response.headers.get('cache-control'), 'no-store');
  assert.match(response.headers.get('access-control-expose-headers') ?? '', /PAYMENT-REQUIRED/);
  const header = response.headers.get('payment-required') ?? '';
  assert.ok(header.length < 4096);
  const v2 = JSON.parse(Buffer.from(header, 'base64').toString()) as {
    accepts: Record<string, unknown>[];
  };
  const body = (await response.json()) as {
    x402Version: number;
    x402: { networks: unknown[] };
    unlock: string;
    quote: { max: string };
  };
  assert.equal(v2.accepts[0]?.amount, '10000');
  assert.equal(body.x402Version, 1);
  assert.deepEqual(body.x402.networks[0], {
    network: chain.network,
    asset: 'USDC',
    contract: chain.asset,
    address: toChecksumAddress(s.payTo as `0x${string}`),
    amount: '10000',
    decimals: 6,
  });
  assert.match(body.unlock, /x-api-key.*x402/);
  assert.equal(body.quote.max, '0.01');
});
