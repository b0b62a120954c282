import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  BudgetExceeded,
  NoPayableOffer,
  type PaymentEvent,
  PayOptionsInvalid,
  payFetch,
  privateKeyWallet,
  receiptOf,
  type Wallet,
  WalletKeyInvalid,
} from '../../src/client/index.ts';
import { encodeHeader } from '../../src/rails/x402/protocol.ts';
import {
  answerPaid,
  BASE_SEPOLIA,
  demand,
  offer,
  PAY_TO,
  PRIVATE_KEY,
  requiredV2,
  serve,
  servePaid,
  settled,
  signerOf,
} from './servers.ts';

const wallet = privateKeyWallet(PRIVATE_KEY);
const budget = { perCall: '$0.05' };
const NOW = 1_800_000_000_000;
const clock = { now: () => NOW };

/** Fails the test when anything is signed. */
const neverSigns: Wallet = {
  address: wallet.address,
  signTransferAuthorization: () => assert.fail('something was signed'),
};

test('a v2 offer is signed as offered, echoed unchanged, and the answer comes with its receipt', async () => {
  await using server = await servePaid();
  const events: PaymentEvent[] = [];
  const fetch402 = payFetch(fetch, { wallet, budget, clock, onPayment: (e) => events.push(e) });
  const response = await fetch402(`${server.url}/summarize?a=1`, { method: 'POST', body: 'text' });

  assert.equal(response.status, 200);
  assert.deepEqual(await response.json(), { ok: true });
  const [first, second] = server.received;
  assert.equal(server.received.length, 2);
  assert.equal(first?.payment, undefined);
  assert.equal(second?.headers['x-payment'], undefined);
  const same = (one?: typeof first) => [
    one?.method,
    one?.path,
    one?.body,
    one?.headers['content-type'],
  ];
  assert.deepEqual(same(second), same(first));

  const { message, authorization, signer } = await signerOf(second?.payment ?? '');
  assert.deepEqual(message.x402Version === 2 && message.accepted, offer());
  assert.deepEqual(message.x402Version === 2 && message.resource, { url: 'http://x/' });
  assert.equal(signer, wallet.address);
  assert.deepEqual(
    { ...authorization, nonce: '' },
    {
      from: wallet.address,
      to: PAY_TO,
      value: 6000n,
      validAfter: 0n,
      validBefore: BigInt(NOW / 1000 + 60),
      nonce: '',
    },
  );
  assert.deepEqual(receiptOf(response), {
    paymentId: 'pay_1',
    cost: '0.006',
    state: null,
    transaction: `0x${'fe'.repeat(32)}`,
    network: 'eip155:84532',
    payer: '0x',
    success: true,
    errorReason: null,
  });
  assert.deepEqual(
    events.map((event) => [event.outcome, event.payment.amount, event.receipt?.paymentId]),
    [['paid', 6000n, 'pay_1']],
  );
});

test('a server that speaks only v1 is paid with X-PAYMENT and its own network name', async () => {
  const accepts = [
    {
      scheme: 'exact',
      network: 'base-sepolia',
      maxAmountRequired: '2000',
      resource: 'http://x/',
      description: '',
      mimeType: '',
      outputSchema: null,
      payTo: PAY_TO,
      maxTimeoutSeconds: 60,
      asset: BASE_SEPOLIA.asset,
      extra: { name: 'USDC', version: '2' },
    },
  ];
  await using server = await serve((request, response) => {
    if (request.payment === undefined) {
      response.writeHead(402, { 'content-type': 'application/json' });
      response.end(JSON.stringify({ x402Version: 1, error: 'X-PAYMENT required', accepts }));
      return;
    }
    const settlement = { success: true, transaction: '0xab', network: 'base-sepolia', payer: '0x' };
    response.writeHead(200, { 'X-PAYMENT-RESPONSE': encodeHeader(settlement) }).end('paid');
  });
  const response = await payFetch(fetch, { wallet, budget })(server.url);
  assert.equal(await response.text(), 'paid');
  const paid = server.paid()[0];
  assert.equal(paid?.headers['payment-signature'], undefined);
  const { message, authorization, signer } = await signerOf(String(paid?.headers['x-payment']));
  assert.equal(message.x402Version === 1 && message.network, 'base-sepolia');
  assert.equal(authorization.value, 2000n);
  assert.equal(signer, wallet.address);
  assert.equal(receiptOf(response)?.network, 'eip155:84532');
});

test('offers are found in a mirrored v2 body and in the plain list of networks', async () => {
  const networks = [
    {
      network: 'eip155:84532',
      asset: 'USDC',
      contract: BASE_SEPOLIA.asset,
      address: PAY_TO,
      amount: '6000',
      decimals: 6,
    },
  ];
  const bodies: [object, string][] = [
    [{ x402Version: 2, resource: { url: 'http://x/' }, accepts: [offer()] }, 'payment-signature'],
    [{ error: 'no', x402: { version: 2, networks } }, 'x-payment'],
  ];
  for (const [body, header] of bodies) {
    await using server = await serve((request, response) => {
      if (request.payment !== undefined) return answerPaid(request, response);
      response.writeHead(402, { 'content-type': 'application/json' }).end(JSON.stringify(body));
    });
    const response = await payFetch(fetch, { wallet, budget })(server.url);
    assert.equal(response.status, 200);
    assert.equal(
      (await signerOf(String(server.paid()[0]?.headers[header]))).signer,
      wallet.address,
    );
  }
});

test('the cheapest offer that the wallet can pay is chosen, wherever it stands in the list', async () => {
  await using server = await serve((request, response) => {
    if (request.payment !== undefined) return answerPaid(request, response);
    const accepts = [
      { scheme: 'nonsense' },
      offer({ amount: '5000' }),
      offer({ scheme: 'upto', amount: '1' }),
      offer({ network: 'solana:mainnet', amount: '1' }),
      offer({ amount: '3000' }),
      offer({ amount: '1', asset: PAY_TO }),
      offer({ amount: '4000' }),
    ];
    demand(response, requiredV2(accepts));
  });
  await payFetch(fetch, { wallet, budget })(server.url);
  const { authorization } = await signerOf(server.paid()[0]?.payment ?? '');
  assert.equal(authorization.value, 3000n);
});

test('security: an unknown token that calls itself USDC is never signed, and the error says why for each offer', async () => {
  await using server = await serve((_request, response) => {
    const accepts = [
      offer({ asset: PAY_TO, extra: { name: 'USDC', version: '2' } }),
      offer({ network: 'eip155:1' }),
      offer({ scheme: 'upto\u0007' }),
      offer({ extra: { assetTransferMethod: 'permit2' } }),
      offer({ payTo: `0x${'0'.repeat(40)}` }),
      offer({ maxTimeoutSeconds: 10_000_000 }),
      offer({ network: 'stellar:pubnet' }),
    ];
    demand(response, requiredV2(accepts));
  });
  const error = await payFetch(fetch, { wallet: neverSigns, budget })(server.url).catch((e) => e);
  assert.ok(error instanceof NoPayableOffer);
  const expected = [
    /asset 0x.*aa on eip155:84532 is not USDC/,
    /on eip155:1 is not USDC/,
    /scheme upto\? is/,
    /permit2/,
    /payTo/,
    /valid for 10000000 s/,
    /stellar:pubnet/,
  ];
  assert.equal(error.reasons.length, expected.length);
  for (const [index, pattern] of expected.entries())
    assert.match(error.reasons[index] ?? '', pattern);
  assert.deepEqual(await error.response.json(), { error: 'payment required' });
  assert.equal(server.received.length, 1);
});

test('a price above the limit of one call is never signed, and the error says price and limit', async () => {
  await using server = await serve((_request, response) =>
    demand(response, requiredV2([offer({ amount: '50001' })])),
  );
  const error = await payFetch(fetch, { wallet: neverSigns, budget })(server.url).catch((e) => e);
  assert.ok(error instanceof BudgetExceeded);
  assert.deepEqual(
    [error.by, error.price, error.limit, error.code],
    ['perCall', '$0.050001', '$0.05', 'budget_exceeded'],
  );
  assert.match(error.message, /\$0\.050001.*\$0\.05/);
  assert.equal((await error.response.text()).length > 0, true);
});

test('a price of exactly the limit is paid', async () => {
  await using server = await serve((request, response) =>
    request.payment === undefined
      ? demand(response, requiredV2([offer({ amount: '50000' })]))
      : answerPaid(request, response),
  );
  assert.equal((await payFetch(fetch, { wallet, budget })(server.url)).status, 200);
});

test('security: a host that is not listed gets neither a payment nor the key', async () => {
  await using server = await servePaid();
  const options = {
    wallet: neverSigns,
    apiKey: 'cs_test_secret',
    budget: { ...budget, hosts: ['api.example.com'] },
  };
  const error = await payFetch(fetch, options)(server.url).catch((e) => e);
  assert.ok(error instanceof BudgetExceeded);
  assert.equal(error.by, 'hosts');
  assert.equal(server.received[0]?.headers['x-api-key'], undefined);
  const listed = { ...options, wallet, budget: { ...budget, hosts: [new URL(server.url).host] } };
  assert.equal((await payFetch(fetch, listed)(server.url)).status, 200);
  assert.equal(server.received[1]?.headers['x-api-key'], 'cs_test_secret');
});

test('the key replaces a placeholder and never a key that the caller set', async () => {
  await using server = await serve((_request, response) => response.end('ok'));
  const fetch402 = payFetch(fetch, { apiKey: 'cs_test_ours', budget });
  await fetch402(server.url);
  await fetch402(server.url, { headers: { 'X-API-Key': 'unused' } });
  await fetch402(server.url, { headers: { 'X-API-Key': 'cs_test_theirs' } });
  assert.deepEqual(
    server.received.map((one) => one.headers['x-api-key']),
    ['cs_test_ours', 'cs_test_ours', 'cs_test_theirs'],
  );
});

test('a 402 of another kind, and every other answer, come back untouched with their body', async () => {
  const challenge = 'L402 macaroon="AgEE", invoice="lnbc1"';
  await using server = await serve((request, response) => {
    if (request.path === '/l402') {
      response.writeHead(402, {
        'WWW-Authenticate': challenge,
        'content-type': 'application/json',
      });
      response.end('{"message":"pay the invoice"}');
    } else if (request.path === '/html') {
      response.writeHead(402, { 'content-type': 'text/html' }).end('<h1>Pay</h1>');
    } else if (request.path === '/empty') {
      response.writeHead(402).end();
    } else if (request.path === '/broken-json') {
      response.writeHead(402, { 'content-type': 'application/json' }).end('{"x402Version":1,');
    } else response.writeHead(418, { 'x-a': 'b' }).end('teapot');
  });
  const fetch402 = payFetch(fetch, { wallet: neverSigns, budget });
  const l402 = await fetch402(`${server.url}/l402`);
  assert.equal(l402.headers.get('www-authenticate'), challenge);
  assert.equal(await l402.text(), '{"message":"pay the invoice"}');
  assert.equal(await (await fetch402(`${server.url}/html`)).text(), '<h1>Pay</h1>');
  assert.equal(await (await fetch402(`${server.url}/empty`)).text(), '');
  assert.equal(await (await fetch402(`${server.url}/broken-json`)).text(), '{"x402Version":1,');
  const teapot = await fetch402(`${server.url}/`);
  assert.deepEqual([teapot.status, await teapot.text()], [418, 'teapot']);
});

test('without a wallet, and when the caller pays by itself, a 402 is returned as it is', async () => {
  await using server = await serve((_request, response) => demand(response));
  const bare = await payFetch(fetch, { budget })(server.url);
  assert.deepEqual(await bare.json(), { error: 'payment required' });
  const own = await payFetch(fetch, { wallet: neverSigns, budget })(server.url, {
    headers: { 'X-PAYMENT': 'abc' },
  });
  assert.equal(own.status, 402);
  assert.equal(server.received.length, 2);
});

test('garbled and giant offers sign nothing and say what could not be read', async () => {
  for (const header of [
    '%%%',
    'bm90IGpzb24=',
    encodeHeader({ x402Version: 2, accepts: [] }),
    'A'.repeat(12_000),
  ]) {
    await using server = await serve((_request, response) => demand(response, header));
    const error = await payFetch(fetch, { wallet: neverSigns, budget })(server.url).catch((e) => e);
    assert.ok(error instanceof NoPayableOffer, header.slice(0, 20));
    assert.equal(error.reasons.length, 1);
  }
  const body = `{"x402Version":1,"accepts":["${'x'.repeat(2_000_000)}"]}`;
  await using giant = await serve((_request, response) => {
    response.writeHead(402, { 'content-type': 'application/json' });
    response.end(body);
  });
  const response = await payFetch(fetch, { wallet: neverSigns, budget })(giant.url);
  assert.equal((await response.text()).length, body.length);
});

test('security: a 402 behind a redirect is not paid', async () => {
  await using thief = await serve((_request, response) => demand(response));
  await using server = await serve((request, response) => {
    if (request.path === '/same') demand(response);
    else
      response.writeHead(307, { location: request.path === '/away' ? thief.url : '/same' }).end();
  });
  const fetch402 = payFetch(fetch, { wallet: neverSigns, budget });
  assert.equal((await fetch402(`${server.url}/away`)).status, 402);
  assert.equal((await fetch402(`${server.url}/`)).status, 402);
  assert.equal(thief.received.length, 1);
});

test('security: neither a payment nor a key ever follows a redirect', async () => {
  await using thief = await serve((_request, response) => response.end('stolen'));
  await using server = await serve((request, response) => {
    if (request.path === '/key' || request.payment !== undefined)
      response.writeHead(308, { location: thief.url }).end();
    else demand(response);
  });
  const paid = await payFetch(fetch, { wallet, budget })(server.url, { redirect: 'follow' });
  assert.equal(paid.status, 308);
  const keyed = await payFetch(fetch, { apiKey: 'cs_test_secret', budget })(`${server.url}/key`);
  assert.equal(keyed.status, 308);
  assert.equal(thief.received.length, 0);
});

test('a server that refuses the payment gets its 402 returned, after one signature and one retry', async () => {
  await using server = await serve((_request, response) => demand(response));
  const events: PaymentEvent[] = [];
  const response = await payFetch(fetch, { wallet, budget, onPayment: (e) => events.push(e) })(
    server.url,
  );
  assert.equal(response.status, 402);
  assert.deepEqual(await response.json(), { error: 'payment required' });
  assert.equal(server.received.length, 2);
  assert.equal(events[0]?.outcome, 'refused');
});

test('no header is added but the payment, so that browsers need no wider preflight', async () => {
  await using server = await servePaid();
  await payFetch(fetch, { wallet, budget })(server.url);
  const [first, second] = server.received.map((one) => Object.keys(one.headers));
  assert.deepEqual(
    second?.filter((name) => !first?.includes(name)),
    ['payment-signature'],
  );
});

test('extensions are echoed, and payment-identifier gets an id', async () => {
  const extensions = {
    bazaar: { info: { a: 1 }, schema: {} },
    'payment-identifier': { info: { required: true }, schema: { type: 'object' } },
  };
  await using server = await serve((request, response) =>
    request.payment === undefined
      ? demand(response, requiredV2([offer()], { extensions }))
      : answerPaid(request, response),
  );
  await payFetch(fetch, { wallet, budget })(server.url);
  const { message } = await signerOf(server.paid()[0]?.payment ?? '');
  const echoed = (message.x402Version === 2 &&
    message.extensions) as unknown as typeof extensions & {
    'payment-identifier': { info: { id: string } };
  };
  const { id, ...info } = echoed['payment-identifier'].info;
  assert.match(id, /^[a-zA-Z0-9_-]{16,128}$/);
  assert.deepEqual(
    { ...echoed, 'payment-identifier': { ...echoed['payment-identifier'], info } },
    extensions,
  );
});

test('a wallet that fails to sign gives the held budget back', async () => {
  await using server = await servePaid();
  let failing = true;
  const flaky: Wallet = {
    ...wallet,
    signTransferAuthorization(domain, authorization) {
      if (failing) throw new Error('the signer is offline');
      return wallet.signTransferAuthorization(domain, authorization);
    },
  };
  const fetch402 = payFetch(fetch, { wallet: flaky, budget: { ...budget, perDay: '$0.006' } });
  await assert.rejects(fetch402(server.url), /the signer is offline/);
  failing = false;
  assert.equal((await fetch402(server.url)).status, 200);
  await assert.rejects(fetch402(server.url), BudgetExceeded);
});

test('a listener that throws does not cost the caller the answer', async () => {
  await using server = await servePaid();
  const onPayment = () => {
    throw new Error('listener');
  };
  assert.equal((await payFetch(fetch, { wallet, budget, onPayment })(server.url)).status, 200);
});

test('an answer without PAYMENT-RESPONSE, with a pending one or with a garbled one is an answer all the same', async () => {
  const pending = encodeHeader({
    success: false,
    errorReason: 'settlement_pending',
    transaction: '',
    network: 'base',
  });
  for (const headers of [{}, { 'PAYMENT-RESPONSE': pending }, { 'PAYMENT-RESPONSE': '!!' }]) {
    await using server = await servePaid((_request, response) => {
      response.writeHead(200, headers).end('answer');
    });
    const events: PaymentEvent[] = [];
    const response = await payFetch(fetch, { wallet, budget, onPayment: (e) => events.push(e) })(
      server.url,
    );
    assert.equal(await response.text(), 'answer');
    assert.equal(events[0]?.outcome, 'paid');
    assert.equal(server.paid().length, 1);
  }
});

test('a streamed answer arrives as it is made', async () => {
  let release = () => {};
  await using server = await servePaid((_request, response) => {
    response.writeHead(200, { 'PAYMENT-RESPONSE': settled(), 'content-type': 'text/event-stream' });
    response.write('data: 1\n\n');
    release = () => response.end('data: 2\n\n');
  });
  const response = await payFetch(fetch, { wallet, budget })(server.url);
  const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader();
  assert.equal((await reader?.read())?.value, 'data: 1\n\n');
  release();
  assert.equal((await reader?.read())?.value, 'data: 2\n\n');
  assert.equal((await reader?.read())?.done, true);
});

test('wrong options are refused at once, and no message contains the private key', () => {
  const pay = (options: object) => () => payFetch(fetch, { budget, ...options });
  assert.throws(pay({ budget: { perCall: '0.05' } }), (error) => {
    assert.ok(error instanceof PayOptionsInvalid);
    assert.match(error.message, /^budget\.perCall: .*\$0\.006/);
    return true;
  });
  assert.throws(
    pay({ budget: { perCall: '$0.05', perDay: 'much' } }),
    /^PayOptionsInvalid: budget\.perDay/,
  );
  assert.throws(pay({ resendsMax: -1 }), PayOptionsInvalid);
  assert.throws(pay({ apiKey: 'a\nb' }), PayOptionsInvalid);
  assert.throws(() => privateKeyWallet(undefined), WalletKeyInvalid);
  const secret = 'deadbeef'.repeat(7);
  assert.throws(
    () => privateKeyWallet(secret),
    (error) => error instanceof WalletKeyInvalid && !error.message.includes('deadbeef'),
  );
  assert.equal(privateKeyWallet(PRIVATE_KEY.slice(2)).address, wallet.address);
  assert.ok(!JSON.stringify(wallet).includes(PRIVATE_KEY.slice(2)));
});
