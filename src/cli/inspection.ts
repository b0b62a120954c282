/** What an answer says about paying: decoded offers, the meaning of its status, and what to do next. */

import { formatUsd } from '../core/money.ts';
import { offersOfV1, offersOfV2, payabilityOf, type X402Offer } from '../rails/x402/client.ts';
import {
  decodePaymentRequired,
  decodePaymentRequiredBody,
  decodePaymentRequiredBodyV2,
  parseMessage,
  USDC,
  X402FormatError,
} from '../rails/x402/protocol.ts';
import { printable } from './request-arguments.ts';

/** An answer, read whole. */
export interface InspectedAnswer {
  readonly status: number;
  readonly headers: Headers;
  readonly body: string;
  /** Whether the request carried a key or another credential. */
  readonly sentCredential: boolean;
}

export interface InspectedOffer {
  readonly version: 1 | 2;
  readonly scheme: string;
  readonly network: string;
  readonly networkName: string | null;
  /** Atoms of the asset. */
  readonly amount: string;
  /** Such as `$0.006`; null for a token that is not known to be a dollar. */
  readonly price: string | null;
  readonly asset: string;
  readonly payTo: string;
  readonly maxTimeoutSeconds: number;
  /** Why `coinslot pay` can't pay it; null when it can. */
  readonly notPayable: string | null;
}

export interface Inspection {
  readonly status: number;
  readonly meaning: string;
  /** What the server itself says. */
  readonly detail: string | null;
  readonly offers: readonly InspectedOffer[];
  /** Names in WWW-Authenticate, such as `L402` or `Payment`. */
  readonly challenges: readonly string[];
  readonly freeCallsRemaining: number | null;
  readonly warnings: readonly string[];
  /** Headers about payment as they came; filled when something in them can't be read. */
  readonly raw: Readonly<Record<string, string>>;
}

export function inspectAnswer(answer: InspectedAnswer): Inspection {
  const warnings: string[] = [];
  const { status, headers } = answer;
  const json = jsonBody(answer);
  const offers = readAllOffers(answer, json, warnings);
  const challenges = challengeNames(headers.get('www-authenticate'));
  if (status === 402 && offers.length === 0 && warnings.length === 0 && challenges.length === 0)
    warnings.push('The 402 names no way to pay: a proxy may have removed its headers or body.');
  const free = headers.get('x-free-calls-remaining');
  const isUnreadable = warnings.length > 0;
  return {
    status,
    meaning: meaningOf(answer, json !== null && 'code' in json),
    detail: detailOf(json),
    offers: offers.map(describeOffer),
    challenges,
    freeCallsRemaining: free !== null && /^\d{1,15}$/.test(free) ? Number(free) : null,
    warnings,
    raw: isUnreadable ? paymentHeaders(headers) : {},
  };
}

function readAllOffers(
  { headers }: InspectedAnswer,
  json: Readonly<Record<string, unknown>> | null,
  warnings: string[],
): X402Offer[] {
  const header = headers.get('payment-required');
  const read = (where: string, decode: (note: (error: X402FormatError) => void) => X402Offer[]) => {
    const note = (error: X402FormatError) =>
      warnings.push(`${where} can't be read: ${printable(error.message)}.`);
    try {
      return decode(note);
    } catch (error) {
      if (!(error instanceof X402FormatError)) throw error;
      note(error);
      return [];
    }
  };
  const inHeader =
    header === null
      ? []
      : read('PAYMENT-REQUIRED', (note) => offersOfV2(decodePaymentRequired(header, note)));
  if (json?.x402Version === 1)
    return [
      ...inHeader,
      ...read('The v1 body', (note) => offersOfV1(decodePaymentRequiredBody(json, note))),
    ];
  if (json?.x402Version === 2 && inHeader.length === 0)
    return read('The v2 body', (note) => offersOfV2(decodePaymentRequiredBodyV2(json, note)));
  return inHeader;
}

function describeOffer(offer: X402Offer): InspectedOffer {
  const payability = payabilityOf(offer);
  const token = USDC.get(offer.network);
  const isDollars = token?.asset.toLowerCase() === offer.asset.toLowerCase();
  return {
    version: offer.version,
    scheme: printable(offer.scheme),
    network: printable(offer.network),
    networkName: token?.displayName ?? null,
    amount: offer.amount.toString(),
    price: isDollars ? formatUsd(offer.amount) : null,
    asset: printable(offer.asset),
    payTo: printable(offer.payTo),
    maxTimeoutSeconds: offer.maxTimeoutSeconds,
    notPayable: payability.payable ? null : payability.reason,
  };
}

function meaningOf({ status, sentCredential }: InspectedAnswer, isProblem: boolean): string {
  if (status < 300) return 'No payment was needed for this request.';
  if (status < 400) return 'A redirect; neither a key nor a payment follows one.';
  if (status === 401)
    return 'The key or credential is unknown, revoked or invalid. Paying does not help: check the key.';
  if (status === 402)
    return sentCredential
      ? 'A fee is due. The credential may be fine; it does not cover this request.'
      : 'A fee is due. Nothing is wrong with the request.';
  if (status === 403)
    return 'The credential is valid and not allowed here: its routes or its daily cap leave this request out.';
  if (status === 404 || status === 405)
    return 'No priced route matches this method and path; only such routes are served.';
  if (status === 412)
    return 'The wallet must allow the token to be spent first (Permit2 allowance).';
  if (status === 429) return 'Too many requests; wait for the seconds in Retry-After.';
  if (status === 503)
    return 'A way to pay, or the server, is not available now. Try the same request later; do not sign again.';
  if ((status === 502 || status === 504) && !isProblem)
    return `The answer ${status} may come from a proxy in between: some turn a 402 into it. Ask the server without the proxy.`;
  return status >= 500
    ? 'The server failed. Nothing was charged.'
    : 'The server refused the request.';
}

/** The sentence that our own gateway, and most servers, put into the body. */
function detailOf(json: Readonly<Record<string, unknown>> | null): string | null {
  for (const key of ['detail', 'error', 'message', 'title']) {
    const value = json?.[key];
    if (typeof value === 'string' && value !== '') {
      const hint = json?.hint;
      return printable(typeof hint === 'string' ? `${value} ${hint}` : value, 400);
    }
  }
  return null;
}

function jsonBody({ headers, body }: InspectedAnswer): Readonly<Record<string, unknown>> | null {
  if (!/json/i.test(headers.get('content-type') ?? 'json')) return null;
  try {
    return parseMessage(body, 'body');
  } catch {
    return null;
  }
}

/** The schemes of RFC 9110 challenges: a word that is followed by a parameter. */
function challengeNames(header: string | null): string[] {
  const withoutQuoted = (header ?? '').slice(0, 16_384).replace(/"(?:[^"\\]|\\.)*"/g, '""');
  const names = [...withoutQuoted.matchAll(/(?:^|,)\s*([\w-]{1,40})(?=\s+[\w-]+\s*=|\s*(?:,|$))/g)];
  return [...new Set(names.map((match) => match[1] ?? ''))];
}

const PAYMENT_HEADERS = [
  'payment-required',
  'www-authenticate',
  'payment-response',
  'x-payment-response',
];

function paymentHeaders(headers: Headers): Record<string, string> {
  return Object.fromEntries(
    PAYMENT_HEADERS.flatMap((name) => {
      const value = headers.get(name);
      return value === null ? [] : [[name, printable(value, 1000)]];
    }),
  );
}
