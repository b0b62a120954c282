/** The chain itself: it stops, it is in another time than we are, it takes back what it said. */

import assert from 'node:assert/strict';
import { it, type TestContext } from 'node:test';
import { type EvmDevnet, startEvmDevnet } from '../../src/devnet/start-evm-devnet.ts';
import { until } from '../support/until.ts';
import {
  assertBooksMatch,
  assertOthersServe,
  assertTryAgain,
  outsideStage,
  PRICE,
  paymentIn,
  payWhile,
  sendUntilServed,
} from './outside-stage.ts';

/** A chain that no other test is on. */
async function ownChain(t: TestContext): Promise<EvmDevnet> {
  const chain = await startEvmDevnet({ accountsCount: 4 });
  t.after(() => chain.close());
  return chain;
}

const FIRST = { firstAccount: 1 } as const;

export function clocksThatDiffer(chain: () => EvmDevnet): void {
  // The newest block is up to a second old, which counts as a chain that is behind.
  for (const skewMs of [31_000, -33_000])
    it(`a clock ${skewMs / 1000} s off the chain's: no wallet pays until it is right, others are served`, async (t) => {
      let off = 0;
      const clock = { now: () => Date.now() + off };
      const s = await outsideStage(t, chain(), { gateway: { clock } });
      const headers = await s.sign('/echo');
      off = skewMs;
      assertTryAgain(await s.send('/echo', headers));
      const unpaid = await until(async () => {
        const seen = await s.send('/echo');
        return !seen.text.includes('"accepts"') && seen;
      });
      assert.equal(unpaid.status, 402);
      await assertOthersServe(s);
      assert.deepEqual(
        (await s.payments()).filter(({ rail }) => rail === 'x402'),
        [],
      );
      off = 0;
      await sendUntilServed(s, '/echo', headers);
      await assertBooksMatch(s, 1);
    });

  for (const skewMs of [5_000, -5_000])
    it(`a clock ${skewMs / 1000} s off the chain's: wallets pay as ever`, async (t) => {
      const clock = { now: () => Date.now() + skewMs };
      const s = await outsideStage(t, chain(), { gateway: { clock } });
      const seen = await s.send('/echo', await s.sign('/echo'));
      assert.deepEqual([seen.status, seen.receipt?.success], [200, true], seen.text);
      await assertBooksMatch(s, 1);
    });
}

export function chainsThatStop(): void {
  it('a chain that is frozen before the work: 503 in bounded time, others are served, all is well once it thaws', async (t) => {
    const chain = await ownChain(t);
    const s = await outsideStage(t, chain, { ...FIRST, rpc: () => chain.rpcUrl });
    const headers = await s.sign('/echo');
    chain.freeze();
    const refused = await s.send('/echo', headers);
    assertTryAgain(refused);
    assert.ok(refused.tookMs < 6_000, `${refused.tookMs} ms`);
    await assertOthersServe(s);
    chain.thaw();
    await sendUntilServed(s, '/echo', headers);
    await assertBooksMatch(s, 1);
  });

  it('a chain that is frozen during the work: the payer waits for nothing, pays once it thaws, and once', async (t) => {
    const chain = await ownChain(t);
    const s = await outsideStage(t, chain, { ...FIRST, rpc: () => chain.rpcUrl });
    const headers = await s.sign('/gate');
    const seen = await payWhile(s, headers, () => chain.freeze());
    assert.deepEqual([seen.status, seen.receipt?.errorReason], [200, 'settlement_pending']);
    await assertOthersServe(s);
    chain.thaw();
    await paymentIn(s, 'settled');
    assert.equal(s.upstream.calls('/gate'), 1);
    await assertBooksMatch(s, 1);
  });

  it('a chain that takes the block of a payment back before it is confirmed: the same transaction is sent again', async (t) => {
    const chain = await ownChain(t);
    const s = await outsideStage(t, chain, { ...FIRST, over: { confirmations: 3 } });
    await chain.rpc('evm_setAutomine', [true]);
    const headers = await s.sign('/echo');
    const seen = await s.send('/echo', headers);
    assert.deepEqual([seen.status, seen.receipt?.success], [200, false]);
    const { id } = await paymentIn(s, 'settlement_unknown');
    const hash = (await s.gateway.ledger.findJob(id))?.transaction?.hash;
    assert.equal(await s.received(), PRICE, 'mined once, not confirmed');
    await chain.rpc('anvil_reorg', [1, []]);
    assert.equal(await s.received(), 0n, 'the chain took it back');
    await chain.rpc('anvil_setIntervalMining', [1]);
    const settled = await paymentIn(s, 'settled');
    assert.equal(settled.transaction, hash);
    await assertBooksMatch(s, 1);
  });

  it('a chain that takes a settled payment back: the books keep it as settled, and later payments are not held up', async (t) => {
    const chain = await ownChain(t);
    const s = await outsideStage(t, chain, FIRST);
    await chain.rpc('evm_setAutomine', [true]);
    assert.equal((await s.send('/echo', await s.sign('/echo'))).receipt?.success, true);
    await chain.rpc('anvil_reorg', [1, []]);
    await chain.rpc('anvil_setIntervalMining', [1]);
    assert.equal(await s.received(), 0n);
    // What is final is not looked at again: how deep that is, `confirmations` says.
    assert.equal((await paymentIn(s, 'settled')).state, 'settled');
    assert.deepEqual(await s.gateway.ledger.audit(), []);

    const next = await s.send('/other', await s.sign('/other'));
    assert.equal(next.status, 200);
    await until(async () => (await s.payments()).every(({ state }) => state === 'settled'), {
      timeoutMs: 15_000,
      what: 'the next payment, settled',
    });
    // Its transaction is still known, and is sent again so that its nonce is not missing: the money comes back.
    await until(async () => (await s.received()) === 2n * PRICE, {
      what: 'both payments on the chain',
    });
  });
}
