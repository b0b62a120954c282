/**
 * How a batch crosses between the threads: one flat list each way. A structured clone of objects costs more
 * than the commit, so the two operations of every paid call are laid out value by value, the bodies of all
 * answers go in one piece, and a payment that the asking side knows is not sent back. All else is cloned as it is.
 */

import type { Payment, PaymentClaim, StoredAnswer } from '../core/payment.ts';
import type { Capture, Ledger, PrepaidHold, Transition } from '../core/ports/ledger.ts';
import type { UsageLine } from '../core/usage.ts';
import type { Failure } from './errors.ts';
import { paymentOf } from './payment-row.ts';
import type { Call, Outcome } from './run-batch.ts';

/** Read from the front, in the order in which it was written. */
export type Frame = readonly unknown[];

type Hold = Parameters<Ledger['holdPrepaid']>[0];

const AS_IT_IS = 0;
const HOLD_PREPAID = 1;
const CAPTURE = 2;
const FAILURE = 3;

/** Holds whose end was not asked for yet; beyond this all are forgotten and their ends come back whole. */
const KNOWN_MAX = 20_000;

/** The asking side. It knows the payments it holds, so that a capture need not answer with them. */
export class AskingWire {
  readonly #known = new Map<string, Payment>();
  /** For each call of the batch under way: the payment that it ends, if that is known. */
  #ends: (Payment | undefined)[] = [];

  encodeCalls(calls: readonly Call[]): Frame {
    const frame: unknown[] = [];
    const bodies: Uint8Array[] = [];
    this.#ends = calls.map((call) => {
      const { name, args, nowMs } = call;
      if (name === 'holdPrepaid' && isHold(args)) writeHold(frame, args[0], nowMs);
      else if (name === 'capture' && isCapture(args)) {
        const known = this.#take(args[0].paymentId);
        writeCapture(frame, bodies, args[0], nowMs, known !== undefined);
        return known;
      } else frame.push(AS_IT_IS, call);
      return undefined;
    });
    frame.push(joined(bodies));
    return frame;
  }

  decodeOutcomes(calls: readonly Call[], frame: Frame): Outcome[] {
    let at = 0;
    return calls.map((call, index) => {
      const kind = frame[at++];
      if (kind === HOLD_PREPAID) return { value: this.#held(call, frame[at++] as bigint) };
      if (kind === CAPTURE)
        return { value: captured(this.#ends[index] as Payment, call, frame[at++] as number) };
      return kind === FAILURE ? { failure: frame[at++] as Failure } : { value: frame[at++] };
    });
  }

  #take(paymentId: string): Payment | undefined {
    const known = this.#known.get(paymentId);
    if (known !== undefined) this.#known.delete(paymentId);
    return known;
  }

  #held({ args }: Call, balance: bigint): PrepaidHold {
    const payment = paymentOf({ claim: (args[0] as Hold).claim, state: 'running' });
    if (this.#known.size >= KNOWN_MAX) this.#known.clear();
    this.#known.set(payment.id, payment);
    return { outcome: 'held', payment, balance };
  }
}

/** A call with what the asking side knows of it. */
export interface AskedCall extends Call {
  /** Its payment is known as it was held. */
  readonly isKnown: boolean;
}

export function decodeCalls(frame: Frame): AskedCall[] {
  const reader = new CallReader(frame);
  const calls: AskedCall[] = [];
  while (!reader.isAtEnd()) calls.push(reader.call());
  return calls;
}

export function encodeOutcomes(calls: readonly AskedCall[], outcomes: readonly Outcome[]): Frame {
  const frame: unknown[] = [];
  for (const [index, outcome] of outcomes.entries()) {
    if ('failure' in outcome) frame.push(FAILURE, outcome.failure);
    else writeValue(frame, calls[index] as AskedCall, outcome.value);
  }
  return frame;
}

function writeValue(frame: unknown[], { name, isKnown }: AskedCall, value: unknown): void {
  if (name === 'holdPrepaid') {
    const hold = value as PrepaidHold;
    if (hold.outcome === 'held') {
      frame.push(HOLD_PREPAID, hold.balance);
      return;
    }
  } else if (name === 'capture' && isKnown) {
    const { outcome, payment } = value as Transition;
    if (outcome === 'done' && payment.reason === null && payment.transaction === null) {
      frame.push(CAPTURE, payment.expiresAtMs);
      return;
    }
  }
  frame.push(AS_IT_IS, value);
}

/** A held payment after its capture: all that may differ from the hold is in the order, but for its deadline. */
function captured(held: Payment, { args, nowMs }: Call, expiresAtMs: number): Transition {
  const { owner, amount, cost, usage, job } = args[0] as Capture;
  const state = job === null ? 'settled' : 'captured';
  const end = { owner, state, amount, cost, usage, updatedAtMs: nowMs, expiresAtMs } as const;
  return { outcome: 'done', payment: { ...held, ...end } };
}

/** What makes no sense is cloned as it is, so that it fails in its operation and not on the way. */
function isHold(args: readonly unknown[]): args is readonly [Hold] {
  const [hold] = args as readonly Partial<Hold>[];
  return args.length === 1 && typeof hold?.claim === 'object' && hold.claim !== null;
}

function isCapture(args: readonly unknown[]): args is readonly [Capture] {
  const [order] = args as readonly Partial<Capture>[];
  if (args.length !== 1 || !Array.isArray(order?.usage)) return false;
  const { answer, usage } = order;
  return (
    usage.every((line) => typeof line === 'object' && line !== null) &&
    (answer === null || answer?.body instanceof Uint8Array)
  );
}

function writeHold(frame: unknown[], { claim, keyId, secretHash, day }: Hold, nowMs: number): void {
  frame.push(
    HOLD_PREPAID,
    nowMs,
    keyId,
    secretHash,
    day,
    claim.id,
    claim.rail,
    claim.route,
    claim.payer,
    claim.network,
    claim.asset,
    claim.max,
    claim.quoteMax,
    claim.credentialKey,
    claim.credentialHash,
    claim.digest,
    claim.owner,
    claim.replay,
    claim.createdAtMs,
    claim.expiresAtMs,
  );
}

function writeCapture(
  frame: unknown[],
  bodies: Uint8Array[],
  { paymentId, owner, amount, cost, usage, answer, job, delivering }: Capture,
  nowMs: number,
  isKnown: boolean,
): void {
  frame.push(CAPTURE, nowMs, isKnown, paymentId, owner, amount, cost, job, delivering);
  frame.push(usage.length);
  for (const line of usage)
    frame.push(line.unit, line.model ?? null, line.count, line.price, line.cost);
  if (answer === null) frame.push(null);
  else {
    frame.push(answer.status, answer.headers, answer.body.byteLength);
    bodies.push(answer.body);
  }
}

function joined(bodies: readonly Uint8Array[]): Uint8Array | null {
  if (bodies.length === 0) return null;
  const bytes = new Uint8Array(bodies.reduce((sum, body) => sum + body.byteLength, 0));
  let at = 0;
  for (const body of bodies) {
    bytes.set(body, at);
    at += body.byteLength;
  }
  return bytes;
}

class CallReader {
  readonly #frame: Frame;
  #at = 0;
  #bodyAt = 0;

  constructor(frame: Frame) {
    this.#frame = frame;
  }

  isAtEnd(): boolean {
    // The bodies come last.
    return this.#at >= this.#frame.length - 1;
  }

  call(): AskedCall {
    const kind = this.#next();
    if (kind === AS_IT_IS) return { ...this.#next<Call>(), isKnown: false };
    const nowMs = this.#next<number>();
    if (kind === HOLD_PREPAID)
      return { name: 'holdPrepaid', args: [this.#hold()], nowMs, isKnown: false };
    const isKnown = this.#next<boolean>();
    return { name: 'capture', args: [this.#capture()], nowMs, isKnown };
  }

  #next<T>(): T {
    return this.#frame[this.#at++] as T;
  }

  #hold(): Hold {
    return {
      keyId: this.#next(),
      secretHash: this.#next(),
      day: this.#next(),
      claim: this.#claim(),
    };
  }

  #claim(): PaymentClaim {
    return {
      id: this.#next(),
      rail: this.#next(),
      route: this.#next(),
      payer: this.#next(),
      network: this.#next(),
      asset: this.#next(),
      max: this.#next(),
      quoteMax: this.#next(),
      credentialKey: this.#next(),
      credentialHash: this.#next(),
      digest: this.#next(),
      owner: this.#next(),
      replay: this.#next(),
      createdAtMs: this.#next(),
      expiresAtMs: this.#next(),
    };
  }

  #capture(): Capture {
    const order = {
      paymentId: this.#next<string>(),
      owner: this.#next<string>(),
      amount: this.#next<bigint>(),
      cost: this.#next<bigint>(),
      job: this.#next<Capture['job']>(),
    };
    const delivering = this.#next<boolean | undefined>();
    const rest = { usage: this.#usage(), answer: this.#answer() };
    return delivering === undefined ? { ...order, ...rest } : { ...order, delivering, ...rest };
  }

  #usage(): UsageLine[] {
    const usage: UsageLine[] = [];
    for (let left = this.#next<number>(); left > 0; left--) {
      const unit = this.#next<string>();
      const model = this.#next<string | null>();
      const line = {
        count: this.#next<number>(),
        price: this.#next<string>(),
        cost: this.#next<string>(),
      };
      usage.push(model === null ? { unit, ...line } : { unit, model, ...line });
    }
    return usage;
  }

  #answer(): StoredAnswer | null {
    const status = this.#next<number | null>();
    if (status === null) return null;
    const headers = this.#next<string[]>();
    const from = this.#bodyAt;
    this.#bodyAt += this.#next<number>();
    const bytes = this.#frame.at(-1) as Uint8Array;
    return { status, headers, body: bytes.subarray(from, this.#bodyAt) };
  }
}
