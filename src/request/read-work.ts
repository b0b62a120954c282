/** Step 3: what does the request ask for, as far as its price depends on it? A flat price asks nothing. */

import { RequestMalformed } from '../core/errors.ts';
import type { Body, Exchange } from '../core/exchange.ts';
import type { Reading } from '../core/ports/dialect.ts';
import type { Work } from '../core/work.ts';
import { FLAT_WORK } from '../pricing/flat-work.ts';
import { NOTHING_SENT, type Unpaid } from './authorize.ts';
import { type Chosen, hasCredential } from './choose-payment.ts';
import type { Match } from './match-route.ts';
import type { RequestParts } from './parts.ts';

export interface ReadWork {
  readonly work: Work;
  /** It asks for the price only: there is nothing in it that could be run. */
  readonly isProbe: boolean;
  /** What goes upstream. */
  readonly body: Uint8Array | Body | null;
  /** Null where one call is one call. */
  readonly meter: Reading['meter'] | null;
  readonly messages?: Reading['messages'];
}

/** Throws RequestMalformed for a body that the upstream would refuse: it is told so before it is asked to pay. */
export function readWork(
  parts: RequestParts,
  { route, path, query }: Match,
  { method, headers }: Exchange,
  body: Uint8Array | Body | null,
): ReadWork {
  if (!(body instanceof Uint8Array) || !isMetered(route))
    return { work: FLAT_WORK, isProbe: false, body, meter: null };
  const { outputTokensMax } = route;
  const reading = parts
    .dialectOf(route, path)
    .read({ method, path, query, headers, body, outputTokensMax });
  return { ...reading, meter: (head) => reading.meter(head) };
}

/** Whether its price depends on the request and its answer. */
export function isMetered({ price }: Match['route']): boolean {
  return price.kind === 'metered' || price.kind === 'service';
}

/** The 402 that an empty request gets; null when there is something to run. Throws RequestMalformed for a paid one. */
export function refuseProbe({ isProbe }: ReadWork, chosen: readonly Chosen[]): Unpaid | null {
  if (!isProbe) return null;
  if (hasCredential(chosen)) throw new RequestMalformed('The body is empty.');
  return NOTHING_SENT;
}
