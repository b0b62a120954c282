/** What happens when an authorization expires unused; on a chain of its own, because its time moves. */

import assert from 'node:assert/strict';
import { after, before, it } from 'node:test';
import { type EvmDevnet, startEvmDevnet } from '../../src/devnet/start-evm-devnet.ts';
import { account, emptyWallet, firstOffer, openDesk, PAY_TO, signOffer } from './x402-fixture.ts';

let devnet: EvmDevnet;
before(async () => {
  devnet = await startEvmDevnet({ chainId: 8453 });
});
after(() => devnet.close());

it('a wallet emptied during the work: nothing is sent, unknown until it expires, then failed', async (t) => {
  let offMs = 0;
  const clock = { now: () => Date.now() + offMs };
  const desk = await openDesk(t, devnet, { clock, settleMs: 200 });
  const payer = account(devnet, 10);
  const payment = await desk.grant(signOffer(await firstOffer(desk), payer).v2);
  await emptyWallet(desk, payer);

  const open = await desk.capture(payment);
  assert.deepEqual([open.state, open.reason], ['settlement_unknown', 'insufficient_funds']);
  assert.equal((await desk.ledger.findJob(payment.id))?.transaction, undefined);
  assert.equal((await desk.rail.resolve(open)).state, 'settlement_unknown');

  offMs = 600_000;
  await devnet.rpc('evm_increaseTime', [600]);
  await devnet.rpc('evm_mine');
  const failed = await desk.rail.resolve(open);
  assert.deepEqual([failed.state, failed.reason], ['settlement_failed', 'authorization_expired']);
  assert.equal(await devnet.usdcBalance(PAY_TO), 0n);
  assert.deepEqual(await desk.ledger.audit(), []);
});

it('a stored transaction that no node ever took: failed once its authorization has expired', async (t) => {
  let offMs = 600_000;
  const clock = { now: () => Date.now() + offMs };
  const desk = await openDesk(t, devnet, { clock, settleMs: 50 });
  const payer = account(devnet, 1);
  const offer = await firstOffer(desk);
  const payment = await desk.grant(signOffer(offer, payer, {}, clock.now()).v2);
  await devnet.rpc('evm_setAutomine', [false]);
  await devnet.rpc('evm_setIntervalMining', [0]);
  const open = await desk.capture(payment);
  assert.deepEqual([open.state, open.reason], ['settlement_unknown', 'pending']);

  await devnet.rpc('anvil_dropAllTransactions');
  offMs += 600_000;
  await devnet.rpc('evm_increaseTime', [600]);
  await devnet.rpc('evm_mine');
  const failed = await desk.rail.resolve(open);
  assert.deepEqual([failed.state, failed.reason], ['settlement_failed', 'authorization_expired']);
  assert.equal(await devnet.usdcBalance(PAY_TO), 0n);
});
