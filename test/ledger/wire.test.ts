/** What crosses between the threads arrives as it was sent: encode, clone and decode are together the identity. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { PaymentClaim } from '../../src/core/payment.ts';
import type { Capture } from '../../src/core/ports/ledger.ts';
import { operations } from '../../src/ledger/operations.ts';
import { paymentOf } from '../../src/ledger/payment-row.ts';
import type { Call, Outcome } from '../../src/ledger/run-batch.ts';
import { type AskedCall, AskingWire, decodeCalls, encodeOutcomes } from '../../src/ledger/wire.ts';

const text = fc.string({ unit: 'binary', maxLength: 6 });
const ms = fc.nat();
const atoms = fc.bigInt({ min: -(2n ** 64n), max: 2n ** 64n });
const maybe = <T>(arbitrary: fc.Arbitrary<T>) => fc.option(arbitrary, { nil: null });
const id = fc.nat(3).map((n) => `pay_${n}`);

const claim: fc.Arbitrary<PaymentClaim> = fc.record({
  id,
  rail: fc.constantFrom('prepaid', 'x402', 'free'),
  route: text,
  payer: text,
  network: maybe(text),
  asset: text,
  max: atoms,
  quoteMax: atoms,
  credentialKey: text,
  credentialHash: text,
  digest: text,
  owner: text,
  replay: fc.constantFrom('always', 'until-broadcast'),
  createdAtMs: ms,
  expiresAtMs: ms,
});
const hold = fc.record({ claim, keyId: text, secretHash: text, day: text });

/** Sometimes a view into a larger buffer. */
const body = fc
  .tuple(fc.uint8Array({ maxLength: 40 }), fc.nat(5))
  .map(([bytes, from]) => bytes.subarray(Math.min(from, bytes.length)));
const capture: fc.Arbitrary<Capture> = fc.record(
  {
    paymentId: id,
    owner: text,
    amount: atoms,
    cost: atoms,
    usage: fc.array(fc.record({ unit: text, count: fc.double(), price: text, cost: text }), {
      maxLength: 2,
    }),
    answer: maybe(
      fc.record({ status: fc.nat(599), headers: fc.array(text, { maxLength: 3 }), body }),
    ),
    job: maybe(
      fc.record({
        ...{ network: text, scheme: text, payload: text, via: text, validBeforeMs: ms },
        transaction: fc.record({ sender: text, nonce: ms, hash: text, raw: text }),
      }),
    ),
    delivering: fc.boolean(),
  },
  { requiredKeys: ['paymentId', 'owner', 'amount', 'cost', 'usage', 'answer', 'job'] },
);

/** Whatever can be cloned, such as the arguments of the other operations and what makes no sense. */
const anything = fc.oneof(
  fc.anything({ withBigInt: true, withTypedArray: true, maxDepth: 1 }),
  fc.constant(undefined),
);
const names = Object.keys(operations) as Call['name'][];
const call: fc.Arbitrary<Call> = fc.oneof(
  hold.map((value) => ({ name: 'holdPrepaid' as const, args: [value], nowMs: 1 })),
  capture.map((value) => ({ name: 'capture' as const, args: [value], nowMs: 2 })),
  fc.record({
    name: fc.constantFrom(...names),
    args: fc.array(anything, { maxLength: 3 }),
    nowMs: ms,
  }),
);

const cross = <T>(value: T): T => structuredClone(value);

test('security: every call of every operation arrives as it was made, whatever is in it', () => {
  fc.assert(
    fc.property(fc.array(call), (calls) => {
      const arrived = decodeCalls(cross(new AskingWire().encodeCalls(calls)));
      assert.deepEqual(
        arrived.map(({ name, args, nowMs }) => ({ name, args, nowMs })),
        cross(calls),
      );
    }),
    { numRuns: 400, endOnFailure: true },
  );
});

test('every operation is laid out, and no body of one answer reaches another', () => {
  const answer = (body: string) => ({ status: 200, headers: ['a', 'b'], body: Buffer.from(body) });
  const calls: Call[] = names.map((name, index) => ({
    name,
    args: [{ paymentId: 'p', usage: [], answer: answer(`body ${index}`), claim: null }],
    nowMs: index,
  }));
  for (const body of ['', 'first', 'second'])
    calls.push({ name: 'capture', args: [{ usage: [], answer: answer(body) }], nowMs: 0 });
  const arrived = decodeCalls(cross(new AskingWire().encodeCalls(calls)));
  assert.deepEqual(
    arrived.map(({ name }) => name),
    calls.map(({ name }) => name),
  );
  const bodies = arrived.slice(-3).map(({ args }) => (args[0] as Capture).answer?.body);
  assert.deepEqual(
    bodies.map((bytes) => Buffer.from(bytes as Uint8Array).toString()),
    ['', 'first', 'second'],
  );
});

/** What the ledger may answer to a call: for the two that have a short form, also all that has none. */
function outcomeOf(
  asked: AskedCall,
  held: ReadonlyMap<string, PaymentClaim>,
): fc.Arbitrary<Outcome> {
  const failure: fc.Arbitrary<Outcome> = fc.record({
    failure: fc.record({ code: text, message: text }),
  });
  const other = anything.map((value) => ({ value: { outcome: 'x', value } }));
  if (asked.name === 'holdPrepaid' && asked.args.length === 1) {
    const given = (asked.args[0] as { claim?: PaymentClaim } | undefined)?.claim;
    if (typeof given !== 'object' || given === null) return failure;
    const payment = paymentOf({ claim: given, state: 'running' });
    return fc.oneof(
      atoms.map((balance) => ({ value: { outcome: 'held', payment, balance } })),
      ...[failure, other],
    );
  }
  if (asked.name === 'capture' && asked.args.length === 1) {
    const order = asked.args[0] as Capture | undefined;
    const claimed = held.get(order?.paymentId ?? '');
    if (order === undefined || claimed === undefined) return failure;
    const { owner, amount, cost, usage, job } = order;
    const state = job === null ? 'settled' : 'captured';
    const end = { owner, amount, cost, usage, state, updatedAtMs: asked.nowMs };
    const payment = { ...paymentOf({ claim: claimed, state: 'running' }), ...end };
    return fc.oneof(
      ms.map((expiresAtMs) => ({
        value: { outcome: 'done', payment: { ...payment, expiresAtMs } },
      })),
      text.map((reason) => ({ value: { outcome: 'done', payment: { ...payment, reason } } })),
      fc.constant({ value: { outcome: 'lost', payment } }),
      ...[fc.constant({ value: { outcome: 'lost', payment: null } }), failure],
    );
  }
  return fc.oneof(failure, other);
}

test('security: every outcome arrives as the ledger gave it, also where a known payment is not sent back', () => {
  let short = 0;
  fc.assert(
    fc.property(
      fc.array(fc.array(call, { maxLength: 6 }), { maxLength: 5 }),
      fc.gen(),
      (batches, gen) => {
        const wire = new AskingWire();
        const held = new Map<string, PaymentClaim>();
        for (const calls of batches) {
          const asked = decodeCalls(cross(wire.encodeCalls(calls)));
          short += asked.filter(({ isKnown }) => isKnown).length;
          const outcomes = asked.map((one) => gen(outcomeOf, one, held));
          const arrived = wire.decodeOutcomes(calls, cross(encodeOutcomes(asked, outcomes)));
          assert.deepEqual(cross(arrived), cross(outcomes));
          for (const [index, outcome] of outcomes.entries()) {
            const value = 'value' in outcome ? (outcome.value as { outcome?: string }) : {};
            if (asked[index]?.name !== 'holdPrepaid' || value.outcome !== 'held') continue;
            const { claim: own } = asked[index].args[0] as { claim: PaymentClaim };
            held.set(own.id, own);
          }
        }
      },
    ),
    { numRuns: 400, endOnFailure: true },
  );
  assert.ok(short > 10, `only ${short} captures were of known payments`);
});
