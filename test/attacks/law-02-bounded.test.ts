/**
 * Law 2: 0 ≤ captured ≤ held ≤ quote, whatever an upstream, a header or a config says. What would break it: an
 * upstream that names its own price, an authorization over more than was asked, a capture of more than was held.
 *
 * More attacks on it: ledger/prepaid (capture above the hold), ledger/interleavings (any order of operations against
 * a model), attacks/upstream-lies (forged receipts), pricing/price (every measured usage stays within the quote).
 */

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { after, before, type TestContext, test } from 'node:test';
import { type EvmDevnet, startEvmDevnet } from '../../src/devnet/start-evm-devnet.ts';
import { captureOf, jobOf, open, prepaidHold, walletClaim } from '../ledger/fixture.ts';
import { attackedGateway, PRICE, v2 } from '../support/attacked-gateway.ts';

let chain: EvmDevnet;
before(async () => {
  chain = await startEvmDevnet({ accountsCount: 10 });
});
after(() => chain.close());

/** An upstream that tells its gateway what to charge, in every header that such stacks listen to. */
async function greedyUpstream(t: TestContext): Promise<string> {
  const receipt = Buffer.from('{"success":true,"amount":"999999999"}').toString('base64');
  const server = createServer((_request, response) => {
    response.writeHead(200, {
      'Settlement-Overrides': '{"amount":"999999999"}',
      'X-Payment-Cost': '999.99',
      'X-Payment-State': 'settled',
      'PAYMENT-RESPONSE': receipt,
      'X-PAYMENT-RESPONSE': receipt,
      'PAYMENT-REQUIRED': receipt,
      'X-Usage': '{"calls":1e9}',
    });
    response.end('product');
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => server.close());
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

test('an upstream that names a price of its own changes no cost on any rail, and no payer sees its claims', async (t) => {
  const s = await attackedGateway(t, chain, { upstreamUrl: await greedyUpstream(t) });
  const answers = [
    await s.call('/echo', { 'x-api-key': s.key }),
    await s.call('/echo', v2(await s.sign('/echo'))),
  ];
  for (const { status, headers } of answers) {
    assert.equal(status, 200);
    assert.equal(headers.get('x-payment-cost'), '0.01');
    assert.equal(headers.get('settlement-overrides'), null);
    assert.equal(headers.get('payment-required'), null);
    assert.doesNotMatch(headers.get('payment-response') ?? '', /,/, 'there is one receipt');
  }
  assert.equal(answers[0]?.headers.get('payment-response'), null, 'a key has no such receipt');
  assert.equal(await s.keyBalance(), '$0.99');
  assert.equal(await s.received(), PRICE);
});

test('an authorization over more or less than the price is refused, however the offer in it is changed to match', async (t) => {
  const s = await attackedGateway(t, chain);
  const { sign, call } = s;
  const amounts = [0n, 1n, PRICE - 1n, PRICE + 1n, 2n * PRICE, 10n ** 15n, (1n << 256n) - 1n];
  for (const value of amounts) {
    const honest = await sign('/echo', { value });
    assert.equal((await call('/echo', v2(honest))).status, 402, String(value));
    const message = JSON.parse(Buffer.from(honest.v2, 'base64').toString());
    message.accepted.amount = String(value);
    const header = Buffer.from(JSON.stringify(message)).toString('base64');
    const changed = await call('/echo', { 'payment-signature': header });
    assert.equal(changed.status, 402, String(value));
    assert.match(changed.code ?? '', /requirements|value_mismatch/);
    assert.equal((await call('/echo', { 'x-payment': honest.v1 })).status, 402, String(value));
  }
  assert.deepEqual(await s.payments(), []);
  assert.equal(s.upstream.calls('/echo'), 0);
  assert.equal(await s.received(), 0n);
});

const WRONG_AMOUNTS = [-1n, 1_001n, 1n << 63n, 1n << 64n, 1n << 256n];

test('the ledger captures nothing above what is held, nothing negative and nothing above the quote, on balances and wallets alike', async (t) => {
  const ledger = await open(t, { url: 'sqlite::memory:' });
  await ledger.createKey({
    ...{ id: 'key_1', prefix: 'p', secretHash: 'cd'.repeat(32), mode: 'live', name: null },
    ...{ topUp: 5_000n, perDay: null, routes: null, nowMs: 0 },
  });
  const held = await ledger.holdPrepaid(prepaidHold('key_1', 1_000n));
  assert.equal(held.outcome, 'held');
  const claimed = await ledger.claim(walletClaim(1_000n));
  const paymentId = claimed.payment.id;
  const { owner } = claimed.payment;
  const exposed = { paymentId, owner, balance: 1_000n, block: 1n };
  assert.equal((await ledger.holdExposure(exposed)).outcome, 'held');
  const before = await ledger.balances();
  for (const amount of WRONG_AMOUNTS) {
    const prepaidId = held.outcome === 'held' ? held.payment.id : '';
    await assert.rejects(ledger.capture(captureOf(prepaidId, amount)), String(amount));
    const cost = { cost: amount, job: jobOf(1) };
    await assert.rejects(ledger.capture(captureOf(paymentId, amount, { job: jobOf(1) })));
    await assert.rejects(ledger.capture(captureOf(paymentId, 1_000n, cost)), String(amount));
    await assert.rejects(ledger.capture(captureOf(prepaidId, 1_000n, { cost: amount })));
    assert.deepEqual(await ledger.balances(), before, String(amount));
  }
  const done = await ledger.capture(captureOf(paymentId, 1_000n, { job: jobOf(1) }));
  assert.equal(done.outcome, 'done');
  const twice = await ledger.capture(captureOf(paymentId, 1_000n, { job: jobOf(2) }));
  assert.equal(twice.outcome, 'lost');
  assert.deepEqual(await ledger.audit(), []);
});

test('no hold is larger than its quote, negative, or larger than the wallet', async (t) => {
  const ledger = await open(t, { url: 'sqlite::memory:' });
  for (const max of [-1n, 1n << 63n, 1n << 256n])
    await assert.rejects(ledger.claim(walletClaim(max)), String(max));
  const { payment } = await ledger.claim(walletClaim(1_000n));
  const exposed = { paymentId: payment.id, owner: payment.owner, balance: 999n, block: 1n };
  assert.equal((await ledger.holdExposure(exposed)).outcome, 'insufficient');
  assert.deepEqual(await ledger.balances(), []);
});

test('a balance of exactly the price pays once, and one atom less pays nothing', async (t) => {
  const ledger = await open(t, { url: 'sqlite::memory:' });
  for (const [id, topUp] of [
    ['key_1', 1_000n],
    ['key_2', 999n],
  ] as const)
    await ledger.createKey({
      ...{ id, prefix: id, secretHash: 'cd'.repeat(32), mode: 'live', name: null },
      ...{ topUp, perDay: null, routes: null, nowMs: 0 },
    });
  assert.equal((await ledger.holdPrepaid(prepaidHold('key_1', 1_000n))).outcome, 'held');
  assert.equal((await ledger.holdPrepaid(prepaidHold('key_1', 1n))).outcome, 'insufficient');
  assert.equal((await ledger.holdPrepaid(prepaidHold('key_2', 1_000n))).outcome, 'insufficient');
  assert.equal((await ledger.findKey('key_2'))?.balance, 999n);
});
