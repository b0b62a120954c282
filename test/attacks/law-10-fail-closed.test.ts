/**
 * Law 10: what cannot check takes no payment and serves nothing, and everything else goes on. What would break it: code
 * that throws and is taken for a yes, a failure that looks like a bad payment, one dead network that stops the others.
 *
 * More attacks on it: attacks/store-fails (every operation of the ledger), attacks/broken-inside (full disk, read-only
 * database, dead thread), attacks/outside-nodes and attacks/outside-facilitators, attacks/outside-chain (clocks).
 */

import assert from 'node:assert/strict';
import crypto from 'node:crypto';
import { syncBuiltinESMExports } from 'node:module';
import { after, before, type TestContext, test } from 'node:test';
import { type EvmDevnet, startEvmDevnet } from '../../src/devnet/start-evm-devnet.ts';
import { decodePaymentRequired } from '../../src/rails/x402/protocol.ts';
import { attackedGateway, PRICE, v1, v2 } from '../support/attacked-gateway.ts';
import { freePort } from '../support/free-port.ts';
import { startHostileRpc } from '../support/hostile-rpc.ts';

let chain: EvmDevnet;
before(async () => {
  chain = await startEvmDevnet({ accountsCount: 20 });
});
after(() => chain.close());

const PIECES = ['hash', 'createHash', 'createHmac', 'timingSafeEqual', 'randomBytes'] as const;

/** From now until the returned function is called, the n-th use of a piece of `node:crypto` throws. */
function breakPiece(t: TestContext, piece: (typeof PIECES)[number], nth: number): () => boolean {
  const real = crypto[piece] as (...args: unknown[]) => unknown;
  let used = 0;
  const put = (value: unknown): void => {
    Reflect.set(crypto, piece, value);
    syncBuiltinESMExports();
  };
  put((...args: unknown[]) => {
    used += 1;
    if (used === nth) throw new TypeError(`${piece} is broken`);
    return real(...args);
  });
  t.after(() => put(real));
  return () => {
    put(real);
    return used >= nth;
  };
}

test('whichever piece of cryptography throws, at whichever use, nothing is served that is not paid for', async (t) => {
  const s = await attackedGateway(t, chain);
  let broken = 0;
  for (const piece of PIECES)
    for (const nth of [1, 2, 3])
      for (const way of ['key', 'once', 'v2', 'v1', 'unpaid'] as const)
        await t.test(`${piece}, use ${nth}, paid by ${way}`, async (one) => {
          const proofs = {
            key: { 'x-api-key': s.key },
            once: { 'x-api-key': s.key, 'idempotency-key': `${piece}-${nth}` },
            v2: way === 'v2' ? v2(await s.sign('/echo')) : {},
            v1: way === 'v1' ? v1(await s.sign('/echo')) : {},
            unpaid: {},
          };
          const [ran, settled] = [s.upstream.calls('/echo'), await settledCount()];
          const mend = breakPiece(one, piece, nth);
          const seen = await s.call('/echo', proofs[way]);
          const hasBroken = mend();
          const paid = (await settledCount()) - settled;
          if (seen.status === 200) return assert.equal(paid, 1);
          assert.equal(paid, 0);
          assert.equal(s.upstream.calls('/echo'), ran, 'nothing ran');
          if (!hasBroken) return assert.deepEqual([way, seen.status], ['unpaid', 402]);
          broken += 1;
          assert.ok(seen.status >= 500, `${seen.status} ${seen.text}`);
          assert.doesNotMatch(seen.text, /broken|TypeError|"accepts"/, 'no inside shows');
          if (way === 'unpaid' || way === 'key') return;
          assert.equal((await s.call('/echo', proofs[way])).status, 200, 'as good as new');
        });
  assert.ok(broken > 10, 'something was broken');

  async function settledCount(): Promise<number> {
    return (await s.payments()).filter(({ state }) => state === 'settled').length;
  }
});

test('of two networks one is dead: the other is offered and served, and payments on the dead one are told to wait', async (t) => {
  const dead = 'eip155:137';
  const address = '0x3c499c542cEF5E3811e1192ce70d8cC03d5c3359';
  const payTo = { eip155: '0x00000000000000000000000000000000000000aa' } as const;
  const s = await attackedGateway(t, chain, {
    over: {
      payments: {
        x402: {
          payTo,
          networks: {
            [chain.network]: { rpc: chain.rpcUrl, settleWith: '${SETTLEMENT_KEY}', pollMs: 10 },
            [dead]: {
              rpc: `http://127.0.0.1:${await freePort()}`,
              settleWith: '${SETTLEMENT_KEY}',
              asset: { address, name: 'USD Coin', version: '2', decimals: 6, symbol: 'USDC' },
            },
          },
        },
      },
    },
  });
  const unpaid = await s.call('/echo');
  assert.equal(unpaid.status, 402);
  const { accepts } = decodePaymentRequired(unpaid.headers.get('payment-required') ?? '');
  assert.deepEqual(
    accepts.map(({ network }) => network),
    [chain.network],
  );
  const balance = () => chain.usdcBalance(payTo.eip155);
  const before = await balance();
  const good = await s.sign('/echo');
  const message = JSON.parse(Buffer.from(good.v2, 'base64').toString());
  message.accepted.network = dead;
  message.accepted.asset = address;
  const header = Buffer.from(JSON.stringify(message)).toString('base64');
  const onDead = await s.call('/echo', { 'payment-signature': header });
  assert.equal(onDead.status, 503, onDead.text);
  assert.match(onDead.headers.get('retry-after') ?? '', /^\d+$/);
  assert.equal((await s.call('/echo', v2(good))).status, 200);
  assert.equal((await balance()) - before, PRICE);
  assert.equal(s.upstream.calls('/echo'), 1);
});

test('an answer that was paid and is kept needs no chain: it is replayed while every node is down', async (t) => {
  const node = await startHostileRpc(t, chain.rpcUrl);
  const s = await attackedGateway(t, chain, { network: { rpc: node.url } });
  const [headers, later] = [v2(await s.sign('/echo')), v2(await s.sign('/echo'))];
  const first = await s.call('/echo', headers);
  node.set('*', { kind: 'reset' });
  assert.equal((await s.call('/echo', later)).status, 503);
  const again = await s.call('/echo', headers);
  assert.deepEqual([again.status, again.text], [200, first.text]);
});

test('no error page ever names a file, a stack, a key or an address of the inside', async (t) => {
  const s = await attackedGateway(t, chain);
  const pages = [
    await s.call('/nothing'),
    await s.call('/echo', { 'payment-signature': '!' }),
    await s.call('/reset', { 'x-api-key': s.key }),
    await s.call('/echo', { 'x-api-key': 'wrong' }),
    await s.call('/_pay/payments/none'),
    await s.call('/echo'),
  ];
  const inside = [s.settler.privateKey.slice(2), s.upstream.url.slice(7), chain.rpcUrl.slice(7)];
  for (const { text, headers, status } of pages) {
    const all = `${text}${JSON.stringify([...headers])}`;
    assert.doesNotMatch(all, /node_modules|\.ts:|\.js:|at \w+ \(|SQLITE|sqlite:/, `${status}`);
    for (const secret of inside) assert.ok(!all.includes(secret), `${status} shows ${secret}`);
  }
});
