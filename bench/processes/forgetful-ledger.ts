/** A ledger that writes nothing: what is left of a gateway's work is the price of everything but the ledger. */

import type { Payment, PaymentClaim } from '../../src/core/payment.ts';
import type { Ledger } from '../../src/core/ports/ledger.ts';

/** Knows the prepaid payments that run, and agrees to everything. */
export function forgetfulLedger(): Ledger {
  const running = new Map<string, Payment>();
  const open = (claim: PaymentClaim): Payment => {
    const payment: Payment = {
      ...claim,
      state: 'running',
      amount: 0n,
      cost: 0n,
      usage: [],
      transaction: null,
      reason: null,
      updatedAtMs: claim.createdAtMs,
    };
    running.set(payment.id, payment);
    return payment;
  };
  const end = (id: string, change: Partial<Payment>) => {
    const payment = running.get(id);
    running.delete(id);
    return payment === undefined
      ? ({ outcome: 'lost', payment: null } as const)
      : ({ outcome: 'done', payment: { ...payment, ...change } } as const);
  };
  const ledger: Partial<Ledger> = {
    holdPrepaid: async ({ claim }) => ({ outcome: 'held', payment: open(claim), balance: 1n }),
    capture: async ({ paymentId, amount, cost, usage }) =>
      end(paymentId, { state: 'settled', amount, cost, usage }),
    release: async ({ paymentId, state, reason }) => end(paymentId, { state, reason }),
    findPayment: async (id) => running.get(id) ?? null,
    heartbeat: async () => {},
    takeLapsed: async () => [],
    openJobs: async () => [],
    shownJobs: async () => [],
    overdue: async () => [],
    addShadow: async () => {},
    forgetAnswers: async () => 0,
    sharedSecret: async (_name, candidate) => candidate,
    stampMode: async (mode) => mode,
    close: async () => {},
  };
  return ledger as Ledger;
}
