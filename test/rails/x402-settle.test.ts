/** Moving the money: embedded settlement against a real chain and a real ledger. */

import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { type EvmDevnet, startEvmDevnet } from '../../src/devnet/start-evm-devnet.ts';
import { account, COST, firstOffer, openDesk, PAY_TO, signOffer } from './x402-fixture.ts';

let devnet: EvmDevnet;
before(async () => {
  devnet = await startEvmDevnet({ chainId: 8453 });
});
after(() => devnet.close());

describe('x402 settlement by our own key', () => {
  it('settles a v2 payment on the chain and books it', async (t) => {
    const desk = await openDesk(t, devnet);
    const offer = await firstOffer(desk);
    const before = await devnet.usdcBalance(PAY_TO);
    const payment = await desk.grant(signOffer(offer, account(devnet, 1)).v2);
    const settled = await desk.capture(payment);
    assert.equal(settled.state, 'settled');
    assert.equal(await devnet.usdcBalance(PAY_TO), before + COST);
    assert.deepEqual(await desk.ledger.audit(), []);
  });
});
