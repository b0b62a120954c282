/**
 * Law 5: claims outlive credentials, and deadlines fit. What would break it: a signature that expires between the
 * work and its settlement, one that outlives the memory of its claim, and a clock that somebody else sets.
 *
 * More attacks on it: rails/x402-authorize (clocks apart, offers of the past), rails/x402-expiry, attacks/outside-chain
 * (nodes whose time is not ours), attacks/client-leaves (a body that is sent slowly).
 */

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { type EvmDevnet, startEvmDevnet } from '../../src/devnet/start-evm-devnet.ts';
import { attackedGateway, PRICE, v1, v2 } from '../support/attacked-gateway.ts';

let chain: EvmDevnet;
before(async () => {
  chain = await startEvmDevnet({ accountsCount: 10 });
});
after(() => chain.close());

const DAY_MS = 86_400_000;

test('the last second of validity that fits work and settlement is taken, one less is refused; and so at the far end', async (t) => {
  const nowMs = Math.floor(Date.now() / 1000) * 1000;
  const s = await attackedGateway(t, chain, {
    gateway: { clock: { now: () => nowMs } },
    over: { timeouts: { settle: '2s' } },
  });
  const { maxTimeoutSeconds } = await s.offer('/echo');
  const second = BigInt(nowMs / 1000);
  // The work's 5 s, the settlement's 2 s, and 20 s for a block to take it.
  const earliest = second + 27n;
  const latest = second + BigInt(maxTimeoutSeconds) + 600n;
  for (const [signing, status] of [
    [{ validBefore: earliest }, 200],
    [{ validBefore: earliest - 1n }, 402],
    [{ validBefore: latest }, 200],
    [{ validBefore: latest + 1n }, 402],
    [{ validBefore: second }, 402],
    [{ validBefore: 0n }, 402],
    [{ validBefore: (1n << 256n) - 1n }, 402],
    [{ validAfter: second - 20n }, 200],
    [{ validAfter: second }, 402],
    [{ validAfter: second + 3_600n, validBefore: latest }, 402],
    [{ validAfter: (1n << 256n) - 1n }, 402],
    [{ validAfter: earliest, validBefore: earliest - 1n }, 402],
  ] as const) {
    const name = `${signing.validAfter ?? 0n} to ${signing.validBefore ?? 'the usual'}`;
    const seen = await s.call('/echo', v2(await s.sign('/echo', signing)));
    assert.equal(seen.status, status, `${name}: ${seen.text}`);
    if (status === 402) assert.match(seen.code ?? '', /valid_(before|after)/, name);
  }
  assert.equal(s.upstream.calls('/echo'), 3);
});

test('a route that takes longer asks for a longer signature, and refuses the one that is long enough for a short route', async (t) => {
  const s = await attackedGateway(t, chain, {
    over: {
      routes: {
        'GET /echo': { upstream: 'api', price: '$0.01', timeout: '2s' },
        'GET /gate': { upstream: 'api', price: '$0.01', timeout: '5m' },
      },
    },
  });
  const [short, long] = [await s.offer('/echo'), await s.offer('/gate')];
  assert.ok(long.maxTimeoutSeconds >= short.maxTimeoutSeconds + 298);
  const validBefore = BigInt(Math.floor(Date.now() / 1000) + short.maxTimeoutSeconds);
  const seen = await s.call('/gate', v2(await s.sign('/gate', { validBefore })));
  assert.equal(seen.status, 402);
  assert.equal(s.upstream.calls('/gate'), 0);
});

test('a signature of last year is known for ever: after its expiry, its quote, its answer and a restart it runs nothing', async (t) => {
  let laterMs = 0;
  const s = await attackedGateway(t, chain, {
    gateway: { clock: { now: () => Date.now() + laterMs } },
  });
  const [two, one] = [v2(await s.sign('/echo')), v1(await s.sign('/echo'))];
  assert.equal((await s.call('/echo', two)).status, 200);
  assert.equal((await s.call('/echo', one)).status, 200);
  for (const days of [1, 365]) {
    laterMs = days * DAY_MS;
    await s.restart();
    for (const headers of [two, one]) {
      const seen = await s.call('/echo', headers);
      assert.ok(seen.status === 410 || (seen.status === 200 && headers === two), seen.text);
      assert.doesNotMatch(seen.text, /"accepts"/);
    }
  }
  assert.equal(s.upstream.calls('/echo'), 2);
  assert.equal(await s.received(), 2n * PRICE);
});

test('an authorization that is good again after its refusal is taken: a refusal leaves no claim', async (t) => {
  let laterMs = 0;
  const s = await attackedGateway(t, chain, {
    gateway: { clock: { now: () => Date.now() + laterMs } },
  });
  laterMs = 20_000;
  const signed = await s.sign('/echo');
  laterMs = -20_000;
  const early = await s.sign('/echo', {
    validAfter: BigInt(Math.floor(Date.now() / 1000) - 10),
  });
  assert.equal((await s.call('/echo', v2(early))).status, 402, 'not yet valid');
  laterMs = 0;
  assert.equal((await s.call('/echo', v2(early))).status, 200);
  assert.equal((await s.call('/echo', v2(signed))).status, 200);
  assert.equal((await s.payments()).length, 2);
});
