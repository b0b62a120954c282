/** Prepaid API keys as a rail: the balance is held before the work and captured with its answer. */

import { hash } from 'node:crypto';
import { type Clock, utcDay } from '../../core/clock.ts';
import {
  CredentialConflict,
  CredentialMalformed,
  KeyUnknown,
  RouteForbidden,
  SpendingCapReached,
  StoreUnavailable,
} from '../../core/errors.ts';
import type { Exchange } from '../../core/exchange.ts';
import { newTimedId, type Random } from '../../core/id.ts';
import { formatUsd, USD } from '../../core/money.ts';
import type { Ledger } from '../../core/ports/ledger.ts';
import type { Authorization, Demand, Presented, Rail } from '../../core/ports/rail.ts';
import { type ParsedApiKey, parseApiKey } from './protocol.ts';

interface KeyPresented extends Presented {
  /** Null when the text can't be one of our keys. */
  readonly key: ParsedApiKey | null;
  readonly idempotencyKey: string | null;
}

export interface PrepaidRailOptions {
  readonly ledger: Ledger;
  readonly clock: Clock;
  readonly random: Random;
  /** Time beyond the route's own after which a forgotten hold is given back. */
  readonly marginMs: number;
}

/** What clients send when they must send a key and have none; they count as no key at all. */
const PLACEHOLDERS: ReadonlySet<string> = new Set(['', 'x402', 'unused', 'none']);

const IDEMPOTENCY_KEY = /^[\x21-\x7e]{1,255}$/;

/** The API key of a request, in `x-api-key` or `Authorization: Bearer`; null when there is none. */
export function apiKeyText(exchange: Exchange): string | null {
  const header = realKey(exchange.header('x-api-key'));
  const authorization = exchange.header('authorization');
  if (authorization === undefined) return header;
  const bearer = realKey(/^bearer +(.*)$/i.exec(authorization.trim())?.[1]);
  if (header !== null && bearer !== null && header !== bearer)
    throw new CredentialConflict('x-api-key and Authorization carry two different keys.');
  return header ?? bearer;
}

function realKey(value: string | undefined): string | null {
  const text = value?.trim() ?? '';
  return PLACEHOLDERS.has(text.toLowerCase()) ? null : text;
}

/** The parsed API key of a request; null when there is none, `unknown` when it can't be one of ours. */
export function readApiKey(exchange: Exchange): ParsedApiKey | 'unknown' | null {
  const text = apiKeyText(exchange);
  return text === null ? null : (parseApiKey(text) ?? 'unknown');
}

export function createPrepaidRail(options: PrepaidRailOptions): Rail {
  const { ledger } = options;
  return {
    name: 'prepaid',
    capturesBeforeAnswer: () => false,
    recognise,
    async offers() {
      const topUp = {
        via: 'operator',
        note: 'Ask the operator of this API for a key, or to top yours up.',
      };
      return { headers: [], body: { topUp }, unlock: 'add an x-api-key header' };
    },
    authorize: (presented, demand) => holdBalance(options, presented as KeyPresented, demand),
    async capture({ payment, cost, usage, answer }) {
      const captured = await ledger.capture({
        paymentId: payment.id,
        owner: payment.owner,
        amount: cost,
        cost,
        usage,
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

function recognise(exchange: Exchange): KeyPresented | null {
  const text = apiKeyText(exchange);
  if (text === null) return null;
  const idempotencyKey = exchange.header('idempotency-key') ?? null;
  if (idempotencyKey !== null && !IDEMPOTENCY_KEY.test(idempotencyKey))
    throw new CredentialMalformed('Idempotency-Key must be 1 to 255 visible ASCII characters.');
  const key = parseApiKey(text);
  return {
    rail: 'prepaid',
    oneTime: idempotencyKey !== null,
    // The secret is part of it: knowing a key's visible start must not let anybody join its requests.
    credentialHash:
      key !== null && idempotencyKey === null
        ? key.secretHash
        : hash('sha256', `${text}\n${idempotencyKey ?? ''}`),
    payer: key && `key:${key.id}`,
    quoteId: null,
    pays: null,
    key,
    idempotencyKey,
  };
}

async function holdBalance(
  options: PrepaidRailOptions,
  presented: KeyPresented,
  demand: Demand,
): Promise<Authorization> {
  const { key, idempotencyKey } = presented;
  if (!key) throw new KeyUnknown('This API key is not known.');
  const id = newTimedId('pay', options.random, demand.nowMs);
  const held = await options.ledger.holdPrepaid({
    keyId: key.id,
    secretHash: key.secretHash,
    day: utcDay(options.clock.now()),
    claim: {
      id,
      rail: 'prepaid',
      route: demand.route.id,
      payer: `key:${key.id}`,
      network: null,
      asset: USD.id,
      max: demand.quote.max,
      quoteMax: demand.quote.max,
      credentialKey:
        idempotencyKey === null ? `prepaid:${id}` : `prepaid:${key.id}:${idempotencyKey}`,
      credentialHash: presented.credentialHash,
      digest: demand.digest,
      owner: demand.owner,
      replay: 'always',
      createdAtMs: demand.nowMs,
      expiresAtMs: demand.nowMs + demand.route.timeoutMs + options.marginMs,
    },
  });
  switch (held.outcome) {
    case 'held':
      return { outcome: 'granted', payment: held.payment, headers: [] };
    case 'exists':
      return { outcome: 'exists', payment: held.payment };
    case 'unknown_key':
      throw new KeyUnknown('This API key is not known or was revoked.');
    case 'route_forbidden':
      throw new RouteForbidden(`This key is not allowed to use ${demand.route.id}.`);
    case 'cap_reached':
      throw new SpendingCapReached(`This key may spend ${formatUsd(held.perDay)} a day.`);
    case 'insufficient': {
      const need = formatUsd(demand.quote.max);
      const message = `The key has ${formatUsd(held.balance)} left and this call may cost ${need}: top it up`;
      return { outcome: 'declined', code: 'insufficient_balance', message };
    }
  }
}
