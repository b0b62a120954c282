/** Nodes that are silent, slow or mad: before the work, while its money moves, and first in a list. */

import assert from 'node:assert/strict';
import { it } from 'node:test';
import type { EvmDevnet } from '../../src/devnet/start-evm-devnet.ts';
import { freePort } from '../support/free-port.ts';
import type { Hostility } from '../support/hostile-rpc.ts';
import {
  assertBooksMatch,
  assertOthersServe,
  assertTryAgain,
  outsideStage,
  paymentIn,
  payWhile,
  sendUntilServed,
} from './outside-stage.ts';

const MAD: readonly (readonly [name: string, hostility: Hostility])[] = [
  ['hangs', { kind: 'hang' }],
  ['closes every connection', { kind: 'reset' }],
  ['answers no JSON', { kind: 'garbage' }],
  ['answers under other ids', { kind: 'wrong-id' }],
  ['refuses everything', { kind: 'error', code: -32000, message: 'no' }],
  ['answers a redirect', { kind: 'status', status: 307 }],
];

const HONEST: Hostility = { kind: 'honest' };
/** What a gateway asks before it has a signed transaction to store. */
const BEFORE_SIGNING = [
  'eth_estimateGas',
  'eth_getBlockByNumber',
  'eth_maxPriorityFeePerGas',
  'eth_getTransactionCount',
];
/** Enough to prove that nobody reads without end, and little enough to survive when somebody does. */
const HUGE_BYTES = 32 * 1024 * 1024;

export function nodesBeforeTheWork(chain: () => EvmDevnet): void {
  for (const [name, hostility] of MAD)
    it(`before the work, a node ${name}: 503 and nothing runs, others are served, and the same request is served later`, async (t) => {
      const s = await outsideStage(t, chain());
      const headers = await s.sign('/echo');
      s.node.set('*', hostility);
      assertTryAgain(await s.send('/echo', headers));
      await assertOthersServe(s);
      assert.equal((await s.payments()).filter(({ rail }) => rail === 'x402').length, 0);
      // Not even a price is named that could not be taken.
      const unpaid = await s.send('/echo');
      assert.equal(unpaid.status, 402);
      assert.doesNotMatch(unpaid.text, /"accepts"/);
      assert.equal(s.upstream.calls('/echo'), 1, 'only the prepaid call ran');

      s.node.honest();
      await sendUntilServed(s, '/echo', headers);
      assert.equal(s.upstream.calls('/echo'), 2);
      await assertBooksMatch(s, 1);
    });

  it('before the work, a node is down, when wallets are the only rail: unpaid requests are 503 and free routes stand', async (t) => {
    const s = await outsideStage(t, chain(), { prepaid: false });
    s.node.set('*', { kind: 'reset' });
    assertTryAgain(await s.send('/echo'));
    assert.equal((await s.send('/free')).status, 200);
    s.node.honest();
    assert.equal((await sendUntilPriced(s)).status, 402);
  });

  it('before the work, a node answers without end, is not read without end', async (t) => {
    const s = await outsideStage(t, chain());
    const headers = await s.sign('/echo');
    s.node.set('eth_call', { kind: 'huge', bytes: HUGE_BYTES });
    assertTryAgain(await s.send('/echo', headers));
    assert.ok(s.node.bytesTaken() < HUGE_BYTES / 2, `${s.node.bytesTaken()} bytes were taken`);
  });
}

async function sendUntilPriced(s: { send: (path: string) => Promise<{ status: number }> }) {
  let seen = await s.send('/echo');
  while (seen.status === 503) seen = await s.send('/echo');
  return seen;
}

export function nodesWhileTheMoneyMoves(chain: () => EvmDevnet): void {
  for (const [at, [name, hostility]] of MAD.entries())
    for (const perPayer of at === 0 ? ['$1', '$0'] : [at % 2 === 0 ? '$1' : '$0'])
      it(`while the money moves, a node ${name}, with ${perPayer} of exposure: the payer is told to wait, not to sign, and pays once`, async (t) => {
        const over = { exposure: { perPayer, perNetwork: '$1' } };
        const s = await outsideStage(t, chain(), { over });
        const headers = await s.sign('/gate');
        const first = await payWhile(s, headers, () => {
          for (const method of BEFORE_SIGNING) s.node.set(method, HONEST);
          s.node.set('*', hostility);
        });
        if (perPayer === '$0') assertTryAgain(first);
        else {
          assert.equal(first.status, 200);
          const { success, errorReason } = first.receipt ?? {};
          assert.deepEqual([success, errorReason], [false, 'settlement_pending']);
        }
        const { id } = await paymentIn(s, 'settlement_unknown');
        const page = await s.send(`/_pay/payments/${id}`);
        assert.match(page.text, /"state":"settlement_unknown"/);
        await assertOthersServe(s);

        s.node.honest();
        await paymentIn(s, 'settled');
        const served = await sendUntilServed(s, '/gate', headers);
        assert.equal(served.receipt?.success, true);
        assert.equal(s.upstream.calls('/gate'), 1);
        await assertBooksMatch(s, 1);
      });

  for (const [name, hostility] of MAD.slice(1, 3))
    it(`while the money moves, a node ${name} already when the transfer is to be signed: it is signed and settled later`, async (t) => {
      const s = await outsideStage(t, chain());
      const headers = await s.sign('/gate');
      const first = await payWhile(s, headers, () => s.node.set('*', hostility));
      assert.equal(first.status, 200);
      assert.equal(first.receipt?.errorReason, 'settlement_pending');
      s.node.honest();
      await paymentIn(s, 'settled', 5_000);
      await assertBooksMatch(s, 1);
    });

  it('while the money moves, a node hangs, keeps the answer waiting no longer than timeouts.settle says', async (t) => {
    const s = await outsideStage(t, chain());
    const headers = await s.sign('/gate');
    const first = await payWhile(s, headers, () => {
      for (const method of BEFORE_SIGNING) s.node.set(method, HONEST);
      s.node.set('*', { kind: 'hang' });
    });
    assert.equal(first.status, 200);
    assert.ok(first.tookMs < 3_000, `the answer took ${Math.round(first.tookMs)} ms`);
  });

  it('while the money moves, a node answers every call twice, is listened to once', async (t) => {
    const s = await outsideStage(t, chain());
    const headers = await s.sign('/gate');
    const turn = (): void => s.node.set('eth_sendRawTransaction', { kind: 'twice' });
    assert.equal((await payWhile(s, headers, turn)).status, 200);
    s.node.honest();
    await paymentIn(s, 'settled');
    await assertBooksMatch(s, 1);
  });
}

export function nodesInAList(chain: () => EvmDevnet): void {
  it('the first node of a list was never there: payments are served by the second, and settled', async (t) => {
    const dead = `http://127.0.0.1:${await freePort()}`;
    const s = await outsideStage(t, chain(), { rpc: (node) => [dead, node] });
    const seen = await s.send('/echo', await s.sign('/echo'));
    assert.deepEqual([seen.status, seen.receipt?.success], [200, true]);
    await assertBooksMatch(s, 1);
  });

  it('the first node of a list dies while the money moves: the second tells, and the payer sees nothing of it', async (t) => {
    const s = await outsideStage(t, chain(), { rpc: (node) => [node, chain().rpcUrl] });
    const headers = await s.sign('/gate');
    const seen = await payWhile(s, headers, () => s.node.set('*', { kind: 'reset' }));
    assert.deepEqual([seen.status, seen.receipt?.success], [200, true]);
    await assertBooksMatch(s, 1);
  });

  it('the first node of a list hangs: the second answers once the first had its time, and is asked first from then on', async (t) => {
    const s = await outsideStage(t, chain(), { rpc: (node) => [node, chain().rpcUrl] });
    const headers = [await s.sign('/echo'), await s.sign('/echo')];
    s.node.set('*', { kind: 'hang' });
    const [first, second] = [await s.send('/echo', headers[0]), await s.send('/echo', headers[1])];
    assert.deepEqual([first.status, second.status], [200, 200]);
    assert.ok(second.tookMs < first.tookMs / 2, `${first.tookMs} ms, then ${second.tookMs} ms`);
    await assertBooksMatch(s, 2);
  });
}
