import assert from 'node:assert/strict';
import type { ServerResponse } from 'node:http';
import { test } from 'node:test';
import {
  BudgetExceeded,
  memoryJournal,
  type PaymentEvent,
  PaymentOutcomeUnknown,
  payFetch,
  privateKeyWallet,
} from '../../src/client/index.ts';
import { encodeHeader } from '../../src/rails/x402/protocol.ts';
import {
  answerPaid,
  demand,
  PRIVATE_KEY,
  type Received,
  serve,
  servePaid,
  signerOf,
} from './servers.ts';

const wallet = privateKeyWallet(PRIVATE_KEY);
const budget = { perCall: '$0.05' };
const START = 1_800_000_000_000;

/** A payer whose waits take no time and are written down. */
function payer(more: object = {}) {
  let nowMs = START;
  const waits: number[] = [];
  const events: PaymentEvent[] = [];
  const fetch402 = payFetch(fetch, {
    wallet,
    budget,
    clock: { now: () => nowMs },
    wait: async (ms) => {
      waits.push(ms);
    },
    onPayment: (event) => events.push(event),
    ...more,
  });
  const pass = (ms: number) => {
    nowMs += ms;
  };
  return { fetch402, waits, events, pass };
}

type Act = (request: Received, response: ServerResponse) => void;

/** Acts differently on each paid request; the last act repeats. */
function acting(...acts: Act[]): Act {
  let turn = 0;
  return (request, response) => {
    const act = acts[Math.min(turn++, acts.length - 1)] as Act;
    act(request, response);
  };
}

const loseConnection: Act = (_request, response) => response.destroy();
const unavailable =
  (status: number, headers: Record<string, string> = {}): Act =>
  (_request, response) =>
    response.writeHead(status, headers).end('{"code":"settlement_pending"}');

function headersOf(server: { paid(): Received[] }): (string | undefined)[] {
  return server.paid().map((one) => one.payment);
}

test('a lost answer is asked for again with the very same signature', async () => {
  await using server = await servePaid(acting(loseConnection, loseConnection, answerPaid));
  const { fetch402, waits, events } = payer();
  const response = await fetch402(server.url, { method: 'POST', body: 'work' });
  assert.deepEqual(await response.json(), { ok: true });
  const [first, ...others] = headersOf(server);
  assert.deepEqual(others, [first, first]);
  assert.deepEqual(
    server.paid().map((one) => one.body),
    ['work', 'work', 'work'],
  );
  assert.deepEqual(waits, [250, 500]);
  assert.deepEqual(
    events.map((event) => event.outcome),
    ['paid'],
  );
});

test('503 settlement_pending and bare 5xx are asked again, honouring Retry-After within bounds', async () => {
  const date = new Date(START + 7000).toUTCString();
  await using server = await servePaid(
    acting(
      unavailable(503, { 'Retry-After': '2' }),
      unavailable(500, { 'Retry-After': date }),
      unavailable(502, { 'Retry-After': '86400' }),
      unavailable(504, { 'Retry-After': 'soon' }),
      answerPaid,
    ),
  );
  const { fetch402, waits } = payer();
  assert.equal((await fetch402(server.url)).status, 200);
  assert.deepEqual(waits, [2000, 7000, 30_000, 2000]);
  assert.equal(new Set(headersOf(server)).size, 1);
});

test('when the outcome stays unknown the error carries what was signed and how to look it up', async () => {
  await using server = await servePaid(unavailable(503, { 'X-Payment-Id': 'pay_77' }));
  const { fetch402, events } = payer({ resendsMax: 2 });
  const error = await fetch402(`${server.url}/a#part`).catch((e) => e);
  assert.ok(error instanceof PaymentOutcomeUnknown);
  assert.equal(server.paid().length, 3);
  const { authorization } = await signerOf(server.paid()[0]?.payment ?? '');
  assert.equal(error.signed.headerValue, server.paid()[0]?.payment);
  assert.equal(error.signed.nonce, authorization.nonce);
  assert.equal(error.signed.amount, 6000n);
  assert.equal(error.signed.url, `${server.url}/a`);
  assert.equal(error.paymentId, 'pay_77');
  assert.match(error.hint, new RegExp(`GET ${server.url}/_pay/payments/pay_77 `));
  assert.match(error.hint, new RegExp(authorization.nonce));
  assert.deepEqual(
    [error.code, error.retryable, error.response?.status],
    ['payment_outcome_unknown', true, 503],
  );
  assert.deepEqual(
    events.map((event) => event.outcome),
    ['unknown'],
  );
});

test('the same call repeated sends the same signature, another call signs its own', async () => {
  await using server = await servePaid(acting(loseConnection, answerPaid));
  const { fetch402 } = payer({ resendsMax: 0 });
  const call = (body: string) => fetch402(server.url, { method: 'POST', body });
  const error = await call('one').catch((e) => e);
  assert.ok(error instanceof PaymentOutcomeUnknown);
  assert.ok(error.cause instanceof TypeError);
  assert.equal(error.response, null);

  assert.equal((await call('two')).status, 200);
  assert.equal((await call('one')).status, 200);
  assert.equal((await call('one')).status, 200);
  const [lost, other, repeated, again] = headersOf(server);
  assert.notEqual(other, lost);
  assert.equal(repeated, lost);
  assert.notEqual(again, lost, 'once its outcome is known a payment is not sent again');
});

test('an unknown payment is reused by one of many parallel repeats, and by none once it has expired', async () => {
  await using server = await servePaid(acting(loseConnection, answerPaid));
  const { fetch402, pass } = payer({ resendsMax: 0 });
  await assert.rejects(fetch402(server.url), PaymentOutcomeUnknown);
  await Promise.all([fetch402(server.url), fetch402(server.url), fetch402(server.url)]);
  const [lost, ...others] = headersOf(server);
  assert.equal(others.filter((header) => header === lost).length, 1);

  await using second = await servePaid(acting(loseConnection, answerPaid));
  await assert.rejects(fetch402(second.url), PaymentOutcomeUnknown);
  pass(60_000);
  await fetch402(second.url);
  const [expired, fresh] = headersOf(second);
  assert.notEqual(fresh, expired);
});

test('a refusal of a signature that was sent before proves nothing: it may be refused because it was taken', async () => {
  for (const status of [402, 409, 410]) {
    await using server = await servePaid(
      acting(loseConnection, (_request, response) => {
        if (status === 402) demand(response);
        else response.writeHead(status).end();
      }),
    );
    const error = await payer({ resendsMax: 1 })
      .fetch402(server.url)
      .catch((e) => e);
    assert.ok(error instanceof PaymentOutcomeUnknown, String(status));
    assert.equal(error.response?.status, status);
    assert.equal(new Set(headersOf(server)).size, 1);
  }
});

test('a repeated call whose signature is refused stays unknown, and still nothing new is signed', async () => {
  await using server = await servePaid(
    acting(loseConnection, (_request, response) => demand(response)),
  );
  const { fetch402 } = payer({ resendsMax: 0 });
  for (let call = 0; call < 3; call++)
    await assert.rejects(fetch402(server.url), PaymentOutcomeUnknown);
  assert.equal(server.paid().length, 3);
  assert.equal(new Set(headersOf(server)).size, 1);
});

test('a failure for which the gateway says that nothing was taken is returned at once', async () => {
  const refused = encodeHeader({
    success: false,
    transaction: '',
    network: '',
    errorReason: 'insufficient_funds',
  });
  const definite: [number, Record<string, string>][] = [
    [502, { 'X-Payment-Id': 'pay_1', 'X-Payment-State': 'released', 'X-Payment-Cost': '0' }],
    [500, { 'PAYMENT-RESPONSE': refused }],
    [402, { 'PAYMENT-RESPONSE': refused }],
    [422, {}],
  ];
  for (const [status, headers] of definite) {
    await using server = await servePaid(unavailable(status, headers));
    const { fetch402, events } = payer();
    assert.equal((await fetch402(server.url)).status, status);
    assert.equal(server.paid().length, 1);
    assert.equal(events[0]?.outcome, 'refused');
  }
});

test('a refused payment counts against the day until its signature has expired', async () => {
  await using server = await serve((request, response) =>
    request.path === '/good' && request.payment ? answerPaid(request, response) : demand(response),
  );
  const { fetch402, pass } = payer({ budget: { perCall: '$0.006', perDay: '$0.011' } });
  assert.equal((await fetch402(server.url)).status, 402);
  await assert.rejects(fetch402(`${server.url}/good`), BudgetExceeded);
  pass(60_000 + 60_001);
  assert.equal((await fetch402(`${server.url}/good`)).status, 200);
  pass(10 * 60_000);
  await assert.rejects(
    fetch402(`${server.url}/good`),
    BudgetExceeded,
    'what was paid stays counted',
  );
});

test('an aborted call rejects with its own reason, and a repeat sends the same signature', async () => {
  const controller = new AbortController();
  await using server = await servePaid(
    acting(() => controller.abort(new Error('enough')), answerPaid),
  );
  const { fetch402, events } = payer();
  await assert.rejects(fetch402(server.url, { signal: controller.signal }), /enough/);
  assert.equal(events[0]?.outcome, 'unknown');
  assert.equal((await fetch402(server.url)).status, 200);
  const [first, second] = headersOf(server);
  assert.equal(second, first);
});

test('an abort during the wait between two resends ends the call, and real waits end by themselves', async () => {
  const controller = new AbortController();
  await using server = await servePaid(unavailable(503, { 'Retry-After': '20' }));
  // The answer is handled before the next turn of the event loop, so the abort meets the wait.
  const abortNext: typeof fetch = async (input, init) => {
    const response = await fetch(input, init);
    if (response.status === 503) setImmediate(() => controller.abort(new Error('enough')));
    return response;
  };
  const fetch402 = payFetch(abortNext, { wallet, budget });
  await assert.rejects(fetch402(server.url, { signal: controller.signal }), /enough/);
  assert.equal(server.paid().length, 1);

  await using quick = await servePaid(acting(unavailable(503, { 'Retry-After': '0' }), answerPaid));
  assert.equal((await payFetch(fetch, { wallet, budget })(quick.url)).status, 200);
});

test('nothing is signed when the journal is down, and an answer that is paid for survives a journal that fails later', async () => {
  await using server = await servePaid();
  const down = { ...memoryJournal(), signed: () => Promise.reject(new Error('disk full')) };
  await assert.rejects(payer({ journal: down }).fetch402(server.url), /disk full/);
  assert.equal(server.paid().length, 0);
  const late = { ...memoryJournal(), finish: () => Promise.reject(new Error('disk full')) };
  assert.equal((await payer({ journal: late }).fetch402(server.url)).status, 200);
});
