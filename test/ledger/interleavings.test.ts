/**
 * Random interleavings against a model of a few lines: operations are submitted together, are executed
 * in the order of their submission, and must leave exactly the balances of the model.
 */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { Ledger } from '../../src/core/ports/ledger.ts';
import {
  balanceOf,
  captureOf,
  createKey,
  freeHold,
  jobOf,
  OWNER,
  openInThread,
  prepaidHold,
  ROUTE,
  releaseOf,
  settledFact,
  USDC,
  WALLET,
  walletClaim,
} from './fixture.ts';

type Step =
  | { readonly kind: 'hold'; readonly slot: number; readonly max: bigint }
  | { readonly kind: 'capture'; readonly slot: number; readonly amount: bigint }
  | { readonly kind: 'release'; readonly slot: number }
  | { readonly kind: 'top_up'; readonly amount: bigint }
  | { readonly kind: 'settled'; readonly slot: number }
  | { readonly kind: 'failed'; readonly slot: number }
  | { readonly kind: 'due'; readonly slot: number };

const slot = fc.nat({ max: 5 });
const atoms = fc.bigInt({ min: 0n, max: 60n });
const holds = fc.record({ kind: fc.constant('hold' as const), slot, max: atoms });
const captures = fc.record({ kind: fc.constant('capture' as const), slot, amount: atoms });
const releases = fc.record({ kind: fc.constant('release' as const), slot });
const topUps = fc.record({ kind: fc.constant('top_up' as const), amount: atoms });
const prepaidWaves = fc.array(
  fc.array(fc.oneof(holds, captures, releases, topUps), { minLength: 1, maxLength: 12 }),
  { minLength: 1, maxLength: 6 },
);
const walletWaves = fc.array(
  fc.array(
    fc.oneof(
      holds,
      captures,
      releases,
      fc.record({ kind: fc.constant('settled' as const), slot }),
      fc.record({ kind: fc.constant('failed' as const), slot }),
      fc.record({ kind: fc.constant('due' as const), slot }),
    ),
    { minLength: 1, maxLength: 12 },
  ),
  { minLength: 1, maxLength: 6 },
);

interface Held {
  readonly max: bigint;
  state: 'running' | 'captured' | 'settled' | 'failed' | 'due' | 'released';
  amount: bigint;
  seen: boolean;
}

/** What the balances must be, in the fewest words. */
class Model {
  readonly payments = new Map<number, Held>();
  balance: bigint;
  revenue = 0n;

  constructor(balance: bigint) {
    this.balance = balance;
  }

  hold(slot: number, max: bigint): string {
    if (this.payments.has(slot)) return 'exists';
    if (this.balance < max) return 'insufficient';
    this.balance -= max;
    this.payments.set(slot, { max, state: 'running', amount: 0n, seen: false });
    return 'held';
  }

  capture(slot: number, amount: bigint): string {
    const held = this.payments.get(slot);
    if (held?.state !== 'running') return 'lost';
    if (amount > held.max) return 'refused';
    held.state = 'settled';
    held.amount = amount;
    this.balance += held.max - amount;
    this.revenue += amount;
    return 'done';
  }

  release(slot: number): string {
    const held = this.payments.get(slot);
    if (held?.state !== 'running') return 'lost';
    held.state = 'released';
    this.balance += held.max;
    return 'done';
  }
}

const outcomeOf = async (promise: Promise<{ readonly outcome: string }>): Promise<string> => {
  try {
    return (await promise).outcome;
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'money_law_broken')
      return 'refused';
    throw error;
  }
};

const slotId = (slot: number): string => `pay_slot_${slot}`;

function applyPrepaid(ledger: Ledger, model: Model, step: Step): [Promise<string>, string] {
  switch (step.kind) {
    case 'hold': {
      const hold = prepaidHold('key_1', step.max, { id: slotId(step.slot) });
      return [outcomeOf(ledger.holdPrepaid(hold)), model.hold(step.slot, step.max)];
    }
    case 'capture': {
      const capture = captureOf(slotId(step.slot), step.amount);
      return [outcomeOf(ledger.capture(capture)), model.capture(step.slot, step.amount)];
    }
    case 'release':
      return [outcomeOf(ledger.release(releaseOf(slotId(step.slot)))), model.release(step.slot)];
    case 'top_up': {
      model.balance += step.amount;
      const topped = ledger.topUpKey('key_1', step.amount, 'operator', 1);
      return [topped.then((key) => (key ? 'done' : 'lost')), 'done'];
    }
    default:
      throw new Error(`No prepaid ${step.kind}`);
  }
}

test('property: any interleaving of holds, captures, releases and top-ups leaves the balances of the model', async () => {
  await fc.assert(
    fc.asyncProperty(prepaidWaves, fc.bigInt({ min: 0n, max: 150n }), async (waves, start) => {
      const { ledger } = await openInThread(':memory:');
      try {
        await createKey(ledger, 'key_1', start);
        const model = new Model(start);
        for (const wave of waves) {
          const pairs = wave.map((step) => applyPrepaid(ledger, model, step));
          const found = await Promise.all(pairs.map(([outcome]) => outcome));
          assert.deepEqual(
            found,
            pairs.map(([, expected]) => expected),
          );
        }
        assert.equal((await ledger.findKey('key_1'))?.balance, model.balance);
        assert.equal(await balanceOf(ledger, `revenue:${ROUTE}`), model.revenue);
        assert.deepEqual(await ledger.audit(), []);
      } finally {
        await ledger.close();
      }
    }),
    { numRuns: 150 },
  );
});

/** The wallet's own balance on the chain, from which the ledger may take only what is still there. */
const ON_CHAIN = 120n;

function applyWallet(ledger: Ledger, model: Model, step: Step): [Promise<string>, string] {
  if (step.kind === 'top_up') throw new Error('Wallets are not topped up here');
  const id = slotId(step.slot);
  const held = model.payments.get(step.slot);
  switch (step.kind) {
    case 'hold': {
      void ledger.claim(walletClaim(step.max, { id }));
      const hold = { paymentId: id, owner: OWNER, balance: ON_CHAIN, block: 100n };
      const expected = model.hold(step.slot, step.max);
      return [
        outcomeOf(ledger.holdExposure(hold)),
        expected === 'exists' ? 'not_claimed' : expected,
      ];
    }
    case 'capture': {
      // Zero would need no job; it is tested by itself.
      const amount = step.amount + 1n;
      const capture = captureOf(id, amount, { job: jobOf() });
      const expected = model.capture(step.slot, amount);
      if (held && expected === 'done') held.state = 'captured';
      return [outcomeOf(ledger.capture(capture)), expected];
    }
    case 'release': {
      // A claim that lacked money is released too.
      const isClaimed = held === undefined && claimed.has(step.slot);
      return [
        outcomeOf(ledger.release(releaseOf(id))),
        isClaimed ? 'done' : model.release(step.slot),
      ];
    }
    default:
      return applyOutside(ledger, model, step.kind, held, id);
  }
}

const claimed = new Set<number>();

function applyOutside(
  ledger: Ledger,
  model: Model,
  kind: 'settled' | 'failed' | 'due',
  held: Held | undefined,
  id: string,
): [Promise<string>, string] {
  const amount = held?.amount ?? 0n;
  const isOpen = held?.state === 'captured' || (held?.state === 'due' && !held.seen);
  if (kind === 'settled') {
    const may = isOpen || held?.state === 'failed' || held?.state === 'released';
    let seen = amount;
    if (held && may) {
      // What was never captured moves what it held; what failed here was never served. Both are owed back.
      if (held.state === 'released') seen = held.max;
      if (held.state === 'failed') model.balance -= amount;
      if (held.state === 'released') model.balance -= seen;
      held.state = held.state === 'captured' ? 'settled' : 'due';
      held.amount = seen;
      held.seen = true;
    }
    return [outcomeOf(ledger.settled(settledFact(id, seen, 200n))), may ? 'done' : 'lost'];
  }
  if (kind === 'failed') {
    if (held && isOpen) {
      if (held.state === 'captured') model.revenue -= amount;
      held.state = 'failed';
      model.balance += amount;
    }
    return [outcomeOf(ledger.settlementFailed(id, 'expired')), isOpen ? 'done' : 'lost'];
  }
  const may = held?.state === 'captured' || held?.state === 'settled';
  if (held && may) {
    held.state = 'due';
    model.revenue -= amount;
  }
  return [outcomeOf(ledger.refundDue(id, 'upstream_broke_off')), may ? 'done' : 'lost'];
}

test('property: any interleaving of wallet payments and outside facts leaves the balances of the model', async () => {
  await fc.assert(
    fc.asyncProperty(walletWaves, async (waves) => {
      const { ledger } = await openInThread(':memory:');
      try {
        const model = new Model(ON_CHAIN);
        claimed.clear();
        for (const wave of waves) {
          const pairs = wave.flatMap((step) => {
            if (step.kind === 'hold' && claimed.has(step.slot)) return [];
            const pair = applyWallet(ledger, model, step);
            if (step.kind === 'hold') claimed.add(step.slot);
            // A claim that was refused or released can't be held again in this model.
            if (step.kind === 'release' && pair[1] === 'done' && !model.payments.has(step.slot))
              model.payments.set(step.slot, {
                max: 0n,
                state: 'released',
                amount: 0n,
                seen: false,
              });
            return [pair];
          });
          const found = await Promise.all(pairs.map(([outcome]) => outcome));
          assert.deepEqual(
            found,
            pairs.map(([, expected]) => expected),
          );
        }
        assert.equal(await balanceOf(ledger, `revenue:${ROUTE}`, USDC), model.revenue);
        let owed = 0n;
        for (const { state, max, amount, seen } of model.payments.values()) {
          if (state === 'running') owed += max;
          if (!seen && (state === 'captured' || state === 'due')) owed += amount;
        }
        assert.equal(await balanceOf(ledger, WALLET, USDC), -owed);
        assert.deepEqual(await ledger.audit(), []);
      } finally {
        await ledger.close();
      }
    }),
    { numRuns: 150 },
  );
});

test('property: free calls of any payers, taken and given back in any order, match a count', async () => {
  const step = fc.record({ payer: fc.nat({ max: 2 }), release: fc.boolean() });
  await fc.assert(
    fc.asyncProperty(
      fc.array(step, { maxLength: 40 }),
      fc.nat({ max: 5 }),
      async (steps, perDay) => {
        const { ledger } = await openInThread(':memory:');
        try {
          const taken: string[][] = [[], [], []];
          for (const { payer, release } of steps) {
            const mine = taken[payer] as string[];
            const hold = freeHold(`ip:203.0.113.${payer}`, perDay);
            if (!release) {
              const { outcome } = await ledger.holdFree(hold);
              assert.equal(outcome, mine.length < perDay ? 'held' : 'exhausted');
              if (outcome === 'held') mine.push(hold.claim.id);
            } else {
              const id = mine.pop();
              if (id !== undefined) await ledger.release(releaseOf(id));
            }
            assert.equal(await ledger.freeRemaining(hold.quota), perDay - mine.length);
          }
          assert.deepEqual(await ledger.audit(), []);
        } finally {
          await ledger.close();
        }
      },
    ),
    { numRuns: 60 },
  );
});
