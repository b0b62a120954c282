/** A reorganisation drops blocks in which payments settled: on a real chain that is put back. */

import assert from 'node:assert/strict';
import { after, before, it, type TestContext } from 'node:test';
import { type EvmChain, openEvmChain } from '../../src/chains/evm/open-evm-chain.ts';
import { silentLog } from '../../src/core/log.ts';
import type { Payment } from '../../src/core/payment.ts';
import { type EvmDevnet, startEvmDevnet } from '../../src/devnet/start-evm-devnet.ts';
import { createRecovery } from '../../src/settlement/recovery.ts';
import { cancelAuthorization } from '../chains/evm-payer.ts';
import {
  account,
  COST,
  type Desk,
  type DeskOptions,
  firstOffer,
  OWNER,
  openDesk,
  PAY_TO,
  signOffer,
} from './x402-fixture.ts';

let devnet: EvmDevnet;
before(async () => {
  devnet = await startEvmDevnet({ chainId: 8453 });
});
after(() => devnet.close());

interface Reorganised {
  readonly desk: Desk;
  readonly nonces: readonly `0x${string}`[];
  /** Questions about blocks that the chain was asked. */
  readonly asked: bigint[][];
  /** Puts the chain back to before the payments, and builds as many other blocks. */
  reorganise(): Promise<void>;
  round(): Promise<void>;
  payments(): Promise<Payment[]>;
}

async function settledPayments(
  t: TestContext,
  count: number,
  options: DeskOptions = {},
): Promise<Reorganised> {
  const asked: bigint[][] = [];
  const openChain: DeskOptions['openChain'] = (given) => {
    const chain = openEvmChain(given);
    const blockHashes: EvmChain['blockHashes'] = (blocks) => {
      asked.push([...blocks]);
      return chain.blockHashes(blocks);
    };
    return { ...chain, blockHashes };
  };
  const desk = await openDesk(t, devnet, { openChain, ...options });
  const offer = await firstOffer(desk);
  // Blocks come with transactions only, so that a test knows how high the chain is.
  await devnet.rpc('evm_setIntervalMining', [0]);
  await devnet.rpc('evm_setAutomine', [true]);
  const snapshot = await devnet.rpc('evm_snapshot');
  const nonces: `0x${string}`[] = [];
  for (let payer = 1; payer <= count; payer++) {
    const signed = signOffer(offer, account(devnet, payer));
    nonces.push(signed.authorization.nonce);
    const settled = await desk.capture(await desk.grant(signed.v2));
    assert.equal(settled.state, 'settled');
  }
  const recovery = createRecovery({
    ...{ ledger: desk.ledger, rails: [desk.rail], owner: OWNER, clock: desk.clock },
    ...{ log: silentLog, orphans: new Map() },
    ...{ leaseMs: 15_000, everyMs: 1_000, replayTtlMs: 60_000 },
  });
  await desk.ledger.heartbeat(OWNER, Date.now() + 600_000);
  return {
    ...{ desk, nonces, asked },
    async reorganise() {
      const height = Number(await devnet.rpc('eth_blockNumber'));
      await devnet.rpc('evm_revert', [snapshot]);
      // The same blocks at other times are other blocks.
      await devnet.rpc('evm_increaseTime', [1]);
      while (Number(await devnet.rpc('eth_blockNumber')) <= height) await devnet.rpc('evm_mine');
    },
    round: () => recovery.round(),
    payments: () => desk.ledger.listPayments({ limit: 10 }),
  };
}

const statesOf = (payments: readonly Payment[]): string[] => payments.map(({ state }) => state);

it('what settled in blocks that were dropped is settled again, and the books follow', async (t) => {
  const s = await settledPayments(t, 3);
  await s.round();
  const before = await s.payments();
  await s.reorganise();
  assert.equal(await devnet.usdcBalance(PAY_TO), 0n);
  await s.desk.rail.recheck?.();
  assert.deepEqual(statesOf(await s.payments()), Array(3).fill('captured'));
  assert.deepEqual(await s.desk.ledger.audit(), []);
  await s.round();
  const after = await s.payments();
  assert.deepEqual(statesOf(after), Array(3).fill('settled'));
  assert.deepEqual(
    after.map(({ transaction }) => transaction),
    before.map(({ transaction }) => transaction),
    'the stored transactions, no others',
  );
  assert.equal(await devnet.usdcBalance(PAY_TO), 3n * COST);
  assert.deepEqual(await s.desk.ledger.audit(), []);
});

it('who uses a reorganisation to take his money back is barred', async (t) => {
  const s = await settledPayments(t, 1);
  await s.reorganise();
  const [nonce] = s.nonces;
  assert.ok(nonce);
  await cancelAuthorization(devnet, 1, nonce);
  await s.desk.rail.recheck?.();
  await s.round();
  const [payment] = await s.payments();
  assert.deepEqual(
    [payment?.state, payment?.reason],
    ['settlement_failed', 'authorization_cancelled'],
  );
  assert.deepEqual(await s.desk.ledger.audit(), []);
  const again = signOffer(await firstOffer(s.desk), account(devnet, 1));
  await assert.rejects(s.desk.present(again.v2), { code: 'payer_barred' });
});

it('while nothing new settles, one question per round is enough; beyond the depth there is none', async (t) => {
  const s = await settledPayments(t, 3, { network: { recheckBlocks: 8 } });
  for (const _ of [1, 2, 3]) await s.desk.rail.recheck?.();
  assert.deepEqual(
    s.asked.map(({ length }) => length),
    [3, 1, 1],
  );
  await devnet.rpc('anvil_mine', ['0x10', '0x0']);
  await s.desk.rail.recheck?.();
  await s.desk.rail.recheck?.();
  assert.equal(s.asked.length, 4, 'the round that learns how far the chain is');
});

it('a node that is only behind un-settles nothing', async (t) => {
  const s = await settledPayments(t, 1);
  const height = Number(await devnet.rpc('eth_blockNumber'));
  await devnet.rpc('anvil_rollback', [1]);
  assert.ok(Number(await devnet.rpc('eth_blockNumber')) < height);
  await s.desk.rail.recheck?.();
  assert.deepEqual(statesOf(await s.payments()), ['settled']);
});

it('with a depth of 0 nobody looks', async (t) => {
  const s = await settledPayments(t, 1, { network: { recheckBlocks: 0 } });
  await s.reorganise();
  await s.round();
  assert.deepEqual(statesOf(await s.payments()), ['settled']);
  assert.deepEqual(s.asked, []);
});
