/**
 * Law 9: every ledger transaction sums to zero per asset, and the audit recomputes all of it. What would break it: a
 * path through the gateway that writes one side only; books that agree with themselves and not with the chain.
 *
 * Here a storm of everything at once, and then the sums by hand. More attacks on it: ledger/audit (tampering, each kind
 * named), ledger/interleavings (any order against a model), gateway/kill, test/crash. Every gateway that a test starts
 * is audited when the test ends.
 */

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { FINAL_STATES } from '../../src/core/payment.ts';
import { type EvmDevnet, startEvmDevnet } from '../../src/devnet/start-evm-devnet.ts';
import {
  type AttackedGateway,
  attackedGateway,
  PRICE,
  v1,
  v2,
} from '../support/attacked-gateway.ts';
import { until } from '../support/until.ts';

let chain: EvmDevnet;
before(async () => {
  chain = await startEvmDevnet({ accountsCount: 4 });
});
after(() => chain.close());

const PATHS = [
  ...['/echo', '/status/200', '/status/204', '/status/404', '/status/500', '/empty', '/reset'],
  ...['/half', '/sse', '/sse-half', '/large/100', '/large/200000'],
];

/** Every path by every way to pay, and every way to go wrong. */
async function storm(s: AttackedGateway): Promise<void> {
  const calls: Promise<unknown>[] = [];
  const send = (path: string, headers: Record<string, string>, init: RequestInit = {}) =>
    void calls.push(s.call(path, headers, init).catch(() => null));
  for (const [at, path] of PATHS.entries()) {
    const signed = await s.sign(path);
    const other = await s.sign(path, { value: 1n });
    send(path, v2(signed));
    send(path, v2(signed));
    send(`${path}?other`, v2(signed));
    send(path, v1(await s.sign(path)));
    send(path, v2(other));
    send(path, {});
    send(path, { 'x-api-key': s.key });
    for (const body of ['a', 'b'])
      send(
        path,
        { 'x-api-key': s.key, 'idempotency-key': `order-${at}` },
        { method: 'POST', body },
      );
    send(path, { 'x-api-key': `${s.key}x` });
    const gone = AbortSignal.timeout(5 + at * 3);
    send(path, { 'x-api-key': s.key }, { signal: gone });
    send(path, v2(await s.sign(path)), { signal: gone });
  }
  await Promise.all(calls);
}

test('after a storm of good, bad, repeated and broken requests on all rails every sum is zero, and the chain agrees', async (t) => {
  const s = await attackedGateway(t, chain);
  await storm(s);
  const payments = await until(
    async () => {
      const all = await s.payments();
      return all.every(({ state }) => FINAL_STATES.has(state)) && all;
    },
    { what: 'the end of every payment' },
  );
  assert.deepEqual(await s.gateway.ledger.audit(), []);
  const entries = await s.gateway.ledger.entries({ limit: 10_000 });
  const sums = new Map<string, bigint>();
  for (const { transactionId, asset, amount } of entries) {
    const key = `${transactionId} ${asset}`;
    sums.set(key, (sums.get(key) ?? 0n) + amount);
  }
  assert.ok(sums.size > 40, 'there was much to sum');
  assert.deepEqual(
    [...sums].filter(([, sum]) => sum !== 0n),
    [],
  );

  const isPaid = (state: string): boolean => state === 'settled' || state === 'refund_due';
  const wallet = payments.filter(({ rail, state }) => rail === 'x402' && isPaid(state));
  assert.ok(wallet.length > 10);
  assert.equal(await s.received(), PRICE * BigInt(wallet.length), 'the chain agrees');
  const keys = payments.filter(({ rail, state }) => rail === 'prepaid' && state === 'settled');
  const left = (await s.gateway.ledger.findKey(s.keyId))?.balance ?? 0n;
  const spent = keys.reduce((sum, { cost }) => sum + cost, 0n);
  assert.equal(left, 1_000_000n - spent, 'the balance agrees');
  for (const { state, cost, amount, max } of payments) {
    assert.ok(amount >= 0n && amount <= max);
    if (state === 'released') assert.deepEqual([amount, cost], [0n, 0n]);
  }
  const balances = await s.gateway.ledger.balances();
  const held = balances.filter(({ account, balance }) => /held/.test(account) && balance !== 0n);
  assert.deepEqual(held, [], 'nothing is held when nothing runs');
});
