/**
 * Law 6: unknown is not failed. What would break it: a lost answer of a facilitator that becomes a 402, a second
 * facilitator that is asked to settle the same payment, a payer who is told to sign again while his money may move.
 *
 * More attacks on it: attacks/hostile-outside with its outside-*.ts (nodes and facilitators in every state, answers
 * fetched later), rails/x402-facilitator, rails/x402-settle, client/unknown-outcome and client/own-gateway (payers).
 */

import assert from 'node:assert/strict';
import { after, before, describe, it, type TestContext } from 'node:test';
import { ExactEvmScheme } from '@x402/evm';
import { wrapFetchWithPaymentFromConfig } from '@x402/fetch';
import { privateKeyToAccount } from 'viem/accounts';
import { PaymentOutcomeUnknown, payFetch, privateKeyWallet } from '../../src/client/index.ts';
import { type EvmDevnet, startEvmDevnet } from '../../src/devnet/start-evm-devnet.ts';
import { type AttackedGateway, attackedGateway, PRICE, v2 } from '../support/attacked-gateway.ts';
import {
  conduct,
  type HostileFacilitator,
  startHostileFacilitator,
} from '../support/hostile-facilitator.ts';
import { startHostileRpc } from '../support/hostile-rpc.ts';
import { until } from '../support/until.ts';

let chain: EvmDevnet;
before(async () => {
  chain = await startEvmDevnet({ accountsCount: 30 });
});
after(() => chain.close());

let nextSettler = 29;

async function facilitators(
  t: TestContext,
): Promise<[HostileFacilitator, HostileFacilitator, AttackedGateway]> {
  const start = () => startHostileFacilitator(t, { devnet: chain, account: nextSettler-- });
  const [first, second] = [await start(), await start()];
  const network = { settleWith: undefined, facilitator: [first.url, second.url] };
  const s = await attackedGateway(t, chain, {
    network,
    over: { timeouts: { settle: '300ms' }, exposure: { perPayer: '$1', perNetwork: '$1' } },
  });
  return [first, second, s];
}

const settled = (s: AttackedGateway): Promise<boolean> =>
  until(async () => (await s.payments()).every(({ state }) => state === 'settled'), {
    what: 'a settled payment',
  });
describe('a settlement whose fate is not known', { concurrency: 4 }, () => {
  for (const [name, settle, moved] of [
    ['settled and was not heard', conduct.mute, true],
    ['was cut off before it settled', conduct.reset, false],
    ['says that it failed, and did settle', conduct.deny, true],
  ] as const)
    it(`a facilitator that ${name}: the other one is never asked to settle, and the payer is never asked to sign`, async (t) => {
      const [first, second, s] = await facilitators(t);
      const headers = v2(await s.sign('/echo'));
      first.set('settle', settle);
      second.set('settle', async () => assert.fail('a second facilitator was asked'));
      const seen = await s.call('/echo', headers);
      assert.equal(seen.status, 200, seen.text);
      for (let i = 0; i < 3; i++) {
        const again = await s.call('/echo', headers);
        assert.ok(again.status === 200 || again.status === 503, again.text);
        assert.doesNotMatch(again.text, /"accepts"/);
      }
      assert.equal(await s.received(), moved ? PRICE : 0n);
      first.honest();
      await settled(s);
      await until(async () => (await s.call('/echo', headers)).status === 200, {
        what: 'a replay',
      });
      assert.deepEqual(second.asked('settle'), []);
      assert.equal(new Set(first.asked('settle')).size, 1, 'one payment, in the same bytes');
      assert.equal(s.upstream.calls('/echo'), 1);
      assert.equal(await s.received(), PRICE);
    });

  it('while a settlement is unknown, no request with its credential is ever a 402, whatever else goes wrong', async (t) => {
    const node = await startHostileRpc(t, chain.rpcUrl);
    const s = await attackedGateway(t, chain, {
      network: { rpc: node.url },
      over: { exposure: { perPayer: '$0', perNetwork: '$0' }, timeouts: { settle: '200ms' } },
    });
    const headers = v2(await s.sign('/echo'));
    node.set('eth_sendRawTransaction', { kind: 'swallow' });
    const statuses = [(await s.call('/echo', headers)).status];
    for (const kind of ['reset', 'garbage', 'wrong-id'] as const) {
      node.set('*', { kind });
      for (const path of ['/echo', '/echo?other', '/other']) {
        const seen = await s.call(path, headers);
        assert.doesNotMatch(seen.text, /"accepts"|PAYMENT-REQUIRED/);
        assert.equal(seen.headers.get('payment-required'), null);
        statuses.push(seen.status);
      }
    }
    assert.ok(
      statuses.every((status) => status === 503 || status === 409),
      statuses.join(),
    );
    node.honest();
    await settled(s);
    assert.equal((await s.call('/echo', headers)).status, 200);
    assert.equal(await s.received(), PRICE);
  });

  for (const [name, pay] of [
    [
      'the official client',
      (s: AttackedGateway, count: typeof fetch) =>
        wrapFetchWithPaymentFromConfig(count, {
          schemes: [
            {
              network: chain.network,
              client: new ExactEvmScheme(privateKeyToAccount(s.payer.privateKey)),
            },
          ],
        })(`${s.gateway.url}/echo`),
    ],
    [
      'our payer',
      (s: AttackedGateway, count: typeof fetch) =>
        payFetch(count, {
          wallet: privateKeyWallet(s.payer.privateKey),
          budget: { perCall: '$1' },
          resendsMax: 2,
          wait: async () => {},
        })(`${s.gateway.url}/echo`),
    ],
  ] as const)
    it(`${name} at a gateway that does not know whether it was paid signs exactly one authorization`, async (t) => {
      const node = await startHostileRpc(t, chain.rpcUrl);
      const s = await attackedGateway(t, chain, {
        network: { rpc: node.url },
        over: { exposure: { perPayer: '$0', perNetwork: '$0' }, timeouts: { settle: '200ms' } },
      });
      node.set('eth_sendRawTransaction', { kind: 'swallow' });
      const sent = new Set<string>();
      const count: typeof fetch = async (input, init) => {
        const request = new Request(input, init);
        const header = request.headers.get('payment-signature');
        if (header) sent.add(header);
        return await fetch(request);
      };
      const status = await pay(s, count).then(
        (response) => response.status,
        (error: unknown) => (error instanceof PaymentOutcomeUnknown ? 503 : error),
      );
      assert.equal(status, 503);
      assert.equal(sent.size, 1);
      node.honest();
      await settled(s);
      assert.equal(await s.received(), PRICE);
      assert.equal(s.upstream.calls('/echo'), 1);
    });
});
