/**
 * Step 4: what may this request cost at most? The quote's id is a stateless HMAC over route, price rule and the
 * terms of the moment; the most is worked out anew from them for the request that comes with it.
 */

import { createHmac, createSecretKey, timingSafeEqual } from 'node:crypto';
import type { Random } from '../core/id.ts';
import type { Demand, Presented } from '../core/ports/rail.ts';
import type { Price } from '../core/price.ts';
import type { Quote } from '../core/quote.ts';
import type { Route } from '../core/route.ts';
import type { Work } from '../core/work.ts';
import type { PriceTerms, Rates } from '../pricing/price-terms.ts';
import { quoteMax } from '../pricing/quote-max.ts';
import type { PriceHistory, PriceRule } from './price-history.ts';

const HEAD_BYTES = 18;
const MAC_BYTES = 16;
const TIME_BYTES = 6;
/** Load is told in twentieths: finer, two quotes of one second would differ for nothing. */
const LOAD_STEPS = 20;

export type QuoteCheck = 'ok' | 'expired' | 'unknown';

/** A quote with all that its cost is worked out from. */
export interface PricedQuote extends Quote {
  readonly price: Price;
  readonly terms: PriceTerms;
  readonly work: Work;
}

/** A demand whose quote can be priced. */
export interface PricedDemand extends Demand {
  readonly quote: PricedQuote;
}

export interface Quotes {
  /** A fresh quote for one request. Throws RequestNotPriced and RateUnavailable. */
  issue(route: Route, work: Work, nowMs: number): PricedQuote;
  /** The quote that the credentials were made for, as far as they tell; else a fresh one. */
  quoteFor(route: Route, work: Work, shown: readonly Presented[], nowMs: number): PricedQuote;
  /** Whether an id was issued by us, for this route and a price rule that still counts, and is not too old. */
  verify(id: string, route: Route, nowMs: number): QuoteCheck;
}

export interface QuotesOptions {
  readonly secret: string;
  readonly ttlMs: number;
  /** A quote is honoured for this much longer than it says. */
  readonly graceMs: number;
  readonly random: Random;
  readonly history: PriceHistory;
  /** Part of the gateway's places that are taken, from 0 to 1. */
  readonly load: () => number;
  /** What currencies were worth at a time not longer ago than quotes are honoured. */
  readonly rates: (atMs: number) => Rates;
}

/**
 * An id is time, load, 11 random bytes, and a MAC over them with route and price-rule version. It never goes on
 * a chain, so a stranger who reads a settled signature there cannot present it here.
 */
export function createQuotes(options: QuotesOptions): Quotes {
  const { ttlMs, graceMs, history, rates } = options;
  const seal = createSeal(options.secret, options.random);
  const termsNow = (nowMs: number): PriceTerms => ({
    atMs: nowMs,
    load: Math.floor(options.load() * LOAD_STEPS) / LOAD_STEPS,
    rates: rates(nowMs),
  });
  const idOf = (route: Route, terms: PriceTerms): string => {
    history.shown(route, terms);
    return seal.idOf(route, terms);
  };
  const fresh = (route: Route, work: Work, terms: PriceTerms): PricedQuote =>
    new IssuedQuote(route, work, { version: route.priceVersion, price: route.price }, terms, {
      ttlMs,
      idOf,
    });
  const isOver = ({ atMs }: PriceTerms, nowMs: number): boolean => nowMs > atMs + ttlMs + graceMs;
  /** The rule and the terms that an id names; null for a stranger's. */
  const open = (id: string, route: Route, nowMs: number): Opened | null => {
    const head = headOf(id);
    if (head === null) return null;
    const rule = history.rulesOf(route, nowMs).find(({ version }) => seal.fits(id, route, version));
    const terms = { atMs: head.atMs, load: head.step / LOAD_STEPS, rates: rates(head.atMs) };
    return rule === undefined ? null : { rule, terms };
  };
  return {
    issue: (route, work, nowMs) => fresh(route, work, termsNow(nowMs)),
    quoteFor(route, work, shown, nowMs) {
      const terms = termsNow(nowMs);
      for (const { quoteId, pays } of shown) {
        const opened = quoteId === null ? null : open(quoteId, route, nowMs);
        // Its rail refuses one that is too old; what it was worth then is known no more.
        if (opened !== null && !isOver(opened.terms, nowMs))
          return new IssuedQuote(route, work, opened.rule, opened.terms, {
            ttlMs,
            idOf: () => quoteId ?? '',
          });
        if (quoteId !== null || pays === null) continue;
        for (const { terms: then, ...rule } of history.shownOf(route, terms)) {
          const quote = new IssuedQuote(route, work, rule, then, { ttlMs, idOf });
          if (pays(quote.max)) return quote;
        }
      }
      return fresh(route, work, terms);
    },
    verify(id, route, nowMs) {
      const opened = open(id, route, nowMs);
      if (opened === null) return 'unknown';
      return isOver(opened.terms, nowMs) ? 'expired' : 'ok';
    },
  };
}

interface Opened {
  readonly rule: PriceRule;
  readonly terms: PriceTerms;
}

function createSeal(secret: string, random: Random) {
  const key = createSecretKey(secret, 'utf8');
  const macOf = (head: Uint8Array, routeId: string, version: string): Buffer =>
    createHmac('sha256', key)
      .update(head)
      .update(`${routeId}\n${version}`)
      .digest()
      .subarray(0, MAC_BYTES);
  return {
    idOf({ id, priceVersion }: Route, { atMs, load }: PriceTerms): string {
      const head = Buffer.allocUnsafe(HEAD_BYTES);
      head.writeUIntBE(atMs, 0, TIME_BYTES);
      head[TIME_BYTES] = Math.round(load * LOAD_STEPS);
      head.set(random(HEAD_BYTES - TIME_BYTES - 1), TIME_BYTES + 1);
      return Buffer.concat([head, macOf(head, id, priceVersion)]).toString('base64url');
    },
    fits(id: string, route: Route, version: string): boolean {
      const bytes = Buffer.from(id, 'base64url');
      const mac = macOf(bytes.subarray(0, HEAD_BYTES), route.id, version);
      return timingSafeEqual(bytes.subarray(HEAD_BYTES), mac);
    },
  };
}

/** What an id says before anybody knows whether it is ours; null for what is none. */
function headOf(id: string): { readonly atMs: number; readonly step: number } | null {
  const bytes = Buffer.from(id, 'base64url');
  if (bytes.length !== HEAD_BYTES + MAC_BYTES || bytes.toString('base64url') !== id) return null;
  return { atMs: bytes.readUIntBE(0, TIME_BYTES), step: bytes[TIME_BYTES] ?? 0 };
}

interface Issue {
  readonly ttlMs: number;
  readonly idOf: (route: Route, terms: PriceTerms) => string;
}

class IssuedQuote implements PricedQuote {
  readonly routeId: string;
  readonly priceVersion: string;
  readonly max: bigint;
  readonly issuedAtMs: number;
  readonly expiresAtMs: number;
  readonly price: Price;
  readonly terms: PriceTerms;
  readonly work: Work;
  readonly #route: Route;
  readonly #idOf: Issue['idOf'];
  #id: string | null = null;

  constructor(route: Route, work: Work, rule: PriceRule, terms: PriceTerms, issue: Issue) {
    this.routeId = route.id;
    this.priceVersion = rule.version;
    this.price = rule.price;
    this.max = quoteMax(rule.price, work, terms);
    this.issuedAtMs = terms.atMs;
    this.expiresAtMs = terms.atMs + issue.ttlMs;
    this.terms = terms;
    this.work = work;
    this.#route = route;
    this.#idOf = issue.idOf;
  }

  /** Made when it is asked for: a request that is paid by key never shows it. */
  get id(): string {
    this.#id ??= this.#idOf(this.#route, this.terms);
    return this.#id;
  }
}
