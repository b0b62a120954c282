/** What happens when a permit expires before it could be used; on a chain of its own, because its time moves. */

import assert from 'node:assert/strict';
import { after, before, it } from 'node:test';
import { PaymentRefused } from '../../src/core/errors.ts';
import { type EvmDevnet, startEvmDevnet } from '../../src/devnet/start-evm-devnet.ts';
import {
  account,
  approve,
  openUptoDesk,
  PAY_TO,
  signUpto,
  uptoOffer,
} from './x402-upto-fixture.ts';

let devnet: EvmDevnet;
before(async () => {
  devnet = await startEvmDevnet({ chainId: 8453 });
});
after(() => devnet.close());

it('an allowance withdrawn during the work: unknown until the permit expires, then failed and barred', async (t) => {
  let offMs = 0;
  const clock = { now: () => Date.now() + offMs };
  const desk = await openUptoDesk(t, devnet, { clock, settleMs: 200 });
  const payer = account(devnet, 1);
  await approve(devnet, 1);
  const payment = await desk.grant(signUpto(await uptoOffer(desk), payer).header);
  const limits = { perPayer: 10n ** 9n, perNetwork: 10n ** 9n };
  assert.equal(await desk.ledger.expose({ paymentId: payment.id, ...limits }), 'within');
  await approve(devnet, 1, 0n);

  const open = await desk.capture(payment, 500n);
  assert.deepEqual([open.state, open.reason], ['settlement_unknown', 'insufficient_funds']);
  assert.equal((await desk.ledger.findJob(payment.id))?.transaction, undefined);
  assert.equal((await desk.rail.resolve(open)).state, 'settlement_unknown');

  offMs = 600_000;
  await devnet.rpc('evm_increaseTime', [600]);
  await devnet.rpc('evm_mine');
  const failed = await desk.rail.resolve(open);
  assert.deepEqual([failed.state, failed.reason], ['settlement_failed', 'authorization_expired']);
  assert.equal(await devnet.usdcBalance(PAY_TO), 0n);

  await approve(devnet, 1);
  const { header } = signUpto(await uptoOffer(desk), payer, {
    permit: { deadline: BigInt(Math.floor(clock.now() / 1000) + 120) },
  });
  await assert.rejects(
    desk.present(header),
    (error) => error instanceof PaymentRefused && error.code === 'payer_barred',
  );
  assert.deepEqual(await desk.ledger.audit(), []);
});
