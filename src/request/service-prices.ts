/**
 * Prices that an HTTP service of the operator's names for each request. What it named is remembered by the request's
 * digest for as long as a quote may be paid, so that the retry that pays is sold at the price that it was shown.
 */

import { createHash } from 'node:crypto';
import { CoinslotError } from '../core/errors.ts';
import type { Log } from '../core/log.ts';
import { MoneyFormatError, parseUsd } from '../core/money.ts';
import type { Presented } from '../core/ports/rail.ts';
import type { ServicePrice } from '../core/price.ts';
import type { Route } from '../core/route.ts';
import type { Work } from '../core/work.ts';
import { type Fetch, fetchJson } from './fetch-json.ts';
import type { Quotes } from './quote-price.ts';

/** The service did not name a price in time; nobody is served at a guess. */
export class PriceUnavailable extends CoinslotError {
  readonly code = 'price_unavailable';
  readonly status = 503;
  readonly hint = 'Repeat the same request later. Nothing was charged.';
  override readonly retryable = true;
  override readonly headers = ['Retry-After', '5'];
}

export interface ServiceRequest {
  readonly route: Route;
  readonly method: string;
  readonly path: string;
  readonly query: string;
  readonly body: Uint8Array;
  readonly work: Work;
  /** The credentials that came with it. */
  readonly shown: readonly Presented[];
  readonly nowMs: number;
}

export interface ServicePricesOptions {
  readonly quotes: Quotes;
  /** How long a price that was shown may be paid. */
  readonly keepMs: number;
  readonly fetch: Fetch;
  readonly log: Log;
}

interface Named {
  readonly route: Route;
  /** When it was shown last. */
  atMs: number;
}

const ANSWER_BYTES_MAX = 65_536;
/** Requests whose prices are remembered; the oldest are forgotten first, and asked for anew. */
const REMEMBERED_MAX = 10_000;
/** Prices of one request that differ. */
const NAMED_MAX = 8;

export class ServicePrices {
  readonly #options: ServicePricesOptions;
  /** By digest, newest first; the digests in the order in which they were asked for. */
  readonly #named = new Map<string, readonly Named[]>();
  readonly #asking = new Map<string, Promise<bigint>>();

  constructor(options: ServicePricesOptions) {
    this.#options = options;
  }

  /**
   * The route at the price of this very request: one that a credential was made for while it holds, else what the
   * service says now, at most the rule's `max`. Throws PriceUnavailable and RateUnavailable.
   */
  async sell(request: ServiceRequest, price: ServicePrice): Promise<Route> {
    const digest = digestOf(request);
    const promised = this.#promised(request, digest);
    if (promised !== null) return promised;
    const asking = this.#asking.get(digest) ?? this.#ask(request, price);
    this.#asking.set(digest, asking);
    const amount = await asking.finally(() => this.#asking.delete(digest));
    return this.#remember(digest, sellingAt(request.route, amount), request.nowMs);
  }

  #promised({ route, shown, nowMs }: ServiceRequest, digest: string): Route | null {
    const { quotes, keepMs } = this.#options;
    const named = (this.#named.get(digest) ?? []).filter((one) => nowMs - one.atMs <= keepMs);
    for (const { quoteId, pays } of shown)
      for (const one of named) {
        const { priceVersion, price } = one.route;
        const fits =
          quoteId === null
            ? price.kind === 'flat' && pays?.(price.amount) === true
            : quotes.verify(quoteId, one.route, nowMs) === 'ok';
        // All but the price is as the route is now.
        if (fits) return { ...route, price, priceVersion };
      }
    return null;
  }

  #remember(digest: string, route: Route, nowMs: number): Route {
    const others = (this.#named.get(digest) ?? []).filter(
      (one) => one.route.priceVersion !== route.priceVersion,
    );
    this.#named.delete(digest);
    this.#named.set(digest, [{ route, atMs: nowMs }, ...others].slice(0, NAMED_MAX));
    if (this.#named.size > REMEMBERED_MAX)
      this.#named.delete(this.#named.keys().next().value as string);
    return route;
  }

  async #ask(request: ServiceRequest, { url, timeoutMs }: ServicePrice): Promise<bigint> {
    const { fetch, log, quotes } = this.#options;
    const { route, method, path, query, work, nowMs } = request;
    const max = quotes.issue(route, work, nowMs).max;
    const { model, bounds } = work;
    const body = { method, path, query, route: route.id, model, bounds };
    let amount: bigint;
    try {
      amount = amountOf(
        await fetchJson(fetch, { url, timeoutMs, bytesMax: ANSWER_BYTES_MAX, body }),
      );
    } catch (error) {
      log.warn({ route: route.id, error }, 'a price service did not name a price');
      throw new PriceUnavailable('The price of this request is not known now.', { cause: error });
    }
    if (amount > max) log.warn({ route: route.id }, 'a price service asks for more than max');
    return amount > max ? max : amount;
  }
}

/** `{ "max": "0.01" }`, in dollars. */
function amountOf(answer: unknown): bigint {
  const max = typeof answer === 'object' && answer !== null && 'max' in answer ? answer.max : null;
  if (typeof max !== 'string') throw new MoneyFormatError('max is not text');
  const amount = parseUsd(`$${max}`);
  if (amount === 0n) throw new MoneyFormatError('max is nothing');
  return amount;
}

/** The amount is part of the rule's version, so that a quote names it. */
function sellingAt(route: Route, amount: bigint): Route {
  const priceVersion = `${route.priceVersion}:${amount}`;
  return { ...route, price: { kind: 'flat', amount }, priceVersion };
}

function digestOf({ route, method, path, query, body }: ServiceRequest): string {
  const head = JSON.stringify([route.id, method, path, query]);
  return createHash('sha256').update(head).update('\n').update(body).digest('base64url');
}
