/**
 * Law 7: settled means seen on the chain. What would break it: a payer who submits or cancels his authorization beside
 * us, a transfer that is not this payment, a word that is believed.
 *
 * More attacks on it: rails/x402-settle (the same payer acts within the rail), attacks/outside-lies (nodes),
 * attacks/outside-facilitators (their word), rails/x402-facilitator, chains/evm-chain (the fate of an authorization).
 */

import assert from 'node:assert/strict';
import { after, before, describe, it, type TestContext } from 'node:test';
import { type EvmDevnet, startEvmDevnet } from '../../src/devnet/start-evm-devnet.ts';
import { cancelAuthorization, send, sendTransfer } from '../chains/evm-payer.ts';
import type { SignedPayment } from '../rails/x402-fixture.ts';
import {
  type Answered,
  type AttackedGateway,
  attackedGateway,
  PRICE,
  v1,
  v2,
} from '../support/attacked-gateway.ts';
import { startHostileRpc } from '../support/hostile-rpc.ts';
import { until } from '../support/until.ts';

let chain: EvmDevnet;
before(async () => {
  chain = await startEvmDevnet({ accountsCount: 40 });
});
after(() => chain.close());

/** Anybody; never one who settles or pays. Two who send at the same time need nonces of their own. */
const STRANGERS = { v2: 39, v1: 38, payer: 37 } as const;

const indexOf = (s: AttackedGateway): number =>
  chain.accounts.findIndex(({ address }) => address === s.payer.address);

const submit = (by: number, { authorization, signature }: SignedPayment) =>
  sendTransfer(chain, by, { ...authorization, signature });

/** Pays for `/gate`, lets the work begin, does something on the chain, and lets the work end. */
async function payWhile(
  s: AttackedGateway,
  headers: Record<string, string>,
  act: () => Promise<unknown>,
): Promise<Answered> {
  const answer = s.call('/gate', headers);
  await s.upstream.seen('/gate', 1);
  await act();
  s.upstream.open();
  return await answer;
}
describe('what the chain shows', { concurrency: 4 }, () => {
  for (const [version, headersOf] of [
    ['v2', v2],
    ['v1', v1],
  ] as const)
    for (const who of ['the payer', 'a stranger'] as const)
      it(`${version}: ${who} submits the authorization during the work: served, settled by that transaction, paid once`, async (t) => {
        const s = await attackedGateway(t, chain);
        const signed = await s.sign('/gate');
        const by = who === 'the payer' ? indexOf(s) : STRANGERS[version];
        let hash: string | undefined;
        const seen = await payWhile(s, headersOf(signed), async () => {
          hash = await submit(by, signed);
        });
        assert.equal(seen.status, 200);
        const [payment] = await s.payments();
        assert.deepEqual([payment?.state, payment?.transaction], ['settled', hash]);
        assert.equal(await s.received(), PRICE);
        const entries = await s.gateway.ledger.entries({ limit: 100 });
        assert.deepEqual(
          entries.filter(({ asset, paymentId }) => paymentId && !asset.includes('erc20')),
          [],
          'no gas that we did not pay is on our books',
        );
      });

  it('an authorization that was submitted before it is shown buys nothing: money that came without a claim pays no request', async (t) => {
    const s = await attackedGateway(t, chain);
    const signed = await s.sign('/echo');
    await submit(indexOf(s), signed);
    for (const headers of [v2(signed), v1(signed)]) {
      const seen = await s.call('/echo', headers);
      assert.deepEqual([seen.status, seen.code], [402, 'invalid_exact_evm_nonce_already_used']);
    }
    assert.equal(s.upstream.calls('/echo'), 0);
    assert.deepEqual(await s.payments(), []);
  });

  it('an authorization that is cancelled during the work: the answer is withheld, and the payment has failed for good', async (t) => {
    const s = await attackedGateway(t, chain);
    const signed = await s.sign('/gate');
    const seen = await payWhile(s, v2(signed), () =>
      cancelAuthorization(chain, indexOf(s), signed.authorization.nonce),
    );
    assert.deepEqual([seen.status, seen.code], [402, 'authorization_cancelled']);
    assert.doesNotMatch(seen.text, /"url"/, 'nothing of the answer leaves');
    assert.equal(seen.headers.get('payment-response'), null);
    const again = await s.call('/gate', v2(signed));
    assert.deepEqual([again.status, again.code], [402, 'authorization_cancelled']);
    assert.equal((await s.payments())[0]?.state, 'settlement_failed');
    assert.equal((await s.call('/echo', v2(await s.sign('/echo')))).status, 200, 'not barred');
    assert.equal(await s.received(), PRICE);
  });

  it('a nonce that pays one atom instead, during the work: the answer is withheld, and the payment has failed for good', async (t) => {
    const s = await attackedGateway(t, chain);
    const signed = await s.sign('/gate');
    const { nonce, validBefore } = signed.authorization;
    const cheap = await s.sign('/gate', { nonce, validBefore, value: 1n });
    const seen = await payWhile(s, v2(signed), () => submit(indexOf(s), cheap));
    assert.deepEqual([seen.status, seen.code], [402, 'authorization_used_otherwise']);
    assert.doesNotMatch(seen.text, /"url"/);
    assert.equal(await s.received(), 1n);
  });

  it('a plain transfer of the price to the operator, without the authorization, settles nothing', async (t) => {
    const { s, node, headers } = await servedUnsettled(t);
    const to = (await s.offer('/echo')).payTo.slice(2).toLowerCase().padStart(64, '0');
    const value = PRICE.toString(16).padStart(64, '0');
    await send(chain, indexOf(s), { to: chain.asset, data: `0xa9059cbb${to}${value}` });
    assert.equal(await s.received(), PRICE);
    const seen = await s.call('/echo', headers);
    assert.match(seen.text, /"url"/);
    assert.equal((await s.payments())[0]?.state, 'settlement_unknown');
    node.honest();
    await until(async () => (await s.payments())[0]?.state === 'settled');
    assert.equal(await s.received(), 2n * PRICE);
  });

  /** An answer that was handed out on trust: the node has swallowed the transaction. */
  async function servedUnsettled(t: TestContext) {
    const node = await startHostileRpc(t, chain.rpcUrl);
    const s = await attackedGateway(t, chain, {
      network: { rpc: node.url },
      over: { timeouts: { settle: '200ms' }, exposure: { perPayer: '$1', perNetwork: '$1' } },
    });
    node.set('eth_sendRawTransaction', { kind: 'swallow' });
    const signed = await s.sign('/echo');
    const headers = v2(signed);
    assert.equal((await s.call('/echo', headers)).status, 200);
    return { s, node, signed, headers };
  }

  it('a payer who cancels after he was served on trust is refused from then on, on every route, and others are not', async (t) => {
    const { s, signed } = await servedUnsettled(t);
    await cancelAuthorization(chain, indexOf(s), signed.authorization.nonce);
    await until(async () => (await s.payments())[0]?.state === 'settlement_failed');
    for (const path of ['/echo', '/other']) {
      const seen = await s.call(path, v2(await s.sign(path)));
      assert.deepEqual([seen.status, seen.code], [402, 'payer_barred']);
    }
    assert.equal((await s.call('/echo', { 'x-api-key': s.key })).status, 200);
    const other = { by: chain.accounts[STRANGERS.payer] ?? s.payer };
    const theirs = await s.call('/other', v2(await s.sign('/other', other)));
    assert.notEqual(theirs.code, 'payer_barred');
    assert.deepEqual(await s.gateway.ledger.audit(), []);
  });
});
