/** Claims that a facilitator was shown and said nothing about, and what becomes of them. */

import assert from 'node:assert/strict';
import { after, before, describe, it, type TestContext } from 'node:test';
import { RpcUnavailable } from '../../src/chains/evm/json-rpc.ts';
import { type EvmChain, openEvmChain } from '../../src/chains/evm/open-evm-chain.ts';
import { RailUnavailable, StoreUnavailable } from '../../src/core/errors.ts';
import { silentLog } from '../../src/core/log.ts';
import type { Payment } from '../../src/core/payment.ts';
import type { Ledger } from '../../src/core/ports/ledger.ts';
import { type EvmDevnet, startEvmDevnet } from '../../src/devnet/start-evm-devnet.ts';
import { createRecovery } from '../../src/settlement/recovery.ts';
import {
  conduct,
  type HostileFacilitator,
  startHostileFacilitator,
} from '../support/hostile-facilitator.ts';
import { until } from '../support/until.ts';
import {
  account,
  COST,
  type Desk,
  type DeskOptions,
  firstOffer,
  memoryLedger,
  OWNER,
  openDesk,
  PAY_TO,
  signOffer,
} from './x402-fixture.ts';

let devnet: EvmDevnet;
/** How far the chain's clock was put forward; that of the gateways follows. */
let aheadMs = 0;
const clock = { now: () => Date.now() + aheadMs };

before(async () => {
  devnet = await startEvmDevnet({ chainId: 8453 });
});
after(() => devnet.close());

interface Shown {
  readonly desk: Desk;
  readonly facilitator: HostileFacilitator;
  readonly header: string;
  round(desk?: Desk): Promise<void>;
  only(desk?: Desk): Promise<Payment>;
}

/** A payment that its facilitator has seen, and never said a word about. */
async function shownPayment(t: TestContext, options: DeskOptions = {}): Promise<Shown> {
  const facilitator = await startHostileFacilitator(t, { devnet, account: 8 });
  const network = { facilitator: [facilitator.url] };
  const desk = await openDesk(t, devnet, { network, clock, ...options });
  const header = signOffer(await firstOffer(desk), account(devnet, 1), {}, clock.now()).v2;
  facilitator.set('verify', conduct.reset);
  await assert.rejects(desk.present(header), RailUnavailable);
  facilitator.honest();
  return {
    ...{ desk, facilitator, header },
    round: (of = desk) => roundOf(of),
    async only(of = desk) {
      const [payment, ...more] = await of.ledger.listPayments({ limit: 2 });
      assert.ok(payment && more.length === 0);
      return payment;
    },
  };
}

async function roundOf({ ledger, rail }: Desk, owner = OWNER): Promise<void> {
  const recovery = createRecovery({
    ...{ ledger, rails: [rail], owner, clock, log: silentLog, orphans: new Map() },
    ...{ leaseMs: 15_000, everyMs: 1_000, replayTtlMs: 60_000 },
  });
  await ledger.heartbeat(owner, clock.now() + 15_000);
  await recovery.round();
  await recovery.stop();
}

/** Shows the payment once the network counts as live again. */
async function present(desk: Desk, header: string, digest = 'digest') {
  return await until(() =>
    desk.present(header, { digest }).catch((error: unknown) => {
      assert.ok(error instanceof RailUnavailable, String(error));
      return null;
    }),
  );
}

async function passTime(seconds: number): Promise<void> {
  aheadMs += seconds * 1_000;
  await devnet.rpc('evm_increaseTime', [seconds]);
  await devnet.rpc('evm_mine');
}

describe('a claim that a silent facilitator was shown', () => {
  it('waits, holds nothing, and goes on when the very same request comes again', async (t) => {
    const s = await shownPayment(t);
    const waiting = await s.only();
    assert.equal(waiting.state, 'claimed');
    assert.deepEqual(
      (await s.desk.ledger.balances()).filter(({ balance }) => balance !== 0n),
      [],
    );
    const granted = await present(s.desk, s.header);
    assert.ok(granted.outcome === 'granted');
    assert.equal(granted.payment.id, waiting.id);
    assert.equal((await s.desk.capture(granted.payment)).state, 'settled');
    const verified = s.facilitator.asked('verify');
    assert.equal(verified.length, 2);
    assert.deepEqual(new Set([...verified, ...s.facilitator.asked('settle')]).size, 1);
    assert.deepEqual(await s.desk.ledger.audit(), []);
  });

  it('goes on in one of several requests that come at once', async (t) => {
    const s = await shownPayment(t);
    await until(() => s.desk.offers().catch(() => null));
    const all = await Promise.all(Array.from({ length: 5 }, () => s.desk.present(s.header)));
    assert.deepEqual(all.map(({ outcome }) => outcome).sort(), [
      ...Array<string>(4).fill('exists'),
      'granted',
    ]);
    assert.equal(s.facilitator.asked('verify').length, 2);
  });

  it('does not go on for another request', async (t) => {
    const s = await shownPayment(t);
    const other = await present(s.desk, s.header, 'another digest');
    assert.equal(other.outcome, 'exists');
    assert.equal(s.facilitator.asked('verify').length, 1);
    assert.equal((await present(s.desk, s.header)).outcome, 'granted');
  });

  it('waits again when its facilitator is silent again, and ends when it refuses', async (t) => {
    const s = await shownPayment(t);
    s.facilitator.set('verify', conduct.say({}));
    await until(() => s.desk.offers().catch(() => null));
    await assert.rejects(s.desk.present(s.header), RailUnavailable);
    assert.equal((await s.only()).state, 'claimed');
    s.facilitator.set('verify', conduct.say({ isValid: false, invalidReason: 'screened_out' }));
    await assert.rejects(present(s.desk, s.header));
    const { state, reason } = await s.only();
    assert.deepEqual([state, reason], ['rejected', 'screened_out']);
  });

  it('goes on at the same facilitator in another process, whatever that one is configured for', async (t) => {
    const ledger = await memoryLedger(t, clock);
    const s = await shownPayment(t, { ledger });
    await s.desk.rail.close();
    const other = await startHostileFacilitator(t, { devnet, account: 9 });
    const network = { facilitator: [other.url] };
    const next = await openDesk(t, devnet, { ledger, network, clock });
    await roundOf(next, 'proc_next');
    assert.equal((await present(next, s.header)).outcome, 'granted');
    assert.equal(s.facilitator.asked('verify').length, 2);
    assert.deepEqual(other.asked('verify'), []);
  });

  it('is not lost when its process dies while the facilitator verifies', async (t) => {
    const real = await memoryLedger(t, clock);
    // A process that dies writes nothing more.
    const dying: Ledger = { ...real, parkClaim: () => new Promise(() => {}) };
    const facilitator = await startHostileFacilitator(t, { devnet, account: 8 });
    const network = { facilitator: [facilitator.url] };
    const dead = await openDesk(t, devnet, { ledger: dying, network, clock });
    const header = signOffer(await firstOffer(dead), account(devnet, 2), {}, clock.now()).v2;
    facilitator.set('verify', conduct.reset);
    void dead.present(header).catch(() => {});
    await until(() => facilitator.asked('verify').length === 1);
    facilitator.honest();
    const next = await openDesk(t, devnet, { ledger: real, network, clock });
    assert.equal((await present(next, header)).outcome, 'exists');
    await roundOf(next, 'proc_next');
    assert.equal((await present(next, header)).outcome, 'granted');
  });

  it('is owed back when its facilitator settles it all the same', async (t) => {
    const s = await shownPayment(t);
    const before = await devnet.usdcBalance(PAY_TO);
    const [body = ''] = s.facilitator.asked('verify');
    await s.facilitator.settleBody(body);
    assert.equal((await devnet.usdcBalance(PAY_TO)) - before, COST);
    await assert.rejects(present(s.desk, s.header));
    assert.equal((await s.only()).state, 'rejected');
    await s.round();
    const { state, reason, amount } = await s.only();
    assert.deepEqual([state, reason, amount], ['refund_due', 'paid_without_answer', COST]);
    assert.deepEqual(await s.desk.ledger.audit(), []);
  });

  it('expires with its authorization, and is looked at once more after that', async (t) => {
    const s = await shownPayment(t);
    await s.round();
    assert.equal((await s.only()).state, 'claimed');
    await passTime(3_600);
    await s.round();
    assert.equal((await s.only()).state, 'expired');
    assert.deepEqual(await s.desk.ledger.shownJobs(), [], 'nobody looks any more');
    assert.deepEqual(await s.desk.ledger.audit(), []);
  });

  it('expires, and is owed back when it had been settled unseen', async (t) => {
    const s = await shownPayment(t);
    const [body = ''] = s.facilitator.asked('verify');
    await s.facilitator.settleBody(body);
    await passTime(3_600);
    await s.round();
    assert.equal((await s.only()).state, 'refund_due');
  });
});

describe('a claim whose end could not be written', () => {
  for (const failing of ['abandonClaim', 'parkClaim'] as const)
    it(`is ended by recovery: ${failing} failed`, async (t) => {
      const real = await memoryLedger(t, clock);
      const state = { down: true };
      const fail = async (): Promise<never> => {
        throw new StoreUnavailable('down');
      };
      const ledger: Ledger = {
        ...real,
        [failing]: (...args: [string, string]) => (state.down ? fail() : real[failing](...args)),
      };
      const facilitator = await startHostileFacilitator(t, { devnet, account: 8 });
      const network = { facilitator: [facilitator.url] };
      // Without a node the claim is given up before anybody was shown it.
      const openChain: DeskOptions['openChain'] = (options) => {
        const chain = openEvmChain(options);
        const down = failing === 'abandonClaim';
        const snapshot: EvmChain['snapshot'] = (...args) =>
          down && state.down ? Promise.reject(new RpcUnavailable('down')) : chain.snapshot(...args);
        return { ...chain, snapshot };
      };
      const desk = await openDesk(t, devnet, { ledger, network, clock, openChain });
      const header = signOffer(await firstOffer(desk), account(devnet, 3), {}, clock.now()).v2;
      facilitator.set('verify', conduct.reset);
      await assert.rejects(desk.present(header), RailUnavailable);
      assert.equal(desk.rail.orphans?.size, 1);
      state.down = false;
      facilitator.honest();
      await roundOf(desk);
      assert.equal(desk.rail.orphans?.size, 0);
      assert.equal((await present(desk, header)).outcome, 'granted');
    });
});
