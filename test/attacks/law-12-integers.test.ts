/**
 * Law 12: money is integers. What would break it: one conversion through a JavaScript number, whose integers end at
 * 2^53, a price that rounds to nothing, an amount in an answer that is not a string.
 *
 * More attacks on it: pricing/price and config/scalars (how prices may be written), ledger/prepaid (amounts beyond 64
 * bits), storage/sqlite (64 bits are exact), attacks/hostile-values (amounts in payments).
 */

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import fc from 'fast-check';
import { parseConfig } from '../../src/config.ts';
import { formatUsd, parseUsd } from '../../src/core/money.ts';
import { type EvmDevnet, startEvmDevnet } from '../../src/devnet/start-evm-devnet.ts';
import { decodePaymentRequired } from '../../src/rails/x402/protocol.ts';
import { attackedGateway, v2 } from '../support/attacked-gateway.ts';

let chain: EvmDevnet;
before(async () => {
  chain = await startEvmDevnet({ accountsCount: 12 });
});
after(() => chain.close());

/** One more than the largest integer that a JavaScript number counts to. */
const BEYOND = (1n << 53n) + 1n;

const priced = (price: string) => ({
  over: { routes: { '* /echo': { upstream: 'api', price } } },
});

test('a millionth of a dollar is charged to the atom, on a balance that no JavaScript number can hold', async (t) => {
  const s = await attackedGateway(t, chain, priced('$0.000001'));
  await s.gateway.ledger.topUpKey(s.keyId, BEYOND + 20n - 1_000_000n, 'operator', Date.now());
  const headers = { 'x-api-key': s.key };
  const shown = async () => JSON.parse((await s.call('/_pay/balance', headers)).text).balance;
  assert.equal(await shown(), '9007199254.741013');
  for (let i = 0; i < 20; i++) {
    const seen = await s.call('/echo', headers);
    assert.deepEqual([seen.status, seen.headers.get('x-payment-cost')], [200, '0.000001']);
  }
  assert.equal(await shown(), '9007199254.740993');
  assert.equal((await s.gateway.ledger.findKey(s.keyId))?.balance, BEYOND);
});

test('one atom of a token is a payment like any other', async (t) => {
  const s = await attackedGateway(t, chain, priced('$0.000001'));
  const seen = await s.call('/echo', v2(await s.sign('/echo')));
  assert.equal(seen.status, 200);
  assert.equal(await s.received(), 1n);
  assert.equal(seen.headers.get('x-payment-cost'), '0.000001');
});

test('a price beyond 2^53 atoms is offered to the atom, and whoever has less is told in full', async (t) => {
  const s = await attackedGateway(t, chain, priced('$9007199254.740993'));
  const unpaid = await s.call('/echo');
  const { accepts } = decodePaymentRequired(unpaid.headers.get('payment-required') ?? '');
  assert.equal(accepts[0]?.amount, String(BEYOND));
  const body = JSON.parse(unpaid.text);
  assert.equal(body.accepts[0].maxAmountRequired, String(BEYOND));
  assert.equal(body.x402.networks[0].amount, String(BEYOND));
  assert.equal(body.quote.max, '9007199254.740993');
  const poor = await s.call('/echo', v2(await s.sign('/echo')));
  assert.deepEqual([poor.status, poor.code], [402, 'insufficient_funds']);
  assert.match(poor.text, /9007199254\.740993 USDC/);
  const key = await s.call('/echo', { 'x-api-key': s.key });
  assert.deepEqual([key.status, key.code], [402, 'insufficient_balance']);
});

test('no amount of money is a JSON number in any answer', async (t) => {
  const s = await attackedGateway(t, chain);
  const paid = await s.call('/echo', { 'x-api-key': s.key });
  const id = paid.headers.get('x-payment-id');
  const pages = [
    await s.call('/echo'),
    await s.call(`/_pay/payments/${id}`),
    await s.call('/_pay/balance', { 'x-api-key': s.key }),
  ];
  const money = /amount|price|cost|max$|balance|perDay|maxAmountRequired/;
  const look = (value: unknown, name: string): void => {
    if (typeof value === 'number') assert.doesNotMatch(name, money, name);
    if (typeof value === 'object' && value !== null)
      for (const [key, inner] of Object.entries(value)) look(inner, key);
  };
  for (const { text } of pages) look(JSON.parse(text), '');
});

test('a price that is no exact sum of dollars ends the start, whichever way it is written', () => {
  const wrong: unknown[] = [
    ...[0.006, 1, Number.NaN, '0.006', '1e-7', '$1e-7', '$0.0000001', '$0', '$-1', '-$1', '$+1'],
    ...['$0x10', '$1,000', '$1_000', '$ 1', '$1 ', '$.5', '$1.', '$١', '$１', '$Infinity', '$NaN'],
    ...['€1', '$', '', null, [], {}, true, `$${'9'.repeat(40)}`],
  ];
  for (const price of wrong) {
    const input = {
      upstreams: { api: { url: 'http://127.0.0.1' } },
      payments: { prepaid: {} },
      routes: { 'GET /x': { upstream: 'api', price } },
    };
    assert.throws(
      () => parseConfig(input, {}),
      (error: Error) => error.constructor.name.startsWith('Config') && /price/.test(error.message),
      String(price),
    );
  }
});

test('what is parsed and formatted again is the same atom, for any atom', () => {
  fc.assert(
    fc.property(fc.bigInt({ min: 1n, max: (1n << 62n) - 1n }), (atoms) => {
      assert.equal(parseUsd(formatUsd(atoms)), atoms);
    }),
    { numRuns: 500 },
  );
});
