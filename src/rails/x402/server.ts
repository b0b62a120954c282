/** x402 as a rail: scheme `exact` by EIP-3009, v2 and v1 clients served by one 402, on several networks at once. */

import type { openEvmChain } from '../../chains/evm/open-evm-chain.ts';
import type { Clock } from '../../core/clock.ts';
import { RailUnavailable } from '../../core/errors.ts';
import type { Exchange } from '../../core/exchange.ts';
import type { Random } from '../../core/id.ts';
import type { Log } from '../../core/log.ts';
import { parseUsd } from '../../core/money.ts';
import type { Ledger } from '../../core/ports/ledger.ts';
import type { Offers, Rail } from '../../core/ports/rail.ts';
import type { Quote } from '../../core/quote.ts';
import type { Route } from '../../core/route.ts';
import { authorize } from './authorize.ts';
import type { X402Config } from './config.ts';
import { recogniseCredential, type X402Credential } from './credential.ts';
import { createDeadlines } from './deadlines.ts';
import { createFacilitatorClient, type FacilitatorClient } from './facilitator.ts';
import { openNetwork, type X402Network } from './network.ts';
import { amountOn, buildOffers, type UptoOffers } from './offers.ts';
import type { VerifyQuote, X402Parts } from './parts.ts';
import { receiptHeaders } from './receipt-headers.ts';
import { createRecheck } from './recheck.ts';
import { schemesOf } from './schemes.ts';
import { createSettler } from './settle.ts';
import { createSponsoring } from './sponsoring.ts';

export interface X402RailOptions {
  readonly config: X402Config;
  readonly ledger: Ledger;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly verifyQuote: VerifyQuote;
  /** Default for every network: one number, or one per network. A network's own value goes first. */
  readonly confirmations: number | Readonly<Record<string, number>>;
  /** How long an answer waits for its settlement before it counts as unknown. */
  readonly settleMs: number;
  /** Time beyond the route's own after which a forgotten hold is given back. */
  readonly marginMs: number;
  /** How long one later look at an open settlement takes at most; default 2 s, or `settleMs` if that is less. */
  readonly resolveMs?: number;
  /** A transaction that waits this long gets higher fees; default 30 s. */
  readonly bumpAfterMs?: number;
  readonly facilitators?: FacilitatorClient;
  readonly openChain?: typeof openEvmChain;
}

const RESOLVE_MS = 2_000;
const BUMP_AFTER_MS = 30_000;

/** Opens the networks without asking anything; the first offer or payment does. */
export function createX402Rail(options: X402RailOptions): Rail {
  const { facilitators = createFacilitatorClient(), settleMs } = options;
  const closing = new AbortController();
  const networks = openNetworks(options, facilitators);
  const parts: X402Parts = {
    ...{ networks, facilitators, settleMs, closing: closing.signal },
    ...{ ledger: options.ledger, clock: options.clock, random: options.random, log: options.log },
    verifyQuote: options.verifyQuote,
    deadlines: createDeadlines(settleMs),
    authorized: new Map(),
    efforts: new Map(),
    orphans: new Map(),
    sponsoring: sponsoringOf(options),
    resolveMs: options.resolveMs ?? Math.min(settleMs, RESOLVE_MS),
    bumpAfterMs: options.bumpAfterMs ?? BUMP_AFTER_MS,
    marginMs: options.marginMs,
  };
  const settler = createSettler(parts);
  return {
    name: 'x402',
    capturesBeforeAnswer: ({ id }) => parts.authorized.get(id)?.transfer.scheme !== 'upto',
    recognise: (exchange) => withAmount(networks, recogniseCredential(exchange)),
    offers: (quote, route, exchange, reason) => offers(parts, quote, route, exchange, reason),
    authorize: (presented, demand) => authorize(parts, presented as X402Credential, demand),
    capture: (order) => settler.capture(order),
    resolve: (payment) => settler.resolve(payment),
    recheck: createRecheck(parts),
    orphans: parts.orphans,
    receiptHeaders,
    async close() {
      closing.abort();
      for (const network of networks.values()) network.watcher.close();
      await settler.close();
      for (const network of networks.values()) await network.chain.close();
    },
  };
}

/** A v1 payment echoes no quote: what it was signed for is told by its amount alone. */
function withAmount(
  networks: ReadonlyMap<string, X402Network>,
  credential: X402Credential | null,
): X402Credential | null {
  const network = networks.get(credential?.network ?? '');
  const value = credential?.exact?.authorization.value;
  if (credential === null || credential.quoteId !== null || network === undefined)
    return credential;
  return { ...credential, pays: (max) => amountOn(network, max) === value };
}

function openNetworks(
  options: X402RailOptions,
  facilitators: FacilitatorClient,
): ReadonlyMap<string, X402Network> {
  const { config, confirmations } = options;
  return new Map(
    Object.entries(config.networks).map(([id, network]) => [
      id,
      openNetwork(id, config.payTo, network, {
        ...options,
        facilitators,
        confirmations: typeof confirmations === 'number' ? confirmations : (confirmations[id] ?? 1),
      }),
    ]),
  );
}

/** Only networks that can take payments now; throws RailUnavailable when there is none. */
async function offers(
  parts: X402Parts,
  quote: Quote,
  route: Route,
  exchange: Exchange,
  reason: string | undefined,
): Promise<Offers> {
  const networks = [...parts.networks.values()];
  const problems = await Promise.all(networks.map((network) => network.liveness.problem()));
  const live = networks.filter((_, index) => problems[index] === null);
  if (live.length === 0)
    throw new RailUnavailable(`No network takes x402 payments now: ${problems.join('; ')}.`);
  const upto = await uptoOffers(parts, live, route);
  if (upto.networks.size === 0 && !schemesOf(route).exact)
    throw new RailUnavailable(
      'No network takes payments of the scheme upto now: it needs settleWith, Permit2 and the upto proxy.',
    );
  return buildOffers(live, quote, route, exchange, parts.deadlines, reason, upto);
}

async function uptoOffers(
  { sponsoring }: X402Parts,
  live: readonly X402Network[],
  route: Route,
): Promise<UptoOffers> {
  if (!schemesOf(route).upto) return { networks: new Set(), sponsors: false };
  const isReady = await Promise.all(live.map(({ upto }) => upto?.isDeployed() ?? false));
  const networks = new Set(live.filter((_, index) => isReady[index]));
  return { networks, sponsors: sponsoring !== null && networks.size > 0 };
}

function sponsoringOf({ config, ledger }: X402RailOptions): X402Parts['sponsoring'] {
  if (config.gasSponsoring === undefined) return null;
  const { perDay, minPrice } = config.gasSponsoring;
  const findPayment = (id: string) => ledger.findPayment(id);
  return createSponsoring({ perDay, minPrice: parseUsd(minPrice), findPayment });
}
