/** Nodes that answer in time and in good form what is not so. */

import assert from 'node:assert/strict';
import { it } from 'node:test';
import type { EvmDevnet } from '../../src/devnet/start-evm-devnet.ts';
import type { Hostility, Lie } from '../support/hostile-rpc.ts';
import {
  aboutContracts,
  eventsWithoutSuccess,
  logsOfGarbage,
  successWithoutEvents,
} from '../support/node-lies.ts';
import { until } from '../support/until.ts';
import {
  assertBooksMatch,
  assertOthersServe,
  assertTryAgain,
  newWallet,
  type OutsideStage,
  outsideStage,
  PRICE,
  paymentIn,
  payWhile,
  sendUntilServed,
} from './outside-stage.ts';

const lie = (about: Lie): Hostility => ({ kind: 'lie', about });
const HOUR_SECONDS = 3_600n;
const COIN_AT_START = 10_000n * 10n ** 18n;

export function liesBeforeTheWork(chain: () => EvmDevnet): void {
  for (const [name, about, code] of [
    ['that the wallet is empty', { balance: 0n }, 'insufficient_funds'],
    ['that the authorization is used', { used: true }, 'invalid_exact_evm_nonce_already_used'],
  ] as const)
    it(`before the work, a node lies ${name}: refused in words before anything runs, and welcome with the same signature later`, async (t) => {
      const s = await outsideStage(t, chain());
      const headers = await s.sign('/echo');
      s.node.set('eth_call', lie(aboutContracts(about)));
      const refused = await s.send('/echo', headers);
      assert.deepEqual([refused.status, refused.code], [402, code]);
      assert.equal(s.upstream.calls('/echo'), 0);
      assert.deepEqual(await s.payments(), []);
      s.node.honest();
      await sendUntilServed(s, '/echo', headers);
      await assertBooksMatch(s, 1);
    });

  for (const [ahead, taken] of [
    [45n, false],
    [-45n, false],
    [5n, true],
    [-5n, true],
  ] as const)
    it(`before the work, a node lies about the time, by ${ahead} s: ${taken ? 'taken' : 'no payment is taken'}`, async (t) => {
      const s = await outsideStage(t, chain());
      const headers = await s.sign('/echo');
      s.node.set('eth_call', lie(aboutContracts({ aheadSeconds: ahead })));
      const seen = await s.send('/echo', headers);
      if (!taken) assertTryAgain(seen);
      s.node.honest();
      await sendUntilServed(s, '/echo', headers);
      await assertBooksMatch(s, 1);
    });

  it('before the work, a node lies that an empty wallet is rich: the token itself refuses, and nothing runs', async (t) => {
    const s = await outsideStage(t, chain(), { payer: newWallet() });
    const headers = await s.sign('/echo');
    s.node.set('eth_call', lie(aboutContracts({ balance: 10n ** 12n })));
    assert.equal((await s.send('/echo', headers)).status, 402);
    assert.equal(s.upstream.calls('/echo'), 0);
    assert.deepEqual(await s.payments(), []);
  });

  it('before the work, a node lies about everything an empty wallet needs: what is served for nothing stays within the exposure limit', async (t) => {
    const over = { exposure: { perPayer: '$0.02', perNetwork: '$1' } };
    const s = await outsideStage(t, chain(), { over, payer: newWallet() });
    s.node.set('eth_call', lie(aboutContracts({ balance: 10n ** 12n, simulates: true })));
    s.node.set(
      'eth_estimateGas',
      lie(() => '0x14c08'),
    );
    s.node.set('eth_sendRawTransaction', { kind: 'swallow' });
    const signed = [];
    for (let i = 0; i < 4; i++) signed.push(await s.sign('/echo'));
    const seen = await Promise.all(signed.map((headers) => s.send('/echo', headers)));
    assert.deepEqual(seen.map(({ status }) => status).sort(), [200, 200, 503, 503]);
    for (const one of seen) if (one.status === 503) assertTryAgain(one);
    assert.equal(await s.received(), 0n);
  });
}

export function liesWhileTheMoneyMoves(chain: () => EvmDevnet): void {
  const stage = (t: Parameters<typeof outsideStage>[0]) => outsideStage(t, chain());

  for (const [name, method, about] of [
    ['that it succeeded without an event', 'eth_getTransactionReceipt', successWithoutEvents],
    ['that it failed with its events', 'eth_getTransactionReceipt', eventsWithoutSuccess],
    ['that there is no receipt', 'eth_getTransactionReceipt', () => null],
    [
      'that a number is a word',
      'eth_getTransactionReceipt',
      () => ({ blockNumber: 'x', logs: [] }),
    ],
  ] as const)
    it(`while the money moves, a node lies ${name}: not settled and not failed until it tells the truth`, async (t) => {
      const s = await stage(t);
      const headers = await s.sign('/gate');
      const unused = lie(aboutContracts({ used: false }));
      const seen = await payWhile(s, headers, () => {
        s.node.set(method, lie(about));
        s.node.set('eth_call', unused);
      });
      assert.deepEqual([seen.status, seen.receipt?.success], [200, false]);
      await paymentIn(s, 'settlement_unknown');
      await assertOthersServe(s);
      s.node.honest();
      await paymentIn(s, 'settled');
      await assertBooksMatch(s, 1);
    });

  it('while the money moves, a node lies that the authorization is used, and shows no log: not settled until it does', async (t) => {
    const s = await stage(t);
    const headers = await s.sign('/gate');
    const seen = await payWhile(s, headers, () => {
      s.node.set('eth_sendRawTransaction', { kind: 'swallow' });
      s.node.set('eth_call', lie(aboutContracts({ used: true })));
    });
    assert.deepEqual([seen.status, seen.receipt?.success], [200, false]);
    await paymentIn(s, 'settlement_unknown');
    s.node.honest();
    await paymentIn(s, 'settled');
    await assertBooksMatch(s, 1);
  });

  it('while the money moves, a node lies by showing an old view of the chain: nothing is sold twice, and all of it settles', async (t) => {
    const s = await stage(t);
    const block = BigInt(String(await chain().rpc('eth_blockNumber')));
    const headers = await s.sign('/gate');
    const seen = await payWhile(s, headers, () => s.node.freezeView(block));
    assert.deepEqual([seen.status, seen.receipt?.success], [200, false]);
    assert.equal(await s.received(), PRICE, 'it moved, although the view does not show it');
    const again = await s.send('/gate', headers);
    assert.equal(again.status, 200);
    assert.equal(s.upstream.calls('/gate'), 1);
    s.node.honest();
    await paymentIn(s, 'settled');
    await assertBooksMatch(s, 1);
  });

  it('while the money moves, a node lies with logs that are no logs: 503 or pending, never "nothing was charged"', async (t) => {
    const s = await stage(t);
    const headers = await s.sign('/gate');
    const seen = await payWhile(s, headers, () =>
      s.node.set('eth_getTransactionReceipt', lie(logsOfGarbage)),
    );
    assert.equal(await s.received(), PRICE);
    assert.doesNotMatch(seen.text, /Nothing was charged/);
    assert.ok(seen.status === 200 || seen.status === 503, `status ${seen.status}`);
  });

  it('while the money moves, a node lies that an hour has passed: its clock alone declares no authorization expired', async (t) => {
    const s = await stage(t);
    const headers = await s.sign('/gate');
    const seen = await payWhile(s, headers, () => {
      const about = aboutContracts({ used: false, aheadSeconds: HOUR_SECONDS });
      s.node.set('eth_call', lie(about));
      s.node.set(
        'eth_getTransactionReceipt',
        lie(() => null),
      );
    });
    assert.equal(await s.received(), PRICE);
    assert.notEqual(seen.status, 402);
    s.node.honest();
    await paymentIn(s, 'settled', 3_000);
  });

  it('while the money moves, a node lies about the fees: the settlement key is not emptied for the price of a cent', async (t) => {
    const s = await stage(t);
    s.node.set(
      'eth_maxPriorityFeePerGas',
      lie(() => '0x38d7ea4c68000'),
    );
    const headers = await s.sign('/gate');
    const coin = async (): Promise<bigint> =>
      BigInt(String(await chain().rpc('eth_getBalance', [s.settler.address, 'latest'])));
    assert.equal((await payWhile(s, headers, () => {})).status, 200);
    s.node.honest();
    await paymentIn(s, 'settled');
    const spent = COIN_AT_START - (await coin());
    assert.ok(spent < 10n ** 17n, `${spent / 10n ** 18n} ETH for one cent`);
  });
}

export function swallowedTransactions(chain: () => EvmDevnet): void {
  const swallow = (s: OutsideStage): void =>
    s.node.set('eth_sendRawTransaction', { kind: 'swallow' });

  it('a node takes a transaction and drops it: the very same transaction is sent again, by the worker alone', async (t) => {
    const s = await outsideStage(t, chain());
    const headers = await s.sign('/gate');
    const seen = await payWhile(s, headers, () => swallow(s));
    assert.deepEqual([seen.status, seen.receipt?.success], [200, false]);
    const { id } = await paymentIn(s, 'settlement_unknown');
    const job = await s.gateway.ledger.findJob(id);
    s.node.honest();
    const settled = await paymentIn(s, 'settled');
    assert.equal(settled.transaction, job?.transaction?.hash);
    await assertBooksMatch(s, 1);
  });

  it('a node takes a transaction and passes it on without a word: it is found by its receipt', async (t) => {
    const s = await outsideStage(t, chain());
    const headers = await s.sign('/gate');
    const seen = await payWhile(s, headers, () =>
      s.node.set('eth_sendRawTransaction', { kind: 'deaf' }),
    );
    assert.equal(seen.status, 200);
    await paymentIn(s, 'settled');
    await assertBooksMatch(s, 1);
  });

  it('a node takes a transaction and drops those of many: beyond the exposure limit answers wait, and each is fetched once it is paid', async (t) => {
    const over = { exposure: { perPayer: '$0.02', perNetwork: '$1' } };
    const s = await outsideStage(t, chain(), { over });
    swallow(s);
    const signed = [];
    for (let i = 0; i < 4; i++) signed.push(await s.sign('/echo'));
    const seen = await Promise.all(signed.map((headers) => s.send('/echo', headers)));
    assert.deepEqual(seen.map(({ status }) => status).sort(), [200, 200, 503, 503]);
    for (const one of seen) if (one.status === 503) assertTryAgain(one);
    s.node.honest();
    for (const headers of signed) await sendUntilServed(s, '/echo', headers);
    assert.equal(s.upstream.calls('/echo'), 4);
    await allSettled(s, 4);
  });

  it('a node takes a transaction and drops those of two wallets: the limit of the network counts both', async (t) => {
    const over = { exposure: { perPayer: '$1', perNetwork: '$0.01' } };
    const s = await outsideStage(t, chain(), { over });
    swallow(s);
    const other = newWallet();
    await chain().mint(other.address, PRICE);
    const signed = [await s.sign('/echo'), await s.sign('/echo', other.privateKey)];
    const seen = await Promise.all(signed.map((headers) => s.send('/echo', headers)));
    assert.deepEqual(seen.map(({ status }) => status).sort(), [200, 503]);
    s.node.honest();
    await allSettled(s, 2);
  });
}

async function allSettled(s: OutsideStage, count: number): Promise<void> {
  await until(async () => (await s.payments()).every(({ state }) => state === 'settled'));
  await assertBooksMatch(s, count);
}
