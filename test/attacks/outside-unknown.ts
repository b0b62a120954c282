/** A settlement whose fate nobody knows, from the payer's side: seen, fetched, resolved in every way, charged once. */

import assert from 'node:assert/strict';
import { it, type TestContext } from 'node:test';
import type { EvmDevnet } from '../../src/devnet/start-evm-devnet.ts';
import { until } from '../support/until.ts';
import {
  assertBooksMatch,
  assertTryAgain,
  newWallet,
  type OutsideStage,
  outsideStage,
  PRICE,
  paymentIn,
  type Seen,
  sendUntilServed,
  withKey,
} from './outside-stage.ts';

interface Unknown {
  readonly s: OutsideStage;
  readonly headers: Headers;
  readonly id: string;
  readonly seen: Seen;
}

/** A payment whose transaction a node has swallowed. */
async function unknownPayment(
  t: TestContext,
  chain: EvmDevnet,
  perPayer: '$0' | '$1',
  version: 'sign' | 'signV1' = 'sign',
): Promise<Unknown> {
  const s = await outsideStage(t, chain, {
    over: { exposure: { perPayer, perNetwork: '$1' }, quotes: { ttl: '1s' } },
  });
  s.node.set('eth_sendRawTransaction', { kind: 'swallow' });
  const headers = await s[version]('/echo');
  const seen = await s.send('/echo', headers);
  if (perPayer === '$0') assertTryAgain(seen);
  else assert.equal(seen.status, 200);
  const { id } = await paymentIn(s, 'settlement_unknown');
  return { s, headers, id, seen };
}

export function unknownSettlements(chain: () => EvmDevnet): void {
  for (const perPayer of ['$1', '$0'] as const) {
    it(`an unknown settlement with ${perPayer} of exposure is seen by its id, and its answer is fetched by its payer alone`, async (t) => {
      const { s, headers, id, seen } = await unknownPayment(t, chain(), perPayer);
      const page = JSON.parse((await s.send(`/_pay/payments/${id}`)).text) as object;
      assert.partialDeepStrictEqual(page, { id, state: 'settlement_unknown', rail: 'x402' });
      s.node.honest();
      await paymentIn(s, 'settled');
      const fetched = await s.send(`/_pay/payments/${id}/answer`, headers);
      assert.deepEqual([fetched.status, fetched.state], [200, 'settled']);
      assert.match(fetched.text, /"url":"\/echo"/);
      if (perPayer === '$1') assert.equal(fetched.text, seen.text);
      for (const others of [new Headers(), withKey(s), await s.sign('/echo')])
        assert.equal((await s.send(`/_pay/payments/${id}/answer`, others)).status, 401);
      await assertBooksMatch(s, 1);
    });

    it(`an unknown settlement with ${perPayer} of exposure: its answer page says later, never "sign a new one"`, async (t) => {
      const { s, headers, id } = await unknownPayment(t, chain(), perPayer);
      const page = await s.send(`/_pay/payments/${id}/answer`, headers);
      assert.doesNotMatch(page.text, /sign a new one/);
      if (page.status !== 200) assertTryAgain(page);
    });

    it(`an unknown settlement with ${perPayer} of exposure is resolved by repeating the request, when its quote has expired too`, async (t) => {
      const { s, headers } = await unknownPayment(t, chain(), perPayer);
      const all = await Promise.all(Array.from({ length: 10 }, () => s.send('/echo', headers)));
      for (const one of all) {
        if (perPayer === '$1') assert.equal(one.status, 200);
        else assertTryAgain(one);
      }
      s.node.honest();
      const served = await sendUntilServed(s, '/echo', headers);
      await paymentIn(s, 'settled');
      assert.match(served.text, /"url":"\/echo"/);
      assert.equal(s.upstream.calls('/echo'), 1);
      await assertBooksMatch(s, 1);
    });

    it(`an unknown settlement with ${perPayer} of exposure is resolved by the next process, and its answer is still there`, async (t) => {
      const { s, headers, id } = await unknownPayment(t, chain(), perPayer);
      const job = await s.gateway.ledger.findJob(id);
      await s.restart();
      assert.equal((await paymentIn(s, 'settlement_unknown')).id, id);
      s.node.honest();
      const settled = await paymentIn(s, 'settled');
      assert.equal(settled.transaction, job?.transaction?.hash, 'the stored transaction, no other');
      await sendUntilServed(s, '/echo', headers);
      assert.equal(s.upstream.calls('/echo'), 1);
      await assertBooksMatch(s, 1);
    });
  }

  it('an unknown settlement pays no other request, and its wallet promises no cent twice', async (t) => {
    const payer = newWallet();
    await chain().mint(payer.address, 2n * PRICE);
    const s = await outsideStage(t, chain(), { payer });
    s.node.set('eth_sendRawTransaction', { kind: 'swallow' });
    const headers = await s.sign('/echo');
    assert.equal((await s.send('/echo', headers)).status, 200);
    assert.equal((await s.send('/echo?other', headers)).status, 409);
    assert.equal((await s.send('/echo', await s.sign('/echo'))).status, 200);
    const third = await s.send('/echo', await s.sign('/echo'));
    assert.deepEqual([third.status, third.code], [402, 'insufficient_funds']);
    assert.match(third.text, /0\.02 USDC pays for other calls/);
    assert.equal(s.upstream.calls('/echo'), 2);
    s.node.honest();
    await until(async () => (await s.payments()).every(({ state }) => state === 'settled'));
    await assertBooksMatch(s, 2);
  });

  for (const version of ['sign', 'signV1'] as const)
    it(`a withheld answer names its payment, so that its payer can fetch it: x402 ${version === 'sign' ? 'v2' : 'v1'}`, async (t) => {
      const { s, headers, id, seen } = await unknownPayment(t, chain(), '$0', version);
      s.node.honest();
      await paymentIn(s, 'settled');
      assert.equal(seen.paymentId, id);
      const fetched = await s.send(`/_pay/payments/${seen.paymentId}/answer`, headers);
      assert.equal(fetched.status, 200);
    });

  it('a v1 payer whose answer was withheld is never told to sign again for what it has paid', async (t) => {
    const { s, headers } = await unknownPayment(t, chain(), '$0', 'signV1');
    s.node.honest();
    await paymentIn(s, 'settled');
    const again = await s.send('/echo', headers);
    assert.doesNotMatch(again.text, /sign a new one/);
  });
}
