/**
 * Faults that were seen in the official x402 libraries (2.27, and v1) when they were run, each against us: their client
 * at our gateway, or our payer at a server that behaves as theirs does. The name of a case says what must hold.
 *
 * Left out, for there is nothing of it here yet: Stellar, batch-settlement channels, allowances of Permit2.
 */

import assert from 'node:assert/strict';
import { after, before, type TestContext, test } from 'node:test';
import { ExactEvmScheme } from '@x402/evm';
import { wrapFetchWithPaymentFromConfig } from '@x402/fetch';
import { createWalletClient, http } from 'viem';
import { privateKeyToAccount } from 'viem/accounts';
import { base } from 'viem/chains';
import { wrapFetchWithPayment as wrapFetchV1 } from 'x402-fetch';
import { payFetch, privateKeyWallet } from '../../src/client/index.ts';
import { StoreUnavailable } from '../../src/core/errors.ts';
import type { Ledger } from '../../src/core/ports/ledger.ts';
import { type EvmDevnet, startEvmDevnet } from '../../src/devnet/start-evm-devnet.ts';
import { encodeHeader } from '../../src/rails/x402/protocol.ts';
import { answerPaid, demand, offer, PRIVATE_KEY, requiredV2, serve } from '../client/servers.ts';
import { account, firstOffer, memoryLedger, openDesk, signOffer } from '../rails/x402-fixture.ts';
import {
  attackedGateway,
  countEach,
  PRICE,
  sharedGateway,
  type Visitor,
  v2,
} from '../support/attacked-gateway.ts';
import { conduct, startHostileFacilitator } from '../support/hostile-facilitator.ts';
import { until } from '../support/until.ts';
import { rawUpstream } from './fixture.ts';

let chain: EvmDevnet;
before(async () => {
  chain = await startEvmDevnet({ accountsCount: 60 });
});
const visitor = sharedGateway(() => chain);
after(() => chain.close());

let lastAccount = 59;
const facilitatorOf = (t: TestContext) =>
  startHostileFacilitator(t, { devnet: chain, account: lastAccount-- });
const remote = (...urls: string[]) => ({ network: { settleWith: undefined, facilitator: urls } });

const wallet = privateKeyWallet(PRIVATE_KEY);

/** The official client, paying through this fetch. */
function official(s: Visitor, through: typeof fetch = fetch): typeof fetch {
  const client = new ExactEvmScheme(privateKeyToAccount(s.payer.privateKey));
  return wrapFetchWithPaymentFromConfig(through, { schemes: [{ network: chain.network, client }] });
}

/** What the official client sends to pay for a path, instead of sending it. */
async function officialPayment(s: Visitor, path: string): Promise<Record<string, string>> {
  let header: string | null = null;
  const spy: typeof fetch = async (input, init) => {
    const request = new Request(input, init);
    header = request.headers.get('payment-signature');
    return header === null ? await fetch(request) : new Response('kept');
  };
  await official(s, spy)(s.gateway.url + path);
  assert.ok(header, 'the official client signed nothing');
  return { 'payment-signature': header };
}

test('one payment with five bodies at once runs one of them: the others are refused before they run, not after', async (t) => {
  const s = await attackedGateway(t, chain);
  const headers = await officialPayment(s, '/gate');
  const calls = Array.from({ length: 5 }, (_, i) =>
    s.call('/gate', headers, { method: 'POST', body: String(i) }),
  );
  await s.upstream.seen('/gate', 1);
  s.upstream.open();
  const all = await Promise.all(calls);
  assert.deepEqual(countEach(all.map(({ status }) => status)), { 200: 1, 409: 4 });
  assert.equal(s.upstream.calls('/gate'), 1);
  assert.equal(await s.received(), PRICE);
});

test('a facilitator that says "success" for what was settled before does not sell a second answer', async (t) => {
  const facilitator = await facilitatorOf(t);
  const s = await attackedGateway(t, chain, remote(facilitator.url));
  const headers = await officialPayment(s, '/echo');
  assert.equal((await s.call('/echo', headers)).status, 200);
  const [paid] = await s.payments();
  const again = { success: true, transaction: paid?.transaction, network: chain.network };
  facilitator.set('settle', conduct.say(again));
  facilitator.set('verify', conduct.say({ isValid: true, payer: s.payer.address }));
  for (const body of ['1', '2', '3']) {
    const seen = await s.call('/echo', headers, { method: 'POST', body });
    assert.equal(seen.status, 409);
  }
  assert.equal(s.upstream.calls('/echo'), 1);
  assert.equal(await s.received(), PRICE);
});

test('a payment for one route is refused on another of the same price, and stays good for its own', async () => {
  const s = await visitor();
  const headers = await officialPayment(s, '/echo');
  assert.equal((await s.call('/sse', headers)).status, 402);
  assert.equal(s.upstream.calls('/sse'), 0);
  assert.equal((await s.call('/echo', headers)).status, 200);
});

test('an event stream that is paid reaches the official client event by event, not all at its end', async (t) => {
  const s = await attackedGateway(t, chain);
  const response = await official(s)(`${s.gateway.url}/sse-gate`);
  const reader = response.body?.getReader();
  const first = await reader?.read();
  assert.equal(Buffer.from(first?.value ?? []).toString(), 'data: 1\n\n');
  s.upstream.open();
  let rest = '';
  for (;;) {
    const next = await reader?.read();
    if (!next || next.done) break;
    rest += Buffer.from(next.value).toString();
  }
  assert.match(rest, /DONE/);
  assert.equal(await s.received(), PRICE);
});

test('an upstream that writes its error in whatever way is not paid, and its error carries no receipt', async (t) => {
  const ways = [
    'HTTP/1.1 500 No\r\nContent-Length: 2\r\n\r\nno',
    'HTTP/1.1 500 No\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nno\r\n0\r\n\r\n',
    'HTTP/1.1 503 No\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\ndata: no\n\n',
    'HTTP/1.1 502 No\r\n\r\n',
  ];
  let way = '';
  const upstream = await rawUpstream(t, (socket) => socket.end(way));
  const s = await attackedGateway(t, chain, { upstreamUrl: upstream.url });
  for (way of ways) {
    const seen = await s.call('/echo', await officialPayment(s, '/echo'));
    assert.equal(String(seen.status), way.slice(9, 12));
    assert.equal(seen.headers.get('payment-response'), null);
    assert.equal(seen.headers.get('x-payment-cost'), '0');
  }
  assert.equal(await s.received(), 0n);
});

test('a client that hangs up before the answer ends the work at the upstream and pays nothing', async (t) => {
  const s = await attackedGateway(t, chain);
  const headers = await officialPayment(s, '/hang');
  const abort = new AbortController();
  const gone = s.call('/hang', headers, { signal: abort.signal });
  await s.upstream.seen('/hang', 1);
  abort.abort();
  await assert.rejects(gone);
  await s.upstream.aborted(1);
  const [payment] = await until(async () => {
    const all = await s.payments();
    return all[0]?.state === 'released' && all;
  });
  assert.equal(payment?.reason, 'client_gone');
  assert.equal(await s.received(), 0n);
});

for (const [name, operation] of [
  ['remembers what was used', 'claim'],
  ['counts what a wallet has promised', 'holdExposure'],
] as const)
  test(`when the part that ${name} throws, the payment is not taken and not lost`, async (t) => {
    const real = await memoryLedger(t);
    let broken = true;
    const ledger = new Proxy(real, {
      get(target, name) {
        const value: unknown = Reflect.get(target, name);
        if (name === operation && broken)
          return () => Promise.reject(new StoreUnavailable('the store is down'));
        return typeof value === 'function' ? value.bind(target) : value;
      },
    }) as Ledger;
    const desk = await openDesk(t, chain, { ledger });
    const signed = signOffer(await firstOffer(desk), account(chain, 50));
    await assert.rejects(
      desk.present(signed.v2),
      (error: { status?: number }) => error.status === 503,
    );
    broken = false;
    assert.equal((await desk.present(signed.v2)).outcome, 'granted');
  });

test('a facilitator that is down is a 503 to the payer, never a 402 that has him sign again', async (t) => {
  const facilitator = await facilitatorOf(t);
  const s = await attackedGateway(t, chain, remote(facilitator.url));
  const headers = await officialPayment(s, '/echo');
  for (const verify of [conduct.reset, conduct.say('', 500), conduct.say('<html>')]) {
    facilitator.set('verify', verify);
    const seen = await s.call('/echo', verify === conduct.reset ? headers : await fresh());
    assert.equal(seen.status, 503, seen.text);
    assert.match(seen.headers.get('retry-after') ?? '', /^\d+$/);
    assert.equal(seen.headers.get('payment-required'), null);
    facilitator.honest();
  }
  assert.equal(s.upstream.calls('/echo'), 0);
  assert.equal(await s.received(), 0n);

  /** Signed once the network is offered again. */
  function fresh(): Promise<Record<string, string>> {
    return until(() => officialPayment(s, '/echo').catch(() => null), { what: 'an offer' });
  }
});

test('a connection that is lost while the money moves is not a failed payment, and no other facilitator is tried', async (t) => {
  const [first, second] = [await facilitatorOf(t), await facilitatorOf(t)];
  const s = await attackedGateway(t, chain, {
    ...remote(first.url, second.url),
    over: { timeouts: { settle: '300ms' } },
  });
  first.set('settle', async ({ honest, response }) => {
    await honest();
    response.destroy();
  });
  const seen = await s.call('/echo', await officialPayment(s, '/echo'));
  assert.equal(seen.status, 200);
  const receipt = seen.headers.get('payment-response') ?? '';
  const { success, errorReason } = JSON.parse(Buffer.from(receipt, 'base64').toString());
  assert.ok(success === true || errorReason === 'settlement_pending');
  await until(async () => (await s.payments())[0]?.state === 'settled');
  assert.deepEqual(second.asked('settle'), []);
  assert.equal(await s.received(), PRICE);
});

test('an amount that the upstream orders in a Settlement-Overrides header is neither settled nor shown', async (t) => {
  let amount = '';
  const upstream = await rawUpstream(t, (socket) =>
    socket.end(
      `HTTP/1.1 200 OK\r\nSettlement-Overrides: {"amount":"${amount}"}\r\nContent-Length: 2\r\n\r\nhi`,
    ),
  );
  const s = await attackedGateway(t, chain, { upstreamUrl: upstream.url });
  let paid = 0n;
  for (amount of ['999999999', '150%', 'abc', '-5', '0']) {
    const seen = await s.call('/echo', await officialPayment(s, '/echo'));
    assert.deepEqual([seen.status, seen.headers.get('settlement-overrides')], [200, null]);
    paid += PRICE;
    assert.equal(await s.received(), paid, amount);
  }
});

test('one payer has many requests at once, and none of them is told that another one is busy', async (t) => {
  const s = await attackedGateway(t, chain);
  const pay = official(s);
  const calls = Array.from({ length: 10 }, (_, i) => pay(`${s.gateway.url}/gate?${i}`));
  await s.upstream.seen('/gate', 10);
  s.upstream.open();
  const statuses = (await Promise.all(calls)).map(({ status }) => status);
  assert.deepEqual(countEach(statuses), { 200: 10 });
  assert.equal(await s.received(), 10n * PRICE);
});

test('a v1 client finds its offers in the body, pays with X-PAYMENT and reads X-PAYMENT-RESPONSE', async () => {
  const s = await visitor();
  const unpaid = JSON.parse((await s.call('/echo')).text);
  assert.equal(unpaid.x402Version, 1);
  assert.equal(unpaid.accepts[0].maxAmountRequired, String(PRICE));
  const signer = createWalletClient({
    ...{ account: privateKeyToAccount(s.payer.privateKey), chain: base },
    transport: http(chain.rpcUrl),
  });
  const pay = wrapFetchV1(fetch, signer as never) as typeof fetch;
  const response = await pay(`${s.gateway.url}/echo`);
  assert.equal(response.status, 200);
  const receipt = response.headers.get('x-payment-response') ?? '';
  assert.equal(JSON.parse(Buffer.from(receipt, 'base64').toString()).success, true);
  assert.equal(await s.received(), PRICE);
});

test('an offer stays good while the route is described anew; at a new price it is refused and nothing is taken', async (t) => {
  const s = await attackedGateway(t, chain);
  const route = { upstream: 'api', timeout: '9s', description: 'Says the same, at length' };
  const [early, late] = [await officialPayment(s, '/echo'), await officialPayment(s, '/echo')];
  await s.restart({ routes: { '* /echo': { ...route, price: '$0.01' } } });
  assert.equal((await s.call('/echo', early)).status, 200);
  await s.restart({ routes: { '* /echo': { ...route, price: '$0.02' } } });
  const refused = await s.call('/echo', late);
  assert.equal(refused.status, 402);
  assert.equal(await s.received(), PRICE);
  assert.equal((await official(s)(`${s.gateway.url}/echo`)).status, 200, 'the new price is paid');
  assert.equal(await s.received(), 3n * PRICE);
});

test('what no route names is not free', async () => {
  const s = await visitor();
  for (const path of ['/unknown', '/echo/x', '/v1/echo', '/']) {
    assert.equal((await s.call(path)).status, 404);
    assert.equal((await s.call(path, { 'x-api-key': s.key })).status, 404);
  }
  assert.equal(s.upstream.calls('/unknown'), 0);
});

test('a facilitator that is down when the gateway starts stops nobody: keys are served, and wallets once it is there', async (t) => {
  const facilitator = await facilitatorOf(t);
  facilitator.set('supported', conduct.reset);
  const s = await attackedGateway(t, chain, remote(facilitator.url));
  assert.equal((await s.call('/echo')).status, 402);
  assert.equal((await s.call('/echo', { 'x-api-key': s.key })).status, 200);
  facilitator.honest();
  const headers = await until(() => officialPayment(s, '/echo').catch(() => null), {
    what: 'an offer, without a restart',
  });
  assert.equal((await s.call('/echo', headers)).status, 200);
});

test('our payer returns a 402 of another protocol with its body, and sends no header that makes browsers ask first', async () => {
  await using server = await serve((request, response) => {
    if (request.path === '/x402')
      return request.payment ? answerPaid(request, response) : demand(response);
    response.writeHead(402, { 'www-authenticate': 'L402 macaroon="a", invoice="b"' });
    response.end('an invoice');
  });
  const pay = payFetch(fetch, { wallet, budget: { perCall: '$1' } });
  const other = await pay(`${server.url}/l402`);
  assert.deepEqual([other.status, await other.text()], [402, 'an invoice']);
  assert.equal((await pay(`${server.url}/x402`)).status, 200);
  for (const { headers } of server.received)
    assert.equal(headers['access-control-expose-headers'], undefined);
});

test('our payer takes the cheapest offer that it can pay, not the first', async () => {
  const accepts = [offer({ amount: '9000' }), offer({ amount: '6000' }), offer({ amount: '7000' })];
  await using server = await serve((request, response) =>
    request.payment ? answerPaid(request, response) : demand(response, requiredV2(accepts)),
  );
  await (await payFetch(fetch, { wallet, budget: { perCall: '$1' } })(server.url)).text();
  const paid = Buffer.from(server.paid()[0]?.payment ?? '', 'base64').toString();
  assert.equal(JSON.parse(paid).payload.authorization.value, '6000');
});

for (const [name, lose] of [
  ['loses its answer', (socket: { destroy(): void }) => socket.destroy()],
  ['calls its own lost settlement a failure', null],
] as const)
  test(`our payer at a server that ${name} signs once, and sends the same again`, async () => {
    await using server = await serve((request, response) => {
      if (request.payment === undefined) return demand(response);
      if (server.paid().length > 1) return answerPaid(request, response);
      if (lose) return lose(request.payment ? (response.socket ?? response) : response);
      const receipt = {
        success: false,
        transaction: '',
        network: '',
        errorReason: 'settlement_pending',
      };
      response.writeHead(503, { 'PAYMENT-RESPONSE': encodeHeader(receipt) }).end('{}');
    });
    const options = { wallet, budget: { perCall: '$1', perDay: '$1' }, wait: async () => {} };
    assert.equal((await payFetch(fetch, options)(server.url)).status, 200);
    assert.equal(server.paid().length, 2);
    assert.equal(new Set(server.paid().map(({ payment }) => payment)).size, 1);
  });

test('our payer at a server that answers 402 to what it may have settled signs no second time, and counts it as spent', async () => {
  await using server = await serve((_request, response) => demand(response));
  const options = { wallet, budget: { perCall: '$1', perDay: '$0.01' }, wait: async () => {} };
  const pay = payFetch(fetch, options);
  assert.equal((await pay(server.url)).status, 402);
  assert.equal(server.paid().length, 1);
  await assert.rejects(pay(`${server.url}/again`), { code: 'budget_exceeded' });
  assert.equal(server.paid().length, 1);
});

test('headers stay small and sizes are bounded, whatever the operator writes and the client sends', async (t) => {
  const description = '“'.repeat(500);
  const s = await attackedGateway(t, chain, {
    route: { description },
    over: { limits: { bodyBytes: '1KiB' } },
  });
  const unpaid = await s.call('/echo');
  assert.ok((unpaid.headers.get('payment-required') ?? '').length <= 4_096);
  assert.ok(JSON.parse(unpaid.text).accepts[0].description === description, 'the body has it all');
  const headers = await officialPayment(s, '/echo');
  const large = await s.call('/echo', headers, { method: 'POST', body: 'x'.repeat(2_000) });
  assert.equal(large.status, 413);
  assert.equal((await s.call('/echo', { 'payment-signature': 'A'.repeat(9_000) })).status, 431);
  assert.equal((await s.call('/echo', headers)).status, 200, 'and the payment is still good');
});

test('a payment that can not be read is 400 and names the field; one that can, and is wrong, is 402 and says why', async () => {
  const s = await visitor();
  const unreadable = encodeHeader({ x402Version: 2, accepted: { scheme: 'exact' } });
  const bad = await s.call('/echo', { 'payment-signature': unreadable });
  assert.equal(bad.status, 400);
  assert.match(bad.text, /accepted\.network is missing/);
  const wrong = await s.call('/echo', v2(await s.sign('/echo', { value: 1n })));
  assert.equal(wrong.status, 402);
  assert.match(wrong.text, /value is 1, expected 10000/);
  assert.ok(wrong.headers.get('payment-required'), 'with the offers again');
  assert.equal((await s.payments()).length, 0);
  const fine = await s.call('/echo', v2(await s.sign('/echo')));
  assert.equal(fine.status, 200);
  assert.equal((await s.payments())[0]?.state, 'settled');
});
