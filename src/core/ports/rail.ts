/** A rail: one way to pay. The request line knows rails only by this interface. */

import type { Exchange } from '../exchange.ts';
import type { Payment, RailName, StoredAnswer } from '../payment.ts';
import type { Quote } from '../quote.ts';
import type { Route } from '../route.ts';
import type { UsageLine } from '../usage.ts';

/** A credential of this rail, found in the headers and parsed; nothing is checked against store or network yet. */
export interface Presented {
  readonly rail: RailName;
  /** SHA-256 (hex) of the exact bytes. */
  readonly credentialHash: string;
  /** True when these bytes pay one request only; false for a key that pays many. */
  readonly oneTime: boolean;
  /** The payer that it names, `key:…` or `wallet:…`; unproven, so good for refusing and for nothing else. */
  readonly payer: string | null;
  /** The quote that it says it pays, unproven; null when it names none. */
  readonly quoteId: string | null;
  /** Whether it pays exactly this many USD atoms; null where the credential is not bound to an amount. */
  readonly pays: ((max: bigint) => boolean) | null;
}

/** What the credential is asked to pay for. */
export interface Demand {
  readonly route: Route;
  readonly quote: Quote;
  readonly digest: string;
  readonly exchange: Exchange;
  /** Owner of the payment: this process. */
  readonly owner: string;
  readonly nowMs: number;
}

export type Authorization =
  /** Claimed, verified and held: the upstream may run. */
  | { readonly outcome: 'granted'; readonly payment: Payment; readonly headers: readonly string[] }
  /** This very credential was used before: join, replay or refuse by its payment. */
  | { readonly outcome: 'exists'; readonly payment: Payment }
  /** The credential is good and lacks money or quota: try the next rail, else 402 with this reason. */
  | { readonly outcome: 'declined'; readonly code: string; readonly message: string };

/** One rail's part of a 402. */
export interface Offers {
  /** Response headers, names and values in turn, such as PAYMENT-REQUIRED. */
  readonly headers: readonly string[];
  /** Merged into the JSON body. */
  readonly body: Readonly<Record<string, unknown>>;
  /** Completes the sentence of `unlock`, such as `add an x-api-key header`; null when there is nothing to offer. */
  readonly unlock: string | null;
}

export interface CaptureOrder {
  readonly payment: Payment;
  /** USD atoms, at most the quote's max. */
  readonly cost: bigint;
  readonly usage: readonly UsageLine[];
  /** The answer to keep for replay; null when it streams. */
  readonly answer: StoredAnswer | null;
  /** The answer is not kept and leaves only after the capture: see `Capture.delivering`. */
  readonly delivering?: boolean;
}

export interface Rail {
  readonly name: RailName;
  /**
   * When true, the money of this held payment moves before the answer's first byte leaves (the answer is
   * withheld when it does not); when false, the capture may follow the answer's last byte.
   */
  capturesBeforeAnswer(payment: Payment): boolean;

  /** Finds and parses this rail's credential. Offline. Throws CredentialMalformed; null when there is none. */
  recognise(exchange: Exchange): Presented | null;
  /** Offers for a 402. Throws RailUnavailable when it can offer nothing now. */
  offers(quote: Quote, route: Route, exchange: Exchange, reason?: string): Promise<Offers>;
  /** Authenticates offline, then claims, then verifies and holds. Throws PaymentRefused, KeyUnknown… */
  authorize(presented: Presented, demand: Demand): Promise<Authorization>;
  /** Takes the cost. Answers with the payment as it stands: settled, settlement_unknown or settlement_failed. */
  capture(order: CaptureOrder): Promise<Payment>;
  /** Asks the outside again about a captured or unknown payment and moves it on. */
  resolve(payment: Payment): Promise<Payment>;
  /** Looks whether what settled lately is still on the chain, and un-settles what is not. */
  recheck?(): Promise<void>;
  /** Payments whose end could not be written, by id, and how to write it; the settlement worker tries again. */
  readonly orphans?: Map<string, (payment: Payment) => Promise<unknown>>;
  /** Headers of this rail's receipt, such as PAYMENT-RESPONSE. */
  receiptHeaders(payment: Payment): readonly string[];
  close(): Promise<void>;
}
