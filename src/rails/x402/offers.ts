/** The rail's part of a 402: the v2 header, the v1 body, and a plain list for people and simple agents. */

import type { Exchange } from '../../core/exchange.ts';
import { rescaleUp, USD } from '../../core/money.ts';
import type { Offers } from '../../core/ports/rail.ts';
import type { Quote } from '../../core/quote.ts';
import type { Route } from '../../core/route.ts';
import type { Deadlines } from './deadlines.ts';
import type { X402Network } from './network.ts';
import { encodeJson, type JsonObject, type Requirements, type RequirementsV1 } from './protocol.ts';
import { declareGasSponsoring } from './protocol-upto.ts';
import { schemesOf } from './schemes.ts';
import type { UptoSupport } from './upto-support.ts';

/** Node refuses more than 16 KiB of headers in all, and other headers need room too. */
const HEADER_BYTES_MAX = 4096;
/** Base64 makes four characters of three bytes. */
const JSON_BYTES_MAX = (HEADER_BYTES_MAX / 4) * 3 - 3;

const MIME_TYPE = 'application/json';
const DEFAULT_REASON = 'Payment required';

/** Atoms of a network's token that pay a quote, rounded up. */
export function amountOn(network: X402Network, max: bigint): bigint {
  return rescaleUp(max, USD.decimals, network.asset.decimals);
}

/** What v2 asks for on one network; `quote` is left out of what facilitators get to see. */
export function requirementsV2(
  network: X402Network,
  amount: bigint,
  maxTimeoutSeconds: number,
  quote?: string,
): Requirements {
  const { name, version, address } = network.asset;
  return {
    scheme: 'exact',
    network: network.id,
    amount: amount.toString(),
    asset: address,
    payTo: network.payTo,
    maxTimeoutSeconds,
    extra: quote === undefined ? { name, version } : { name, version, quote },
  };
}

/** The same in v1; null on a network that v1 never knew. */
export function requirementsV1(
  network: X402Network,
  amount: bigint,
  maxTimeoutSeconds: number,
  resource: { readonly url: string; readonly description: string },
): RequirementsV1 | null {
  if (network.v1Name === undefined) return null;
  const { name, version, address } = network.asset;
  return {
    scheme: 'exact',
    network: network.v1Name,
    maxAmountRequired: amount.toString(),
    resource: resource.url,
    description: resource.description,
    mimeType: MIME_TYPE,
    outputSchema: {},
    payTo: network.payTo,
    maxTimeoutSeconds,
    asset: address,
    extra: { name, version },
  };
}

/** What v2 asks for by the scheme upto: at most `amount`, settled by our own key alone. */
function requirementsUpto(
  network: X402Network,
  { facilitator }: UptoSupport,
  amount: bigint,
  maxTimeoutSeconds: number,
  quote: string,
): Requirements {
  const exact = requirementsV2(network, amount, maxTimeoutSeconds);
  return {
    ...exact,
    scheme: 'upto',
    extra: {
      ...exact.extra,
      assetTransferMethod: 'permit2',
      facilitatorAddress: facilitator,
      quote,
    },
  };
}

/** How a route is paid that is measured afterwards. */
export interface UptoOffers {
  /** Those of the networks that can settle it. */
  readonly networks: ReadonlySet<X402Network>;
  /** Whether the gas of a permit for Permit2 is paid for. */
  readonly sponsors: boolean;
}

const NO_UPTO: UptoOffers = { networks: new Set(), sponsors: false };

/** Offers of one quote on the networks that are live. */
export function buildOffers(
  networks: readonly X402Network[],
  quote: Quote,
  route: Route,
  exchange: Exchange,
  deadlines: Deadlines,
  reason: string = DEFAULT_REASON,
  upto: UptoOffers = NO_UPTO,
): Offers {
  const schemes = schemesOf(route);
  const seconds = deadlines.maxTimeoutSeconds(route);
  const { description } = route;
  const resource = { url: resourceUrl(exchange), description };
  const accepts: Requirements[] = [];
  const acceptsV1: RequirementsV1[] = [];
  const plain: object[] = [];
  for (const network of networks) {
    const amount = amountOn(network, quote.max);
    // First, since clients take the first that they can: here nobody pays more than was used.
    if (network.upto !== null && upto.networks.has(network))
      accepts.push(requirementsUpto(network, network.upto, amount, seconds, quote.id));
    if (!schemes.exact) continue;
    accepts.push(requirementsV2(network, amount, seconds, quote.id));
    const v1 = requirementsV1(network, amount, seconds, resource);
    if (v1 !== null) acceptsV1.push(v1);
    plain.push({
      network: network.id,
      asset: network.asset.symbol,
      contract: network.asset.address,
      address: network.payTo,
      amount: amount.toString(),
      decimals: network.asset.decimals,
    });
  }
  return {
    headers: [
      'PAYMENT-REQUIRED',
      paymentRequired(reason, resource, accepts, upto.sponsors ? declareGasSponsoring() : null),
    ],
    body: { x402Version: 1, accepts: acceptsV1, x402: { version: 2, networks: plain } },
    unlock: `pay via x402 (${unlockOf(networks)})`,
  };
}

/**
 * Drops what does not fit, the least needed first: the description, the last offers (they all cost the
 * same), then parts of the URL. The body keeps everything.
 */
function paymentRequired(
  reason: string,
  resource: { readonly url: string; readonly description: string },
  accepts: readonly Requirements[],
  extensions: JsonObject | null,
): string {
  const { url, description } = resource;
  const bare = url.split('?', 1)[0] ?? '';
  const full = description === '' ? { url } : { url, description };
  const message = (info: object, count: number, error = reason): string =>
    JSON.stringify({
      x402Version: 2,
      error,
      resource: { ...info, mimeType: MIME_TYPE },
      accepts: accepts.slice(0, count),
      ...(extensions === null ? {} : { extensions }),
    });
  const all = accepts.length;
  const whole = message(full, all);
  if (fits(whole)) return encodeJson(whole);
  for (let count = all; count > 1; count--) {
    const shorter = message({ url }, count);
    if (fits(shorter)) return encodeJson(shorter);
  }
  const last = [message({ url }, 1), message({ url: bare }, 1)].find(fits);
  const origin = { url: url.split('/', 3).join('/') };
  return encodeJson(last ?? message(origin, 1, DEFAULT_REASON));
}

function fits(json: string): boolean {
  return Buffer.byteLength(json) <= JSON_BYTES_MAX;
}

function resourceUrl({ remote, target }: Exchange): string {
  const origin = `${remote.scheme}://${remote.host}`;
  if (target.startsWith('/')) return origin + target;
  // A proxy sends the absolute form; its host is not the one that we trust.
  const path = /^https?:\/\/[^/?#]*(.*)$/i.exec(target)?.[1] ?? '';
  return path.startsWith('/') ? origin + path : `${origin}/${path}`;
}

/** `USDC on Base or Base Sepolia`. */
function unlockOf(networks: readonly X402Network[]): string {
  const bySymbol = new Map<string, string[]>();
  for (const { asset, displayName } of networks)
    bySymbol.set(asset.symbol, [...(bySymbol.get(asset.symbol) ?? []), displayName]);
  return [...bySymbol].map(([symbol, names]) => `${symbol} on ${names.join(' or ')}`).join(', ');
}
