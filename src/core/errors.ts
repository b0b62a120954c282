/** One class per failure: what happened, its HTTP status, and what to do next (RFC 9457 problem+json on the wire). */

export interface Problem {
  readonly type: string;
  readonly title: string;
  readonly status: number;
  readonly detail: string;
  readonly code: string;
  readonly hint: string;
  readonly retryable: boolean;
}

export abstract class CoinslotError extends Error {
  abstract readonly code: string;
  abstract readonly status: number;
  /** One line: what the reader should do next. */
  abstract readonly hint: string;
  /** Whether the very same request may succeed later. */
  readonly retryable: boolean = false;
  /** Extra response headers, names and values in turn. */
  readonly headers: readonly string[] = [];

  problem(): Problem {
    return {
      type: `https://coinslot.dev/problems/${this.code}`,
      title: this.code.replaceAll('_', ' '),
      status: this.status,
      detail: this.message,
      code: this.code,
      hint: this.hint,
      retryable: this.retryable,
    };
  }
}

export class RequestMalformed extends CoinslotError {
  readonly code = 'request_malformed';
  readonly status = 400;
  readonly hint = 'Correct the request line or the header that is named, then send it again.';
}

/** The route has a price, but none for what this request asks for, such as its model. Nothing was charged. */
export class RequestNotPriced extends CoinslotError {
  readonly code = 'request_not_priced';
  readonly status = 400;
  readonly hint = 'Ask for something that the route names a price for; nothing was charged.';
}

/** A credential that cannot be read; the message names the field. */
export class CredentialMalformed extends CoinslotError {
  readonly code = 'credential_malformed';
  readonly status = 400;
  readonly hint = 'Correct the named field, or request without the header to see the offers.';
}

/** Two credentials that contradict each other in one request. */
export class CredentialConflict extends CoinslotError {
  readonly code = 'credential_conflict';
  readonly status = 400;
  readonly hint = 'Send one of the two credentials only.';
}

export class KeyUnknown extends CoinslotError {
  readonly code = 'key_unknown';
  readonly status = 401;
  readonly hint =
    'Check the API key, or leave it out and pay another way: see the offers of the 402.';
  override readonly headers = [
    'WWW-Authenticate',
    'Bearer realm="coinslot", error="invalid_token"',
  ];
}

/** A payment that was understood and cannot be accepted; the 402 that carries it lists the offers again. */
export class PaymentRefused extends CoinslotError {
  readonly status = 402;
  readonly code: string;
  readonly hint: string;
  constructor(code: string, message: string, hint = 'Pay one of the offers of this 402.') {
    super(message);
    this.code = code;
    this.hint = hint;
  }
}

export class RouteForbidden extends CoinslotError {
  readonly code = 'route_forbidden';
  readonly status = 403;
  readonly hint = 'Use a key that includes this route, or pay by wallet.';
}

export class SpendingCapReached extends CoinslotError {
  readonly code = 'spending_cap_reached';
  readonly status = 403;
  readonly hint = 'Wait until the daily cap of this key resets (UTC midnight), or raise the cap.';
}

export class RouteNotFound extends CoinslotError {
  readonly code = 'route_not_found';
  readonly status = 404;
  readonly hint = 'Check method and path; only routes with a price are served.';
}

export class MethodNotAllowed extends CoinslotError {
  readonly code = 'method_not_allowed';
  readonly status = 405;
  readonly hint = 'Use one of the methods in the Allow header.';
  override readonly headers: readonly string[];
  constructor(message: string, allow: readonly string[]) {
    super(message);
    this.headers = ['Allow', allow.join(', ')];
  }
}

/** The same credential came with another request. */
export class CredentialReused extends CoinslotError {
  readonly code = 'credential_reused';
  readonly status = 409;
  readonly hint = 'A credential pays one request: sign a new one for another request.';
}

export class AnswerGone extends CoinslotError {
  readonly code = 'answer_gone';
  readonly status = 410;
  readonly hint =
    'If you know its payment id, ask /_pay/payments/{id}; a new request needs a new signature.';
}

export class BodyTooLarge extends CoinslotError {
  readonly code = 'body_too_large';
  readonly status = 413;
  readonly hint = 'Send a smaller body; the operator can raise limits.bodyBytes.';
}

export class HeadersTooLarge extends CoinslotError {
  readonly code = 'headers_too_large';
  readonly status = 431;
  readonly hint = 'Send smaller headers; a credential is at most 8 KiB.';
}

export class RateLimited extends CoinslotError {
  readonly code = 'rate_limited';
  readonly status = 429;
  readonly hint = 'Wait for the seconds in Retry-After.';
  override readonly retryable = true;
  override readonly headers: readonly string[];
  constructor(message: string, retryAfterSeconds: number) {
    super(message);
    this.headers = ['Retry-After', String(Math.max(1, Math.ceil(retryAfterSeconds)))];
  }
}

/** The upstream could not be reached, broke off, or answered nothing. Nothing was charged. */
export class UpstreamFailed extends CoinslotError {
  readonly code = 'upstream_failed';
  readonly status = 502;
  readonly hint = 'Nothing was charged. Try again later.';
  override readonly retryable = true;
}

export class UpstreamTimeout extends CoinslotError {
  readonly code = 'upstream_timeout';
  readonly status = 504;
  readonly hint = 'Nothing was charged. Try again later, or ask for less.';
  override readonly retryable = true;
}

/** The client went away; logged, never seen by it. */
export class ClientGone extends CoinslotError {
  readonly code = 'client_gone';
  readonly status = 499;
  readonly hint = 'Keep the connection open until the answer arrived.';
}

abstract class Unavailable extends CoinslotError {
  readonly status = 503;
  override readonly retryable = true;
  override readonly headers: readonly string[];
  constructor(
    message: string,
    retryAfterSeconds = 5,
    options?: ErrorOptions,
    headers: readonly string[] = [],
  ) {
    super(message, options);
    this.headers = ['Retry-After', String(retryAfterSeconds), ...headers];
  }
}

/** A rail cannot check or take payments now; other rails keep serving. */
export class RailUnavailable extends Unavailable {
  readonly code = 'rail_unavailable';
  readonly hint = 'Repeat the same request later, or pay another way. Do not sign again for it.';
}

export class StoreUnavailable extends Unavailable {
  readonly code = 'store_unavailable';
  readonly hint = 'Repeat the same request later. Nothing was charged.';
}

export class Overloaded extends Unavailable {
  readonly code = 'overloaded';
  readonly hint = 'Repeat the same request later. Nothing was charged.';
}

/** The price is in a currency whose value in dollars is not known, or not known lately enough. */
export class RateUnavailable extends Unavailable {
  readonly code = 'rate_unavailable';
  readonly hint = 'Repeat the same request later. Nothing was charged.';
}

/**
 * The work is done, the money's fate is not known yet, and the answer waits for it. The payment is named
 * to the one who paid: with its id the answer can be fetched from `/_pay/payments/{id}/answer`.
 */
export class SettlementPending extends Unavailable {
  readonly code = 'settlement_pending';
  readonly hint =
    'Repeat the very same request (same payment header), or fetch the answer by its X-Payment-Id. Do not sign again.';
  constructor(message: string, paymentId: string | null) {
    super(message, 5, undefined, paymentId === null ? [] : ['X-Payment-Id', paymentId]);
  }
}

/** The same credential is running in this very moment elsewhere. */
export class StillRunning extends Unavailable {
  readonly code = 'still_running';
  readonly hint = 'Repeat the very same request to fetch its answer. Do not sign again.';
}
