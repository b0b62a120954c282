import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { payFetch, privateKeyWallet, receiptOf } from '../../src/client/index.ts';
import { type EvmDevnet, startEvmDevnet } from '../../src/devnet/start-evm-devnet.ts';
import { startGateway } from '../support/start-gateway.ts';
import { startUpstream } from '../support/start-upstream.ts';

let chain: EvmDevnet;
before(async () => {
  chain = await startEvmDevnet();
});
after(() => chain.close());

test('an answer that is lost after its settlement is fetched with the same signature: one payment, one inference', async (t) => {
  const upstream = await startUpstream(t);
  const [, payee, payer] = chain.accounts;
  assert.ok(payee && payer);
  const gateway = await startGateway(t, {
    upstreams: { api: { url: upstream.url } },
    payments: {
      x402: {
        payTo: { eip155: payee.address },
        networks: {
          [chain.network]: {
            rpc: chain.rpcUrl,
            settleWith: '${SETTLEMENT_KEY}',
            pollMs: 10,
          },
        },
      },
    },
    routes: { 'POST /echo': { upstream: 'api', price: '$0.01' } },
  });
  let losses = 0;
  const losing: typeof fetch = async (input, init) => {
    const response = await fetch(input, init);
    if (!response.headers.has('payment-response') || losses++ > 0) return response;
    await response.body?.cancel();
    throw new TypeError('the connection was lost');
  };
  const before = await chain.usdcBalance(payer.address);
  const fetch402 = payFetch(losing, {
    wallet: privateKeyWallet(payer.privateKey),
    budget: { perCall: '$0.01', perDay: '$0.01' },
    wait: async () => {},
  });
  const response = await fetch402(`${gateway.url}/echo`, { method: 'POST', body: 'work' });
  assert.equal(response.status, 200);
  const echoed = (await response.json()) as { body: string };
  assert.equal(echoed.body, 'work');
  const receipt = receiptOf(response);
  assert.deepEqual([receipt?.success, receipt?.state, receipt?.cost], [true, 'settled', '0.01']);
  assert.equal(losses, 2);
  assert.equal(upstream.calls('/echo'), 1);
  assert.equal(before - (await chain.usdcBalance(payer.address)), 10_000n);
  assert.equal((await gateway.ledger.listPayments({ limit: 10 })).length, 1);
});
