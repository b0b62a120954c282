/** Requests as payers make them: some come back with the very same one until they know, some never do. */

import { randomUUID } from 'node:crypto';
import { decodePaymentRequired, type Requirements } from '../../src/rails/x402/protocol.ts';
import { signOffer } from '../rails/x402-fixture.ts';
import { EVENTS_COUNT } from './counting-upstream.ts';
import type { Dice } from './dice.ts';
import type { World } from './world.ts';

export type Way = 'free' | 'quota' | 'prepaid' | 'idempotent' | 'x402-v2' | 'x402-v1';
export type Product =
  | 'echo'
  | 'slow'
  | 'sse'
  | 'big'
  | 'broken'
  | 'reset'
  | 'empty'
  | 'quota'
  | 'free';

/** One request, with everything that was ever heard about it. */
export interface Call {
  readonly way: Way;
  readonly product: Product;
  /** Unique: what the upstream counts by. */
  readonly body: string;
  readonly headers: Headers;
  /** Whether sending it again is the same request to the gateway. */
  readonly repeatable: boolean;
  /** The client hangs up after this time, once. */
  abortAfterMs: number | null;
  readonly hungUp: boolean;
  attempts: number;
  /** The last word: a status, or null while it is open. */
  status: number | null;
  /** A whole good answer arrived. */
  delivered: boolean;
  /** So did its end: the connection was not cut after the last byte of it. */
  ended: boolean;
  /** An answer came in whole that was not to this request, or not the one that came before. */
  wrongAnswer: string | null;
}

const WAYS: readonly Way[] = [
  ...(['free', 'quota', 'prepaid', 'prepaid', 'idempotent', 'idempotent'] as const),
  ...(['x402-v2', 'x402-v2', 'x402-v2', 'x402-v1'] as const),
];
const PRODUCTS: readonly Product[] = [
  ...(['echo', 'echo', 'echo', 'slow', 'slow', 'sse', 'sse', 'big'] as const),
  ...(['broken', 'reset', 'empty'] as const),
];
/** The upstream's failures, which are free. */
export const FAILING: ReadonlySet<Product> = new Set(['broken', 'reset', 'empty']);
const OFFER_FRESH_MS = 60_000;
/** Nobody knows yet: the same request is to be sent again. */
const OPEN: ReadonlySet<number> = new Set([503, 499]);

export class Payers {
  readonly #world: World;
  readonly #dice: Dice;
  readonly #offers = new Map<Product, { readonly offer: Requirements; readonly atMs: number }>();

  constructor(world: World, dice: Dice) {
    this.#world = world;
    this.#dice = dice;
  }

  /** A new request; null when it takes an offer and the gateway makes none now. */
  async newCall(): Promise<Call | null> {
    const dice = this.#dice;
    const way = dice.pick(WAYS);
    const product = way === 'free' || way === 'quota' ? way : dice.pick(PRODUCTS);
    const abortAfterMs = dice.chance(0.15) ? dice.between(1, 80) : null;
    const headers = await this.#credential(way, product);
    if (headers === null) return null;
    return {
      ...{ way, product, headers, abortAfterMs, hungUp: abortAfterMs !== null },
      body: JSON.stringify({ nonce: randomUUID() }),
      repeatable: way === 'idempotent' || way.startsWith('x402'),
      ...{ attempts: 0, status: null, delivered: false, ended: false, wrongAnswer: null },
    };
  }

  async #credential(way: Way, product: Product): Promise<Headers | null> {
    const headers = new Headers({ 'content-type': 'application/json' });
    if (way === 'prepaid' || way === 'idempotent')
      headers.set('x-api-key', this.#dice.pick(this.#world.keys));
    if (way === 'idempotent') headers.set('idempotency-key', randomUUID());
    if (way !== 'x402-v1' && way !== 'x402-v2') return headers;
    const offer = await this.#offer(product);
    if (offer === null) return null;
    const signed = signOffer(offer, this.#dice.pick(this.#world.wallets));
    if (way === 'x402-v1') headers.set('x-payment', signed.v1);
    else headers.set('payment-signature', signed.v2);
    return headers;
  }

  async #offer(product: Product): Promise<Requirements | null> {
    const known = this.#offers.get(product);
    if (known !== undefined && Date.now() - known.atMs < OFFER_FRESH_MS) return known.offer;
    const atMs = Date.now();
    const response = await fetch(`${this.#world.url}/${product}`, { method: 'POST' }).catch(
      () => null,
    );
    await response?.arrayBuffer().catch(() => null);
    const header = response?.headers.get('payment-required');
    if (!header) return null;
    const [offer] = decodePaymentRequired(header).accepts;
    if (offer === undefined) return null;
    this.#offers.set(product, { offer, atMs });
    return offer;
  }
}

/** Sends a request once; never throws. */
export async function send(url: string, call: Call): Promise<void> {
  call.attempts += 1;
  const aborted = call.abortAfterMs === null ? null : AbortSignal.timeout(call.abortAfterMs);
  call.abortAfterMs = null;
  let text = '';
  let status = 0;
  try {
    const response = await fetch(`${url}/${call.product}`, {
      method: 'POST',
      headers: call.headers,
      body: call.body,
      ...(aborted === null ? {} : { signal: aborted }),
    });
    status = response.status;
    const decoder = new TextDecoder();
    if (response.body)
      for await (const chunk of response.body) text += decoder.decode(chunk, { stream: true });
    take(call, status, text);
    if (call.delivered) call.ended = true;
  } catch {
    // Cut off: what came may have been everything.
    if (status === 200 && isWhole(call, text)) take(call, status, text);
    else if (!call.repeatable) call.status = 0;
  }
}

function take(call: Call, status: number, text: string): void {
  if (call.repeatable && OPEN.has(status)) return;
  call.status = status;
  if (status !== 200 || FAILING.has(call.product)) return;
  if (isWhole(call, text)) call.delivered = true;
  else call.wrongAnswer = text.slice(0, 200);
}

const RECEIPT = 'event: payment-receipt\n';

/** Whether a text is all of the good answer to this request. */
export function isWhole({ product, body }: Pick<Call, 'product' | 'body'>, text: string): boolean {
  if (product !== 'sse') return text.trimEnd() === body;
  const events = `data: ${body}\n\n`.repeat(EVENTS_COUNT);
  // The receipt comes behind the answer, and is cut off by a kill like anything else.
  const rest = text.slice(events.length);
  return text.startsWith(events) && RECEIPT.startsWith(rest.slice(0, RECEIPT.length));
}
