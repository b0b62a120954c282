/** Moving the money with our own key, against a real chain and a real ledger. */

import assert from 'node:assert/strict';
import { after, before, describe, it, type TestContext } from 'node:test';
import { decodePaymentResponseHeader } from '@x402/core/http';
import { parseTransaction } from 'viem';
import { transferWithAuthorization } from '../../src/chains/evm/contract-calls.ts';
import { RpcUnavailable } from '../../src/chains/evm/json-rpc.ts';
import { type EvmChain, openEvmChain } from '../../src/chains/evm/open-evm-chain.ts';
import type { Hex } from '../../src/chains/evm/sign.ts';
import type { Payment } from '../../src/core/payment.ts';
import type { Ledger } from '../../src/core/ports/ledger.ts';
import type { StoredJob } from '../../src/core/ports/settlement.ts';
import { type EvmDevnet, startEvmDevnet } from '../../src/devnet/start-evm-devnet.ts';
import { decodeSettleResponse } from '../../src/rails/x402/protocol.ts';
import { cancelAuthorization, sendTransfer, submit } from '../chains/evm-payer.ts';
import {
  account,
  COST,
  type Desk,
  type DeskOptions,
  emptyWallet,
  firstOffer,
  memoryLedger,
  openDesk,
  PAY_TO,
  type SignedPayment,
  signOffer,
} from './x402-fixture.ts';

let devnet: EvmDevnet;
before(async () => {
  devnet = await startEvmDevnet({ chainId: 8453 });
});
after(() => devnet.close());

type OpenChain = NonNullable<DeskOptions['openChain']>;

/** The real chain with some of its methods replaced. */
function chainWith(change: (chain: EvmChain) => Partial<EvmChain>): OpenChain {
  return (options) => {
    const chain = openEvmChain(options);
    return { ...chain, ...change(chain) };
  };
}

const down = (): Promise<never> => Promise.reject(new RpcUnavailable('down'));

/** A chain to which nothing gets through once the payment is authorized. */
const deaf = chainWith(() => ({ broadcast: down, findAuthorization: down }));

async function grant(
  desk: Desk,
  payer: number,
): Promise<{ payment: Payment; signed: SignedPayment }> {
  const signed = signOffer(await firstOffer(desk), account(devnet, payer));
  return { payment: await desk.grant(signed.v2), signed };
}

async function jobOf(ledger: Ledger, payment: Payment): Promise<StoredJob> {
  const job = await ledger.findJob(payment.id);
  assert.ok(job, 'there is no job');
  return job;
}

async function income(work: () => Promise<unknown>): Promise<bigint> {
  const before = await devnet.usdcBalance(PAY_TO);
  await work();
  return (await devnet.usdcBalance(PAY_TO)) - before;
}

async function stopMining(t: TestContext): Promise<void> {
  await devnet.rpc('evm_setAutomine', [false]);
  await devnet.rpc('evm_setIntervalMining', [0]);
  t.after(() => devnet.rpc('evm_setAutomine', [true]));
}

describe('a settlement by our own key', () => {
  it('moves exactly the price, names its transaction, and books money and gas', async (t) => {
    const desk = await openDesk(t, devnet);
    const { payment } = await grant(desk, 1);
    let settled = payment;
    const got = await income(async () => {
      settled = await desk.capture(payment);
    });
    assert.equal(got, COST);
    assert.equal(settled.state, 'settled');
    assert.equal(settled.transaction, (await jobOf(desk.ledger, payment)).transaction?.hash);
    assert.deepEqual(await desk.ledger.audit(), []);
    const accounts = (await desk.ledger.balances()).map(({ account: name }) => name).join();
    assert.match(accounts, /gas/);
  });

  it('of twenty at once settles each, with nonces in a row', async (t) => {
    const desk = await openDesk(t, devnet);
    const offer = await firstOffer(desk);
    const payments = await Promise.all(
      Array.from({ length: 20 }, (_, i) =>
        desk.grant(signOffer(offer, account(devnet, 1 + (i % 8))).v2),
      ),
    );
    const got = await income(async () => {
      const settled = await Promise.all(payments.map(desk.capture));
      assert.deepEqual(new Set(settled.map(({ state }) => state)), new Set(['settled']));
    });
    assert.equal(got, 20n * COST);
    const jobs = await Promise.all(payments.map((payment) => jobOf(desk.ledger, payment)));
    const nonces = jobs.map((job) => job.transaction?.nonce ?? -1).sort((a, b) => a - b);
    const [first = 0] = nonces;
    assert.deepEqual(
      nonces,
      Array.from(nonces, (_, i) => first + i),
    );
  });

  it('waits for the configured confirmations', async (t) => {
    const desk = await openDesk(t, devnet, { network: { confirmations: 4 }, settleMs: 200 });
    const { payment } = await grant(desk, 1);
    const early = await desk.capture(payment);
    assert.deepEqual([early.state, early.reason], ['settlement_unknown', 'pending']);
    await devnet.rpc('anvil_mine', ['0x4', '0x0']);
    assert.equal((await desk.rail.resolve(early)).state, 'settled');
  });

  it('writes the signed transaction before it says anything', async (t) => {
    const ledger = await memoryLedger(t);
    const stored: boolean[] = [];
    const openChain = chainWith((chain) => ({
      async broadcast(raw) {
        const jobs = await ledger.openJobs();
        stored.push(jobs.some((job) => job.transaction?.raw === raw));
        await chain.broadcast(raw);
      },
    }));
    const desk = await openDesk(t, devnet, { ledger, openChain });
    const { payment } = await grant(desk, 1);
    await desk.capture(payment);
    assert.deepEqual(stored, [true]);
  });
});

describe('a payer who acts beside us', () => {
  it('submits his authorization himself during the work: settled once, with his transaction', async (t) => {
    const desk = await openDesk(t, devnet);
    const { payment, signed } = await grant(desk, 1);
    const { authorization, signature } = signed;
    let transaction: Hex = '0x';
    const got = await income(async () => {
      transaction = await sendTransfer(devnet, 9, { ...authorization, signature });
      const settled = await desk.capture(payment);
      assert.deepEqual([settled.state, settled.transaction], ['settled', transaction]);
    });
    assert.equal(got, COST);
    assert.deepEqual(await desk.ledger.audit(), []);
  });

  it('overtakes our transaction in the same block: settled once, with his', async (t) => {
    const desk = await openDesk(t, devnet);
    const { payment, signed } = await grant(desk, 1);
    await stopMining(t);
    const { authorization, signature } = signed;
    const data: Hex = `0x${transferWithAuthorization({ ...authorization, signature })}`;
    const got = await income(async () => {
      const capturing = desk.capture(payment);
      const call = { to: devnet.asset, data, gas: 150_000n };
      const transaction = await submit(devnet, 9, call, 50n);
      await mineUntilDone(capturing);
      const settled = await capturing;
      assert.deepEqual([settled.state, settled.transaction], ['settled', transaction]);
    });
    assert.equal(got, COST);
    assert.deepEqual(await desk.ledger.audit(), []);
  });

  it('cancels it during the work: failed for good, nothing moves', async (t) => {
    const desk = await openDesk(t, devnet);
    const { payment, signed } = await grant(desk, 1);
    const got = await income(async () => {
      await cancelAuthorization(devnet, 1, signed.authorization.nonce);
      const failed = await desk.capture(payment);
      assert.deepEqual(
        [failed.state, failed.reason],
        ['settlement_failed', 'authorization_cancelled'],
      );
    });
    assert.equal(got, 0n);
    assert.deepEqual(await desk.ledger.audit(), []);
  });

  it('uses the nonce for another transfer during the work: failed for good', async (t) => {
    const desk = await openDesk(t, devnet);
    const { payment, signed } = await grant(desk, 1);
    const { nonce, validBefore } = signed.authorization;
    const other = signOffer(await firstOffer(desk), account(devnet, 1), {
      ...{ nonce, validBefore, value: 1n },
    });
    await sendTransfer(devnet, 9, { ...other.authorization, signature: other.signature });
    const failed = await desk.capture(payment);
    assert.deepEqual(
      [failed.state, failed.reason],
      ['settlement_failed', 'authorization_used_otherwise'],
    );
  });

  it('empties his wallet and fills it again: settled by a later look', async (t) => {
    const desk = await openDesk(t, devnet, { settleMs: 200 });
    const payer = account(devnet, 11);
    const { payment } = await grant(desk, 11);
    await emptyWallet(desk, account(devnet, 11));
    const open = await desk.capture(payment);
    assert.equal(open.reason, 'insufficient_funds');
    await devnet.mint(payer.address, COST);
    assert.equal((await desk.rail.resolve(open)).state, 'settled');
  });
});

describe('a process that dies', () => {
  it('after the capture and before the broadcast: the next one settles with the stored nonce', async (t) => {
    const ledger = await memoryLedger(t);
    const first = await openDesk(t, devnet, { ledger, openChain: deaf, settleMs: 50 });
    const { payment } = await grant(first, 2);
    const open = await first.capture(payment);
    assert.equal(open.state, 'settlement_unknown');
    const stored = (await jobOf(ledger, payment)).transaction;
    assert.ok(stored);
    await first.rail.close();

    const second = await openDesk(t, devnet, { ledger });
    const got = await income(async () => {
      const settled = await second.rail.resolve(open);
      assert.deepEqual([settled.state, settled.transaction], ['settled', stored.hash]);
    });
    assert.equal(got, COST);
    const { payment: next } = await grant(second, 2);
    await second.capture(next);
    assert.equal((await jobOf(ledger, next)).transaction?.nonce, stored.nonce + 1);
  });

  it('with several open payments: a new payment goes first and all of them settle', async (t) => {
    const ledger = await memoryLedger(t);
    const first = await openDesk(t, devnet, { ledger, openChain: deaf, settleMs: 50 });
    const open: Payment[] = [];
    for (const payer of [1, 2, 3]) {
      const { payment } = await grant(first, payer);
      open.push(await first.capture(payment));
    }
    await first.rail.close();
    const second = await openDesk(t, devnet, { ledger });
    const got = await income(async () => {
      const { payment } = await grant(second, 4);
      const settled = [second.capture(payment), ...open.map((one) => second.rail.resolve(one))];
      for (const { state } of await Promise.all(settled)) assert.equal(state, 'settled');
    });
    assert.equal(got, 4n * COST);
    assert.deepEqual(await ledger.audit(), []);
  });

  it('leaves a captured payment: asked for many times at once it settles once', async (t) => {
    const ledger = await memoryLedger(t);
    const first = await openDesk(t, devnet, { ledger, openChain: deaf, settleMs: 50 });
    const { payment } = await grant(first, 2);
    const open = await first.capture(payment);
    await first.rail.close();
    const second = await openDesk(t, devnet, { ledger });
    const got = await income(async () => {
      const all = await Promise.all(Array.from({ length: 10 }, () => second.rail.resolve(open)));
      assert.deepEqual(new Set(all.map(({ state }) => state)), new Set(['settled']));
    });
    assert.equal(got, COST);
    const again = await second.rail.resolve(open);
    assert.equal(again.state, 'settled');
  });
});

describe('a node that is gone', () => {
  it('at the capture: the payment is unknown, its hold is captured, and a later look settles it', async (t) => {
    const state = { down: false };
    const openChain = chainWith((chain) => ({
      broadcast: (raw) => (state.down ? down() : chain.broadcast(raw)),
      findAuthorization: (query) => (state.down ? down() : chain.findAuthorization(query)),
    }));
    const desk = await openDesk(t, devnet, { openChain, settleMs: 50, resolveMs: 2_000 });
    const { payment } = await grant(desk, 3);
    state.down = true;
    const open = await desk.capture(payment);
    assert.deepEqual([open.state, open.reason], ['settlement_unknown', 'rpc_unavailable']);
    assert.equal((await desk.rail.resolve(open)).state, 'settlement_unknown');
    state.down = false;
    assert.equal((await retried(desk, open)).state, 'settled');
  });
});

describe('a transaction that is stuck', () => {
  it('is sent again with higher fees under its nonce, and settles once', async (t) => {
    const desk = await openDesk(t, devnet, { settleMs: 50, resolveMs: 50, bumpAfterMs: 0 });
    const { payment } = await grant(desk, 4);
    await stopMining(t);
    const open = await desk.capture(payment);
    assert.equal(open.reason, 'pending');
    const before = (await jobOf(desk.ledger, payment)).transaction;
    assert.equal((await desk.rail.resolve(open)).state, 'settlement_unknown');
    const after = (await jobOf(desk.ledger, payment)).transaction;
    assert.ok(before && after && before.hash !== after.hash);
    assert.equal(after.nonce, before.nonce);
    const fee = (raw: string): bigint => parseTransaction(raw as Hex).maxFeePerGas ?? 0n;
    assert.ok(fee(after.raw) > (fee(before.raw) * 11n) / 10n);
    const got = await income(async () => {
      await devnet.rpc('evm_mine');
      const settled = await desk.rail.resolve(open);
      assert.deepEqual([settled.state, settled.transaction], ['settled', after.hash]);
    });
    assert.equal(got, COST);
  });
});

describe('nonces of captures that were not stored', () => {
  it('are used again, so that later payments are not held up', async (t) => {
    const real = await memoryLedger(t);
    let loses: string | null = null;
    const ledger: Ledger = {
      ...real,
      async capture(capture) {
        if (capture.paymentId !== loses) return await real.capture(capture);
        return { outcome: 'lost', payment: await real.findPayment(capture.paymentId) };
      },
    };
    const desk = await openDesk(t, devnet, { ledger });
    const [lost, kept] = [await grant(desk, 5), await grant(desk, 6)];
    loses = lost.payment.id;
    const [first, second] = await Promise.allSettled([
      desk.capture(lost.payment),
      desk.capture(kept.payment),
    ]);
    assert.equal(first.status, 'rejected');
    assert.ok(second.status === 'fulfilled' && second.value.state === 'settled');
  });

  it('are passed over when something else is stored under them', async (t) => {
    const ledger = await memoryLedger(t);
    const one = await openDesk(t, devnet, { ledger, openChain: deaf, settleMs: 50 });
    const two = await openDesk(t, devnet, { ledger, openChain: deaf, settleMs: 50 });
    const payments = await Promise.all([grant(one, 5), grant(two, 6)]);
    const nonces: unknown[] = [];
    for (const [i, desk] of [one, two].entries()) {
      const payment = payments[i]?.payment;
      assert.ok(payment);
      await desk.capture(payment);
      nonces.push((await jobOf(ledger, payment)).transaction?.nonce);
    }
    assert.equal(nonces[1], Number(nonces[0]) + 1);
    const third = await openDesk(t, devnet, { ledger });
    for (const { payment } of payments) {
      const open = await ledger.findPayment(payment.id);
      assert.ok(open);
      assert.equal((await third.rail.resolve(open)).state, 'settled');
    }
  });
});

describe('the receipt in headers', () => {
  const headersOf = (desk: Desk, payment: Payment): readonly string[] =>
    desk.rail.receiptHeaders(payment);

  it('is read by the official decoder, and names the network as each version does', async (t) => {
    const desk = await openDesk(t, devnet);
    const { payment } = await grant(desk, 7);
    const settled = await desk.capture(payment);
    const [name2, v2 = '', name1, v1 = ''] = headersOf(desk, settled);
    assert.deepEqual([name2, name1], ['PAYMENT-RESPONSE', 'X-PAYMENT-RESPONSE']);
    assert.equal(decodePaymentResponseHeader(v2).success, true);
    const expected = {
      ...{ success: true, transaction: settled.transaction, amount: '6000' },
      payer: account(devnet, 7).address,
    };
    assert.deepEqual(decodeSettleResponse(v2), { ...expected, network: 'eip155:8453' });
    assert.deepEqual(decodeSettleResponse(v1), { ...expected, network: 'base' });
  });

  it('says that the settlement is pending, or why it failed, and nothing before the capture', async (t) => {
    const desk = await openDesk(t, devnet);
    const { payment } = await grant(desk, 7);
    assert.deepEqual(headersOf(desk, payment), []);
    const of = (over: Partial<Payment>) =>
      decodeSettleResponse(headersOf(desk, { ...payment, ...over })[1] ?? '');
    const pending = of({ state: 'settlement_unknown', reason: 'pending' });
    assert.deepEqual([pending.success, pending.errorReason], [false, 'settlement_pending']);
    const failed = of({ state: 'settlement_failed', reason: 'authorization_expired' });
    assert.deepEqual([failed.success, failed.errorReason], [false, 'authorization_expired']);
    assert.deepEqual(headersOf(desk, { ...payment, state: 'released' }), []);
  });
});

async function mineUntilDone(work: Promise<unknown>): Promise<void> {
  const state = { done: false };
  void work.finally(() => {
    state.done = true;
  });
  // Our transaction must be in the pool before the block is made, or it would not be overtaken.
  while (!state.done) {
    const { pending } = (await devnet.rpc('txpool_status')) as { pending: string };
    if (Number(pending) >= 2 || Number(pending) === 0) await devnet.rpc('evm_mine');
  }
}

/** Looks again until the pace of pushes allows the next one. */
async function retried(desk: Desk, payment: Payment): Promise<Payment> {
  const deadlineMs = Date.now() + 10_000;
  while (Date.now() < deadlineMs) {
    const found = await desk.rail.resolve(payment);
    if (found.state !== payment.state) return found;
    await devnet.rpc('evm_mine');
  }
  return assert.fail('it stayed open');
}
