/** Gas of transactions of our own key that reverted is paid all the same, and must be on the books, once. */

import assert from 'node:assert/strict';
import { after, before, it, type TestContext } from 'node:test';
import { transferWithAuthorization } from '../../src/chains/evm/contract-calls.ts';
import { parseReceipt } from '../../src/chains/evm/receipt.ts';
import type { Hex } from '../../src/chains/evm/sign.ts';
import type { Payment } from '../../src/core/payment.ts';
import type { Ledger } from '../../src/core/ports/ledger.ts';
import { type EvmDevnet, startEvmDevnet } from '../../src/devnet/start-evm-devnet.ts';
import { submit } from '../chains/evm-payer.ts';
import { until } from '../support/until.ts';
import {
  account,
  type Desk,
  firstOffer,
  memoryLedger,
  openDesk,
  type Signing,
  signOffer,
} from './x402-fixture.ts';

let devnet: EvmDevnet;
before(async () => {
  devnet = await startEvmDevnet({ chainId: 8453 });
});
after(() => devnet.close());

async function stopMining(t: TestContext): Promise<void> {
  await devnet.rpc('evm_setAutomine', [false]);
  await devnet.rpc('evm_setIntervalMining', [0]);
  t.after(() => devnet.rpc('evm_setAutomine', [true]));
}

/** Puts another authorization of the payer into the pool, with a tip that puts it in front of ours. */
async function overtake(desk: Desk, payer: number, signing: Signing): Promise<void> {
  const other = signOffer(await firstOffer(desk), account(devnet, payer), signing);
  const { authorization, signature } = other;
  const data: Hex = `0x${transferWithAuthorization({ ...authorization, signature })}`;
  await submit(devnet, 9, { to: devnet.asset, data, gas: 150_000n }, 50n);
}

/** Mines one block with both transactions in it. */
async function mineBoth(): Promise<void> {
  await until(async () => {
    const { pending } = (await devnet.rpc('txpool_status')) as { pending: string };
    return Number(pending) >= 2;
  });
  await devnet.rpc('evm_mine');
}

async function ownHash(ledger: Ledger, { id }: Payment): Promise<Hex> {
  const hash = (await ledger.findJob(id))?.transaction?.hash;
  assert.ok(hash);
  return hash as Hex;
}

async function gasOf(hash: Hex, succeeded: boolean): Promise<bigint> {
  const receipt = parseReceipt(await devnet.rpc('eth_getTransactionReceipt', [hash]));
  assert.equal(receipt?.succeeded, succeeded);
  return receipt?.gasNano ?? 0n;
}

async function bookedGas(ledger: Ledger): Promise<bigint> {
  const name = `gas:${devnet.network}`;
  return (await ledger.balances()).find((row) => row.account === name)?.balance ?? 0n;
}

for (const restarts of [false, true])
  it(`the gas of a settlement that failed is booked${restarts ? ' by the next process' : ''}`, async (t) => {
    const ledger = await memoryLedger(t);
    const first = await openDesk(t, devnet, { ledger, settleMs: restarts ? 50 : 5_000 });
    const signed = signOffer(await firstOffer(first), account(devnet, 1));
    const payment = await first.grant(signed.v2);
    const { nonce, validBefore } = signed.authorization;
    await stopMining(t);
    const capturing = first.capture(payment);
    if (restarts) await capturing;
    await overtake(first, 1, { nonce, validBefore, value: 1n });
    await mineBoth();
    let failed = await capturing;
    if (restarts) {
      await first.rail.close();
      failed = await (await openDesk(t, devnet, { ledger })).rail.resolve(failed);
    }
    assert.equal(failed.state, 'settlement_failed');
    assert.equal(await bookedGas(ledger), await gasOf(await ownHash(ledger, payment), false));
    assert.deepEqual(await ledger.audit(), []);
  });

it('the gas of a transaction that reverted is booked once, beside that of the one that settled', async (t) => {
  const desk = await openDesk(t, devnet, { settleMs: 1_000 });
  const payer = account(devnet, 2);
  const payment = await desk.grant(signOffer(await firstOffer(desk), payer).v2);
  await stopMining(t);
  const capturing = desk.capture(payment);
  const value = await devnet.usdcBalance(payer.address);
  await overtake(desk, 2, { value, to: '0x00000000000000000000000000000000000000cc' });
  await mineBoth();
  await devnet.rpc('evm_setAutomine', [true]);
  const open = await capturing;
  assert.equal(open.state, 'settlement_unknown');
  const reverted = await ownHash(desk.ledger, payment);
  // Looked at more than once while it stays open.
  for (const _ of [1, 2]) await desk.rail.resolve(open);
  await devnet.mint(payer.address, 1_000_000n);
  await until(async () => (await desk.rail.resolve(open)).state === 'settled');
  const settled = await ownHash(desk.ledger, payment);
  assert.notEqual(settled, reverted);
  const gas = (await gasOf(reverted, false)) + (await gasOf(settled, true));
  assert.equal(await bookedGas(desk.ledger), gas);
  assert.deepEqual(await desk.ledger.audit(), []);
});
