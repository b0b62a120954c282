/** Finds the x402 offers in a 402, without using its body up. */

import { offersOfV1, offersOfV2, payabilityOf, type X402Offer } from '../rails/x402/client.ts';
import {
  decodePaymentRequired,
  decodePaymentRequiredBody,
  decodePaymentRequiredBodyV2,
  type JsonObject,
  parseMessage,
  USDC,
  v1NameOf,
  X402FormatError,
} from '../rails/x402/protocol.ts';

export interface OffersRead {
  readonly offers: readonly X402Offer[];
  /** What could not be read, one line each. */
  readonly unreadable: readonly string[];
  /** Where the offers were: the v2 header, a body of either version, or the gateway's plain list. */
  readonly source: 'v2-header' | 'v2-body' | 'v1-body' | 'networks';
}

const BODY_BYTES_MAX = 256 * 1024;
/** A plain list names no time limit; this is what v1 servers usually ask for. */
const TIMEOUT_SECONDS_DEFAULT = 60;

/** The offers of a 402, or null when it is not x402. The response stays unread. */
export async function readOffers(response: Response): Promise<OffersRead | null> {
  const header = response.headers.get('payment-required');
  const unreadable: string[] = [];
  const inHeader: X402Offer[] = [];
  const note = (error: X402FormatError) => unreadable.push(error.message);
  if (header !== null) {
    const required = attempt(() => decodePaymentRequired(header, note), note);
    if (required) inHeader.push(...offersOfV2(required));
    if (inHeader.some((offer) => payabilityOf(offer).payable))
      return { offers: inHeader, unreadable, source: 'v2-header' };
  }
  // The header has little room: offers that did not fit into it stand in the body alone.
  const body = await readJsonCopy(response);
  const found = body === null ? null : offersInBody(body, note);
  if (found) return { ...found, offers: [...inHeader, ...found.offers], unreadable };
  // A header without an offer still means x402: the caller must learn why nothing was paid.
  return header === null ? null : { offers: inHeader, unreadable, source: 'v2-header' };
}

function offersInBody(
  body: JsonObject,
  note: (error: X402FormatError) => void,
): Pick<OffersRead, 'offers' | 'source'> | null {
  if (body.x402Version === 1) {
    const required = attempt(() => decodePaymentRequiredBody(body, note), note);
    if (required) return { offers: offersOfV1(required), source: 'v1-body' };
  }
  if (body.x402Version === 2) {
    // Servers that mirror the header in the body survive proxies that drop unknown headers.
    const required = attempt(() => decodePaymentRequiredBodyV2(body, note), note);
    if (required) return { offers: offersOfV2(required), source: 'v2-body' };
  }
  const networks = (body.x402 as { networks?: unknown } | null | undefined)?.networks;
  return Array.isArray(networks) ? fromNetworks(networks, note) : null;
}

/** A gateway's plain list `{ network, contract, address, amount }`, paid as v1, which has nothing else to echo. */
function fromNetworks(
  networks: readonly unknown[],
  note: (error: X402FormatError) => void,
): Pick<OffersRead, 'offers' | 'source'> | null {
  const accepts = networks.map((entry) => {
    const listed = (entry ?? {}) as Record<string, unknown>;
    const token = USDC.get(String(listed.network));
    return {
      scheme: 'exact',
      network: v1NameOf(String(listed.network)) ?? listed.network,
      maxAmountRequired: listed.amount,
      asset: listed.contract,
      payTo: listed.address,
      maxTimeoutSeconds: TIMEOUT_SECONDS_DEFAULT,
      extra: token ? { name: token.name, version: token.version } : null,
    };
  });
  const required = attempt(
    () => decodePaymentRequiredBody({ x402Version: 1, accepts }, note),
    note,
  );
  return required && required.accepts.length > 0
    ? { offers: offersOfV1(required), source: 'networks' }
    : null;
}

function attempt<Result>(
  decode: () => Result,
  note: (error: X402FormatError) => void,
): Result | null {
  try {
    return decode();
  } catch (error) {
    if (!(error instanceof X402FormatError)) throw error;
    note(error);
    return null;
  }
}

/** The JSON object in a copy of the body; null for anything else, and for a body that is too large to be a 402. */
async function readJsonCopy(response: Response): Promise<JsonObject | null> {
  if (response.body === null || response.bodyUsed) return null;
  if (!/json/i.test(response.headers.get('content-type') ?? 'json')) return null;
  try {
    const text = await readBounded(response.clone());
    return text === null ? null : parseMessage(text, 'body');
  } catch {
    // Not a JSON object, or the connection broke: the caller gets the response as it is.
    return null;
  }
}

async function readBounded(copy: Response): Promise<string | null> {
  const decoder = new TextDecoder();
  const reader = copy.body?.getReader();
  let text = '';
  let bytes = 0;
  for (;;) {
    const part = await reader?.read();
    if (!part || part.done) return text + decoder.decode();
    bytes += part.value.length;
    if (bytes > BODY_BYTES_MAX) {
      // Not awaited: cancelling one of two copies only ends when the other one does.
      void reader?.cancel().catch(() => {});
      return null;
    }
    text += decoder.decode(part.value, { stream: true });
  }
}
