/** The free tier as a rail: the hold takes one of the day's calls, a release gives it back. */

import { hash } from 'node:crypto';
import { type Clock, utcDay, utcDayEndMs } from '../../core/clock.ts';
import { KeyUnknown, StoreUnavailable } from '../../core/errors.ts';
import type { Exchange } from '../../core/exchange.ts';
import { newTimedId, type Random } from '../../core/id.ts';
import { formatDecimal, USD } from '../../core/money.ts';
import { networkOf } from '../../core/network-of.ts';
import type { FreeQuota, Ledger } from '../../core/ports/ledger.ts';
import type { Authorization, Demand, Presented, Rail } from '../../core/ports/rail.ts';

/** Who is asking, and the API key that proves it where the quota is per key. */
interface Visitor extends Presented {
  readonly scope: string;
  readonly key: { readonly id: string; readonly secretHash: string } | null;
}

export interface FreeRailOptions {
  readonly callsPerDay: number;
  readonly per: 'ip' | 'key';
  /** USD atoms that all free calls of a day may be worth together; null for no ceiling. */
  readonly perDayTotal: bigint | null;
  /** Reads the API key of a request; null when there is none, `unknown` when it can't be one of ours. */
  readonly readKey: (
    exchange: Exchange,
  ) => { readonly id: string; readonly secretHash: string } | 'unknown' | null;
  readonly ledger: Ledger;
  readonly clock: Clock;
  readonly random: Random;
  /** Time beyond the route's own after which a forgotten hold is given back. */
  readonly marginMs: number;
}

export function createFreeRail(options: FreeRailOptions): Rail {
  const { ledger } = options;
  return {
    name: 'free',
    capturesBeforeAnswer: () => false,
    recognise: (exchange) => visitorOf(options, exchange),
    async offers(_quote, _route, exchange) {
      const visitor = visitorOf(options, exchange);
      const remaining = visitor ? await ledger.freeRemaining(quotaOf(options, visitor.scope)) : 0;
      return {
        headers: quotaHeaders(options, remaining),
        body: { freeCallsRemaining: remaining },
        unlock: null,
      };
    },
    authorize: (presented, demand) => takeCall(options, presented as Visitor, demand),
    async capture({ payment, answer }) {
      const captured = await ledger.capture({
        paymentId: payment.id,
        owner: payment.owner,
        amount: 0n,
        cost: 0n,
        usage: [{ unit: 'calls', count: 1, price: '0', cost: '0' }],
        answer,
        job: null,
      });
      if (captured.outcome === 'lost')
        throw new StoreUnavailable('The payment was finished elsewhere.');
      return captured.payment;
    },
    resolve: async (payment) => payment,
    receiptHeaders: () => [],
    close: async () => {},
  };
}

function visitorOf(options: FreeRailOptions, exchange: Exchange): Visitor | null {
  if (options.per === 'ip') return visitor(`ip:${networkOf(exchange.remote.address)}`, null);
  const key = options.readKey(exchange);
  if (key === null) return null;
  if (key === 'unknown') throw new KeyUnknown('This API key is not known.');
  return visitor(`key:${key.id}`, key);
}

function visitor(scope: string, key: Visitor['key']): Visitor {
  const credentialHash = hash('sha256', scope);
  const unbound = { quoteId: null, pays: null };
  return { rail: 'free', oneTime: false, payer: scope, credentialHash, scope, key, ...unbound };
}

function quotaOf(options: FreeRailOptions, scope: string): FreeQuota {
  const day = utcDay(options.clock.now());
  return { scope, day, perDay: options.callsPerDay, totalPerDay: options.perDayTotal };
}

function quotaHeaders({ clock }: FreeRailOptions, remaining: number): string[] {
  const reset = new Date(utcDayEndMs(clock.now())).toISOString();
  return ['X-Free-Calls-Remaining', String(remaining), 'X-Free-Calls-Reset', reset];
}

async function takeCall(
  options: FreeRailOptions,
  { scope, key, credentialHash }: Visitor,
  demand: Demand,
): Promise<Authorization> {
  const id = newTimedId('pay', options.random, demand.nowMs);
  const held = await options.ledger.holdFree({
    quota: quotaOf(options, scope),
    key,
    claim: {
      id,
      rail: 'free',
      route: demand.route.id,
      payer: scope,
      network: null,
      asset: USD.id,
      max: 0n,
      quoteMax: demand.quote.max,
      credentialKey: `free:${id}`,
      credentialHash,
      digest: demand.digest,
      owner: demand.owner,
      replay: 'always',
      createdAtMs: demand.nowMs,
      expiresAtMs: demand.nowMs + demand.route.timeoutMs + options.marginMs,
    },
  });
  if (held.outcome === 'unknown_key') throw new KeyUnknown('This API key is not known.');
  if (held.outcome === 'exhausted') return { outcome: 'declined', ...exhausted(held.by, options) };
  return {
    outcome: 'granted',
    payment: held.payment,
    headers: quotaHeaders(options, held.remaining),
  };
}

function exhausted(
  by: 'payer' | 'total',
  options: FreeRailOptions,
): { code: string; message: string } {
  if (by === 'payer') {
    const message = `Payment required: the ${options.callsPerDay} free calls of today are used`;
    return { code: 'free_calls_used', message };
  }
  const total = formatDecimal(options.perDayTotal ?? 0n, USD.decimals);
  return {
    code: 'free_calls_closed',
    message: `Payment required: today's free calls ($${total}) are used`,
  };
}
