/**
 * Law 1: authenticate offline, then claim, then anything else. What would break it: two runs for one credential, a
 * claim that a stranger can burn, a write or a question to the chain for what could be refused without either.
 *
 * More attacks on it: gateway/x402 (fifty bodies, restarts), attacks/wallet (two headers), attacks/free-tier,
 * ledger/wallet and ledger/prepaid (fifty claims at once), rails/x402-contract-wallet (provisional claims).
 */

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { openEvmChain } from '../../src/chains/evm/open-evm-chain.ts';
import type { Ledger } from '../../src/core/ports/ledger.ts';
import { type EvmDevnet, startEvmDevnet } from '../../src/devnet/start-evm-devnet.ts';
import { decodePaymentHeader, encodeHeader } from '../../src/rails/x402/protocol.ts';
import {
  account,
  firstOffer,
  memoryLedger,
  newKey,
  openDesk,
  type SignedPayment,
  signOffer,
} from '../rails/x402-fixture.ts';
import { attackedGateway, countEach, PRICE, v1, v2 } from '../support/attacked-gateway.ts';

let chain: EvmDevnet;
before(async () => {
  chain = await startEvmDevnet({ accountsCount: 30 });
});
after(() => chain.close());

for (const [version, headersOf, statuses] of [
  ['v2', v2, [200]],
  // Once it is broadcast a v1 signature is public, so late comers are told where the answer is instead.
  ['v1', v1, [200, 410]],
] as const)
  test(`two hundred requests with one ${version} credential at once: the work runs once and is paid once`, async (t) => {
    const s = await attackedGateway(t, chain);
    const headers = headersOf(await s.sign('/gate'));
    const calls = Array.from({ length: 200 }, () => s.call('/gate', headers));
    await s.upstream.seen('/gate', 1);
    s.upstream.open();
    const counts = countEach((await Promise.all(calls)).map(({ status }) => status));
    assert.deepEqual(
      Object.keys(counts).filter((status) => !statuses.includes(Number(status) as 200)),
      [],
    );
    assert.ok((counts[200] ?? 0) >= 1);
    assert.equal(s.upstream.calls('/gate'), 1);
    assert.equal((await s.payments()).length, 1);
    assert.equal(await s.received(), PRICE);
  });

/** The same authorization in other bytes: another credential to the eye, the same money. */
function spellings({ v1: one, v2: two, authorization }: SignedPayment): Record<string, string>[] {
  const read = (header: string) => JSON.parse(Buffer.from(header, 'base64').toString()) as object;
  const again = (header: string, change: (json: string) => string): string =>
    Buffer.from(change(JSON.stringify(read(header)))).toString('base64');
  const upper = (json: string): string =>
    json
      .replaceAll(authorization.from, authorization.from.toUpperCase().replace('0X', '0x'))
      .replaceAll(authorization.nonce, authorization.nonce.toUpperCase().replace('0X', '0x'));
  const changes: ((json: string) => string)[] = [
    (json) => ` ${json}`,
    (json) => `${json}\n`,
    (json) => json.replace('{"', '{ "'),
    upper,
    (json) => json.toLowerCase().replace('x402version', 'x402Version'),
    (json) => JSON.stringify(Object.fromEntries(Object.entries(JSON.parse(json)).reverse())),
    (json) => json.replace('"payload"', '"\\u0070ayload"'),
    (json) => json.replace(/}$/, ',"more":1}'),
  ];
  return [
    ...changes.map((change) => ({ 'payment-signature': again(two, change) })),
    ...changes.map((change) => ({ 'x-payment': again(one, change) })),
    { 'payment-signature': two.replace(/=+$/, '') },
    { 'x-payment': two },
    { 'payment-signature': one },
  ];
}

test('one authorization in twenty spellings and both versions at once: the work runs once and is paid once', async (t) => {
  const s = await attackedGateway(t, chain);
  const signed = await s.sign('/gate');
  const calls = [v2(signed), v1(signed), ...spellings(signed)].map((headers) =>
    s.call('/gate', headers),
  );
  await s.upstream.seen('/gate', 1);
  s.upstream.open();
  const all = await Promise.all(calls);
  const counts = countEach(all.map(({ status }) => status));
  assert.equal(s.upstream.calls('/gate'), 1, JSON.stringify(counts));
  assert.equal((await s.payments()).length, 1);
  assert.equal(await s.received(), PRICE);
  const served = new Set(all.filter(({ status }) => status === 200).map(({ text }) => text));
  assert.equal(served.size, 1, 'whoever is served is served the same answer');
});

test('a flood of wrong signatures over the wallet and nonce of another never keeps that other from paying', async (t) => {
  const s = await attackedGateway(t, chain);
  const signed = await s.sign('/gate');
  const garbage = Array.from({ length: 30 }, () => {
    const stranger = { ...s.payer, privateKey: newKey() };
    const message = decodePaymentHeader(signed.v2);
    assert.ok(message.x402Version === 2);
    const { nonce, validBefore } = signed.authorization;
    const forged = signOffer(message.accepted, stranger, { nonce, validBefore });
    return [v2(forged), v1(forged)];
  }).flat();
  const early = garbage.slice(0, 20).map((headers) => s.call('/gate', headers));
  const victim = s.call('/gate', v2(signed));
  const during = garbage.slice(20, 40).map((headers) => s.call('/gate', headers));
  await s.upstream.seen('/gate', 1);
  const running = garbage.slice(40).map((headers) => s.call('/gate', headers));
  const refused = await Promise.all([...early, ...during, ...running]);
  s.upstream.open();
  assert.equal((await victim).status, 200);
  for (const { status, headers } of refused) {
    assert.ok([402, 409, 503].includes(status), `status ${status}`);
    assert.equal(headers.get('x-payment-id'), null, 'a stranger is not told of the payment');
  }
  assert.equal(s.upstream.calls('/gate'), 1);
  assert.deepEqual(
    (await s.payments()).map(({ state }) => state),
    ['settled'],
  );
});

/** Notes what is asked of the ledger and of the chain, in the order of asking. */
function watched(ledger: Ledger, asked: string[]): Ledger {
  return new Proxy(ledger, {
    get(target, name, receiver) {
      const operation: unknown = Reflect.get(target, name, receiver);
      if (typeof operation !== 'function') return operation;
      return (...args: unknown[]) => {
        asked.push(String(name));
        return operation.apply(target, args);
      };
    },
  });
}

test('the claim is written before anybody is asked about the wallet, and before anything is held', async (t) => {
  const asked: string[] = [];
  const ledger = watched(await memoryLedger(t), asked);
  const desk = await openDesk(t, chain, {
    ledger,
    openChain: (options) => {
      const real = openEvmChain(options);
      return {
        ...real,
        snapshot: (...args) => {
          asked.push('ask the chain');
          return real.snapshot(...args);
        },
      };
    },
  });
  const signed = signOffer(await firstOffer(desk), account(chain, 28));
  await desk.grant(signed.v2);
  assert.deepEqual(asked, ['claim', 'ask the chain', 'holdExposure']);
});

test('what can be refused without asking anybody is refused without a write', async (t) => {
  const asked: string[] = [];
  const desk = await openDesk(t, chain, { ledger: watched(await memoryLedger(t), asked) });
  const offer = await firstOffer(desk);
  const payer = account(chain, 28);
  const wrong = [
    signOffer(offer, payer, { value: 5_999n }),
    signOffer(offer, payer, { value: 6_001n }),
    signOffer(offer, payer, { to: payer.address }),
    signOffer(offer, payer, { validBefore: 1n }),
    signOffer(offer, payer, { validBefore: 1n << 255n }),
    signOffer(offer, payer, { validAfter: 1n << 255n }),
    signOffer({ ...offer, amount: '1' }, payer, { value: 6_000n }),
    signOffer({ ...offer, extra: {} }, payer),
    signOffer({ ...offer, extra: { quote: 'made-up' } }, payer),
  ];
  for (const { v2 } of wrong)
    await assert.rejects(desk.present(v2), (error: { status?: number }) => error.status === 402);
  assert.deepEqual(new Set(asked), new Set(['findByCredential']), 'it was only looked up');
  for (const text of ['', '!', 'e30=', encodeHeader({ x402Version: 2 })])
    await assert.rejects(desk.present(text), (error: { status?: number }) => error.status === 400);
  assert.equal(asked.length, wrong.length);
});

test('a wallet payment beside a key, good or bad, is not claimed, and stays good for another request', async (t) => {
  const s = await attackedGateway(t, chain);
  let paid = 0n;
  for (const [key, status, runs] of [
    [s.key, 200, 1],
    [`cs_live_${'a'.repeat(23)}_${'b'.repeat(23)}`, 401, 0],
    ['made up', 401, 0],
  ] as const) {
    const before = s.upstream.calls('/echo');
    const signed = await s.sign('/echo');
    assert.equal((await s.call('/echo', { ...v2(signed), 'x-api-key': key })).status, status);
    assert.equal(s.upstream.calls('/echo') - before, runs);
    assert.equal(await s.received(), paid, 'the key comes first');
    assert.equal((await s.call('/echo', v2(signed))).status, 200);
    paid += PRICE;
    assert.equal(await s.received(), paid);
  }
});

test('a key without money beside a wallet payment: the wallet pays, once, however often it is repeated', async (t) => {
  const s = await attackedGateway(t, chain);
  for (let i = 0; i < 100; i++)
    if ((await s.call('/echo', { 'x-api-key': s.key })).status !== 200) break;
  assert.equal(await s.keyBalance(), '$0');
  const headers = { ...v2(await s.sign('/echo')), 'x-api-key': s.key };
  const before = s.upstream.calls('/echo');
  const all = await Promise.all(Array.from({ length: 20 }, () => s.call('/echo', headers)));
  assert.deepEqual(countEach(all.map(({ status }) => status)), { 200: 20 });
  assert.equal(s.upstream.calls('/echo'), before + 1);
  assert.equal(await s.received(), PRICE);
});
