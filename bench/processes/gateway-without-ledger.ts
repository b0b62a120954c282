/** The same gateway over a ledger that writes nothing: what is left is the price of everything but the ledger. */

import { randomFillSync } from 'node:crypto';
import type { Config } from '../../src/config.ts';
import { systemClock } from '../../src/core/clock.ts';
import { newId, type Random } from '../../src/core/id.ts';
import type { Payment, PaymentClaim } from '../../src/core/payment.ts';
import type { Ledger } from '../../src/core/ports/ledger.ts';
import { createRails } from '../../src/rails/index.ts';
import { type AnswerExchange, createAnswerExchange } from '../../src/request/answer-exchange.ts';
import { InFlight } from '../../src/request/in-flight.ts';
import { compileRoutes } from '../../src/request/match-route.ts';
import { createQuotes } from '../../src/request/quote-price.ts';
import { createRateLimits } from '../../src/request/rate-limits.ts';
import { httpUpstream } from '../../src/upstreams/http.ts';
import { loudLog } from './loud-log.ts';

/** Composes what `createGateway` composes, except ledger and recovery. Serves prepaid and free routes. */
export function createGatewayWithoutLedger(config: Config): {
  readonly handle: AnswerExchange;
  close(): Promise<void>;
} {
  const { connectMs, headMs, idleMs } = config.timeouts;
  const ledger = forgetfulLedger();
  const random = pooledRandom();
  const parts = { ledger, clock: systemClock, random, log: loudLog };
  const quotes = createQuotes('a secret of the benchmark', config.quotes.ttlMs, random);
  const upstreams = new Map(
    Object.entries(config.upstreams).map(([name, upstream]) => [
      name,
      httpUpstream({ ...upstream, connectMs, headMs, idleMs }),
    ]),
  );
  const handle = createAnswerExchange({
    ...parts,
    quotes,
    upstreams,
    matchRoute: compileRoutes(config.routes),
    rails: createRails({
      ...parts,
      payments: config.payments,
      confirmations: config.confirmations,
      settleMs: config.timeouts.settleMs,
      marginMs: 60_000,
      verifyQuote: quotes.verify,
    }),
    rateLimits: createRateLimits(config.limits, systemClock),
    inFlight: new InFlight(),
    owner: newId('proc', random),
    credentialHeaders: new Set(['x-api-key', 'authorization']),
    limits: {
      bodyBytes: config.limits.bodyBytes,
      concurrency: config.limits.concurrency,
      bufferBytes: config.exact.bufferBytes,
      replayBytes: config.replay.maxBytes,
    },
    exposure: config.exposure,
    corsOrigins: null,
    keyOf: async () => null,
    orphans: new Map(),
  });
  return {
    handle,
    async close() {
      for (const upstream of upstreams.values()) await upstream.close();
    },
  };
}

/** Knows the payments that run, and agrees to everything. */
function forgetfulLedger(): Ledger {
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
    close: async () => {},
  };
  return ledger as Ledger;
}

/** As the gateway does it: one call to the system's generator serves many ids. */
function pooledRandom(): Random {
  const pool = Buffer.alloc(8_192);
  let used = pool.length;
  return (bytes) => {
    if (used + bytes > pool.length) {
      randomFillSync(pool);
      used = 0;
    }
    used += bytes;
    return Uint8Array.prototype.slice.call(pool, used - bytes, used);
  };
}
