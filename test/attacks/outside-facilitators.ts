/** Remote facilitators that are silent, late, broken or dishonest: what they say moves nothing, what the chain shows does. */

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { it, type TestContext } from 'node:test';
import type { Hex } from '../../src/chains/evm/sign.ts';
import type { EvmDevnet } from '../../src/devnet/start-evm-devnet.ts';
import { send } from '../chains/evm-payer.ts';
import { type Conduct, conduct } from '../support/hostile-facilitator.ts';
import { until } from '../support/until.ts';
import {
  assertBooksMatch,
  assertOthersServe,
  assertTryAgain,
  type OutsideStage,
  outsideStage,
  PRICE,
  paymentIn,
  payWhile,
  sendUntilServed,
} from './outside-stage.ts';

const HUGE_BYTES = 32 * 1024 * 1024;
const TRANSACTION: Hex = `0x${randomBytes(32).toString('hex')}`;

const SILENT: readonly (readonly [name: string, conduct: Conduct])[] = [
  ['hangs', conduct.hang],
  ['closes the connection', conduct.reset],
  ['answers HTTP 500', conduct.say('<html>', 500)],
  ['answers an empty object', conduct.say({})],
  ['redirects', conduct.redirect('http://127.0.0.1:9/verify')],
];

export function facilitatorsBeforeTheWork(chain: () => EvmDevnet): void {
  const remote = (t: TestContext) => outsideStage(t, chain(), { remote: true });

  for (const [name, verify] of SILENT) {
    it(`asked to verify, a facilitator ${name}: 503, nothing runs, nothing moves, others are served`, async (t) => {
      const s = await remote(t);
      const headers = await s.sign('/echo');
      s.facilitator.set('verify', verify);
      assertTryAgain(await s.send('/echo', headers));
      await assertOthersServe(s);
      assert.equal(s.upstream.calls('/echo'), 1, 'only the prepaid call ran');
      assert.equal(await s.received(), 0n);
      s.facilitator.honest();
      await sendUntilServed(s, '/echo', await signWhenLive(s));
    });
    if (name !== 'closes the connection' && name !== 'answers an empty object') continue;
    it(`asked to verify, a facilitator ${name}: the very same request is served once it is well`, async (t) => {
      const s = await remote(t);
      const headers = await s.sign('/echo');
      s.facilitator.set('verify', verify);
      assertTryAgain(await s.send('/echo', headers));
      s.facilitator.honest();
      await sendUntilServed(s, '/echo', headers);
      await assertBooksMatch(s, 1);
    });
  }

  it('asked to verify, a facilitator redirects: nobody else ever sees the payment', async (t) => {
    const [s, other] = [await remote(t), await remote(t)];
    const headers = await s.sign('/echo');
    s.facilitator.set('verify', conduct.redirect(`${other.facilitator.url}/verify`));
    assertTryAgain(await s.send('/echo', headers));
    assert.deepEqual(other.facilitator.asked('verify'), []);
  });

  for (const [name, supported] of SILENT.slice(0, 4))
    it(`asked what it supports, a facilitator ${name}: nothing is offered until it is well`, async (t) => {
      const s = await remote(t);
      s.facilitator.set('supported', supported);
      const unpaid = await s.send('/echo');
      assert.equal(unpaid.status, 402);
      assert.doesNotMatch(unpaid.text, /"accepts"/);
      await assertOthersServe(s);
      s.facilitator.honest();
      await sendUntilServed(s, '/echo', await signWhenLive(s));
      await assertBooksMatch(s, 1);
    });

  it('a facilitator answers without end, and is not read without end', async (t) => {
    const s = await remote(t);
    const headers = await s.sign('/echo');
    s.facilitator.set('verify', conduct.huge(HUGE_BYTES));
    assertTryAgain(await s.send('/echo', headers));
    const taken = s.facilitator.bytesTaken();
    assert.ok(taken < HUGE_BYTES / 2, `${taken} bytes were taken`);
  });
}

/** Signs once the network is offered again: a network that failed is looked at again after a second. */
function signWhenLive(s: OutsideStage): Promise<Headers> {
  return until(() => s.sign('/echo').catch(() => null), { everyMs: 100, what: 'an offer' });
}

export function facilitatorsWhileTheMoneyMoves(chain: () => EvmDevnet): void {
  const remote = (t: TestContext, perPayer = '$1') =>
    outsideStage(t, chain(), {
      remote: true,
      over: { exposure: { perPayer, perNetwork: '$1' } },
    });

  const notSettling: readonly (readonly [name: string, conduct: Conduct])[] = [
    ...SILENT.slice(0, 3),
    ['answers "yes"', conduct.say({ success: 'yes' })],
    ['says success and names no transaction', conduct.say({ success: true, transaction: '' })],
    ['says success and makes one up', conduct.say({ success: true, transaction: TRANSACTION })],
    ['says success with HTTP 500', conduct.say({ success: true, transaction: TRANSACTION }, 500)],
    [
      'says that the funds are insufficient',
      conduct.say({ success: false, errorReason: 'insufficient_funds' }),
    ],
  ];
  for (const [name, settle] of notSettling)
    for (const perPayer of name === 'hangs' ? ['$1', '$0'] : ['$1'])
      it(`asked to settle, a facilitator ${name}, with ${perPayer} of exposure: pending, never failed, settled later`, async (t) => {
        const s = await remote(t, perPayer);
        const headers = await s.sign('/gate');
        const seen = await payWhile(s, headers, () => s.facilitator.set('settle', settle));
        // Its word that the wallet is short is taken for no more than a reason to hold the answer back.
        if (perPayer === '$0' || /insufficient/.test(name)) assertTryAgain(seen);
        else assert.deepEqual([seen.status, seen.receipt?.success], [200, false]);
        await paymentIn(s, 'settlement_unknown');
        await assertOthersServe(s);
        assert.equal(await s.received(), 0n);
        s.facilitator.honest();
        await paymentIn(s, 'settled');
        const served = await sendUntilServed(s, '/gate', headers);
        assert.equal(served.receipt?.success, true);
        assert.equal(s.upstream.calls('/gate'), 1);
        assert.equal(new Set(s.facilitator.asked('settle')).size, 1, 'the same bytes each time');
        await assertBooksMatch(s, 1);
      });

  for (const [name, settle] of [
    ['answers twice', conduct.twice],
    ['says that it failed', conduct.deny],
    ['never answers', conduct.mute],
    ['answers long after its time', conduct.late(1_600)],
  ] as const)
    it(`a facilitator settles and ${name}: paid once, and settled by what the chain shows`, async (t) => {
      const s = await remote(t);
      const headers = await s.sign('/gate');
      const seen = await payWhile(s, headers, () => s.facilitator.set('settle', settle));
      assert.equal(seen.status, 200);
      await paymentIn(s, 'settled');
      await assertBooksMatch(s, 1);
      await sendUntilServed(s, '/gate', headers);
      assert.equal(s.upstream.calls('/gate'), 1);
    });

  it('a facilitator claims the transaction that paid another request: it pays one of them', async (t) => {
    const s = await remote(t);
    await s.send('/echo', await s.sign('/echo'));
    const [paid] = await s.payments();
    assert.equal(paid?.state, 'settled');
    const headers = await s.sign('/gate');
    const stolen = async (): Promise<Hex> => paid?.transaction as Hex;
    const seen = await payWhile(s, headers, () =>
      s.facilitator.set('settle', conduct.claim(stolen)),
    );
    assert.deepEqual([seen.status, seen.receipt?.success], [200, false]);
    assert.equal(await s.received(), PRICE);
    s.facilitator.honest();
    await until(async () => (await s.payments()).every(({ state }) => state === 'settled'));
    await assertBooksMatch(s, 2);
  });

  it('a facilitator moves another amount of its own and calls that the payment: not settled', async (t) => {
    const s = await remote(t);
    const headers = await s.sign('/gate');
    const smaller = (): Promise<Hex> => payFromItsOwn(s, chain());
    const seen = await payWhile(s, headers, () =>
      s.facilitator.set('settle', conduct.claim(smaller)),
    );
    assert.deepEqual([seen.status, seen.receipt?.success], [200, false]);
    await paymentIn(s, 'settlement_unknown');
    s.facilitator.honest();
    await paymentIn(s, 'settled');
  });

  it('a facilitator settles what it saw in /verify although the work failed: the ledger learns of it', async (t) => {
    const s = await remote(t);
    const headers = await s.sign('/status/500');
    assert.equal((await s.send('/status/500', headers)).status, 500);
    await paymentIn(s, 'released');
    const [body = ''] = s.facilitator.asked('verify');
    await s.facilitator.settleBody(body);
    assert.equal(await s.received(), PRICE);
    await paymentIn(s, 'refund_due', 3_000);
  });
}

/** A plain transfer of one atom from the facilitator's own wallet to where the gateway is paid. */
async function payFromItsOwn(s: OutsideStage, chain: EvmDevnet): Promise<Hex> {
  const account = chain.accounts.findIndex(({ address }) => address === s.settler.address);
  const { payTo } = JSON.parse(s.facilitator.asked('settle')[0] ?? '{}').paymentRequirements;
  const to = String(payTo).slice(2).toLowerCase().padStart(64, '0');
  return await send(chain, account, {
    to: chain.asset,
    data: `0xa9059cbb${to}${'1'.padStart(64, '0')}`,
  });
}
