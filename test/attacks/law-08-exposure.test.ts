/**
 * Law 8: exposure is counted. What would break it: a wallet that promises one cent twice, one that is emptied after it
 * was looked at, a limit that is counted per route, per version or per process.
 *
 * More attacks on it: gateway/x402 (five cents, a hundred requests), attacks/outside-lies and attacks/outside-unknown
 * (limits of payer and network, cents promised twice), ledger/wallet (concurrent holds), rails/x402-authorize.
 */

import assert from 'node:assert/strict';
import { after, before, describe, it, type TestContext } from 'node:test';
import {
  type DevnetAccount,
  type EvmDevnet,
  startEvmDevnet,
} from '../../src/devnet/start-evm-devnet.ts';
import { sendTransfer } from '../chains/evm-payer.ts';
import {
  type AttackedGateway,
  attackedGateway,
  countEach,
  PRICE,
  v1,
  v2,
} from '../support/attacked-gateway.ts';
import { type HostileRpc, startHostileRpc } from '../support/hostile-rpc.ts';
import { until } from '../support/until.ts';
import { newWallet } from './outside-stage.ts';

let chain: EvmDevnet;
before(async () => {
  chain = await startEvmDevnet({ accountsCount: 30 });
});
after(() => chain.close());

const STRANGER = 29;

async function wallet(atoms: bigint): Promise<DevnetAccount> {
  const made = newWallet();
  await chain.mint(made.address, atoms);
  return made;
}

/** A gateway whose node swallows every transaction, so that nothing that is served is ever final. */
async function openSettlements(
  t: TestContext,
  exposure: { perPayer: string; perNetwork: string },
): Promise<[AttackedGateway, HostileRpc]> {
  const node = await startHostileRpc(t, chain.rpcUrl);
  const over = { exposure, timeouts: { settle: '200ms' } } as const;
  const s = await attackedGateway(t, chain, { network: { rpc: node.url }, over });
  node.set('eth_sendRawTransaction', { kind: 'swallow' });
  return [s, node];
}
describe('what is served and not final', { concurrency: 4 }, () => {
  it('one cent promised on every route, in both versions and at once pays exactly one of them', async (t) => {
    const s = await attackedGateway(t, chain);
    const by = await wallet(PRICE);
    const paths = ['/echo', '/other', '/sse', '/status/200', '/large/10'];
    const calls = [];
    for (const path of paths) {
      calls.push([path, v2(await s.sign(path, { by }))] as const);
      calls.push([path, v1(await s.sign(path, { by }))] as const);
    }
    const all = await Promise.all(calls.map(([path, headers]) => s.call(path, headers)));
    assert.deepEqual(countEach(all.map(({ status }) => status)), { 200: 1, 402: 9 });
    for (const { status, code } of all)
      if (status === 402) assert.equal(code, 'insufficient_funds');
    assert.equal(await s.received(), PRICE);
    assert.equal((await s.payments()).length, 1, 'what is refused leaves nothing');
  });

  it('a wallet that is emptied while its work runs gets no answer, although the limits would allow trust; filled again, it does', async (t) => {
    const s = await attackedGateway(t, chain, {
      over: { timeouts: { settle: '300ms' }, exposure: { perPayer: '$100', perNetwork: '$100' } },
    });
    const by = await wallet(PRICE);
    const headers = v2(await s.sign('/gate', { by }));
    const drain = await s.sign('/gate', { by, to: s.settler.address });
    const answer = s.call('/gate', headers);
    await s.upstream.seen('/gate', 1);
    await sendTransfer(chain, STRANGER, { ...drain.authorization, signature: drain.signature });
    s.upstream.open();
    const seen = await answer;
    assert.deepEqual([seen.status, seen.code], [503, 'settlement_pending']);
    assert.doesNotMatch(seen.text, /"url"/);
    assert.equal((await s.call('/gate', headers)).status, 503);
    await chain.mint(by.address, PRICE);
    await until(async () => (await s.call('/gate', headers)).status === 200, {
      what: 'the answer',
    });
    assert.equal(s.upstream.calls('/gate'), 1);
    assert.equal(await s.received(), PRICE);
  });

  it('the limit of a payer counts all his routes and both versions together', async (t) => {
    const [s, node] = await openSettlements(t, { perPayer: '$0.03', perNetwork: '$1' });
    const calls = [];
    for (const path of ['/echo', '/other', '/status/200', '/large/10'])
      calls.push([path, v2(await s.sign(path))] as const, [path, v1(await s.sign(path))] as const);
    const all = await Promise.all(calls.map(([path, headers]) => s.call(path, headers)));
    assert.deepEqual(countEach(all.map(({ status }) => status)), { 200: 3, 503: 5 });
    for (const { status, headers, text } of all)
      if (status === 503) {
        assert.match(headers.get('retry-after') ?? '', /^\d+$/);
        assert.doesNotMatch(text, /"url"|"accepts"/);
      }
    node.honest();
    await until(async () => (await s.payments()).every(({ state }) => state === 'settled'));
    assert.equal(await s.received(), 8n * PRICE);
  });

  it('the limit of the network counts a hundred wallets that were made a minute ago as one', async (t) => {
    const [s, node] = await openSettlements(t, { perPayer: '$1', perNetwork: '$0.04' });
    const calls: Promise<{ status: number }>[] = [];
    for (let i = 0; i < 10; i++) {
      const by = await wallet(PRICE);
      const headers = v2(await s.sign('/echo', { by }));
      calls.push(s.call('/echo', headers));
    }
    const all = await Promise.all(calls);
    assert.deepEqual(countEach(all.map(({ status }) => status)), { 200: 4, 503: 6 });
    assert.equal(
      (await s.call('/echo', { 'x-api-key': s.key })).status,
      200,
      'keys are no exposure',
    );
    node.honest();
    await until(async () =>
      (await s.payments()).every(({ state, rail }) => rail !== 'x402' || state === 'settled'),
    );
  });

  it('what is served on trust still counts after a restart', async (t) => {
    const [s] = await openSettlements(t, { perPayer: '$0.02', perNetwork: '$1' });
    const send = async () => (await s.call('/echo', v2(await s.sign('/echo')))).status;
    assert.deepEqual([await send(), await send(), await send()], [200, 200, 503]);
    await s.restart();
    assert.equal(await send(), 503);
  });
});
