/** A rail over a real chain and a real ledger, and a payer that signs what a test wants signed. */

import { createHash, randomBytes } from 'node:crypto';
import type { TestContext } from 'node:test';
import {
  domainSeparator,
  type Hex,
  hashTransferAuthorization,
  signHash,
} from '../../src/chains/evm/sign.ts';
import { type Clock, systemClock } from '../../src/core/clock.ts';
import type { Exchange } from '../../src/core/exchange.ts';
import { silentLog } from '../../src/core/log.ts';
import type { Payment } from '../../src/core/payment.ts';
import type { Ledger } from '../../src/core/ports/ledger.ts';
import type { Authorization, Demand, Offers, Rail } from '../../src/core/ports/rail.ts';
import type { Route } from '../../src/core/route.ts';
import type { DevnetAccount, EvmDevnet } from '../../src/devnet/start-evm-devnet.ts';
import { openLedger } from '../../src/ledger/open-ledger.ts';
import { FLAT_WORK } from '../../src/pricing/flat-work.ts';
import type { X402Config, X402NetworkConfig } from '../../src/rails/x402/config.ts';
import {
  decodePaymentRequired,
  encodeHeader,
  type Requirements,
  USDC,
  v1NameOf,
} from '../../src/rails/x402/protocol.ts';
import { createX402Rail, type X402RailOptions } from '../../src/rails/x402/server.ts';
import { sendTransfer } from '../chains/evm-payer.ts';
import { routeOf } from '../support/route-of.ts';
import { testQuotes } from '../support/test-quotes.ts';

export const PAY_TO: Hex = '0x209693Bc6afc0C5328bA36FaF03C514EF312287C';
export const OWNER = 'proc_test';
/** The route costs $0.006: this many atoms of USDC. */
export const COST = 6_000n;

export interface Desk {
  readonly devnet: EvmDevnet;
  readonly ledger: Ledger;
  readonly rail: Rail;
  readonly route: Route;
  readonly clock: Clock;
  /** The v2 offers of a fresh 402. */
  offers(): Promise<readonly Requirements[]>;
  rawOffers(): Promise<Offers>;
  /** Presents a payment header and authorizes it, as the request line does. */
  present(header: string, options?: PresentOptions): Promise<Authorization>;
  /** As `present`, for a payment that must be granted. */
  grant(header: string, options?: PresentOptions): Promise<Payment>;
  capture(payment: Payment): Promise<Payment>;
}

export interface PresentOptions {
  readonly name?: string;
  readonly route?: Route;
  readonly digest?: string;
}

export type DeskOptions = Partial<Omit<X402RailOptions, 'config'>> & {
  readonly network?: Partial<X402NetworkConfig>;
  /** Networks beside that of the devnet. */
  readonly networks?: Readonly<Record<string, unknown>>;
  readonly route?: Partial<Route>;
  readonly quoteTtlMs?: number;
};

/** Account that settles; the others pay. */
export function settlementKey(devnet: EvmDevnet): Hex {
  return account(devnet, 0).privateKey;
}

export function account(devnet: EvmDevnet, index: number): DevnetAccount {
  const found = devnet.accounts[index];
  if (found === undefined) throw new Error(`the devnet has no account ${index}`);
  return found;
}

/** A key that nobody used before, without money. */
export function newKey(): Hex {
  return `0x${randomBytes(32).toString('hex')}`;
}

export async function memoryLedger(t: TestContext, clock: Clock = systemClock): Promise<Ledger> {
  const ledger = await openLedger({
    url: 'sqlite::memory:',
    clock,
    exclusive: true,
    onFatal: (error) => {
      throw error;
    },
  });
  t.after(() => ledger.close());
  return ledger;
}

export async function openDesk(
  t: TestContext,
  devnet: EvmDevnet,
  options: DeskOptions = {},
): Promise<Desk> {
  const { clock = systemClock } = options;
  const ledger = options.ledger ?? (await memoryLedger(t, clock));
  const quotes = testQuotes('a secret of the test', options.quoteTtlMs ?? 300_000);
  const network: Partial<X402NetworkConfig> =
    options.network?.facilitator === undefined
      ? { settleWith: settlementKey(devnet), ...options.network }
      : options.network;
  const rail = createX402Rail({
    ...{ clock, random: randomBytes, log: silentLog, verifyQuote: quotes.verify },
    ...{ confirmations: 1, settleMs: 5_000, marginMs: 60_000 },
    ...options,
    ledger,
    config: {
      payTo: { eip155: PAY_TO },
      networks: {
        [devnet.network]: {
          rpc: devnet.rpcUrl,
          pollMs: 10,
          maxFeeGwei: 200,
          recheckBlocks: 64,
          ...network,
        },
        ...(options.networks as X402Config['networks']),
      },
    },
  });
  t.after(() => rail.close());
  const route = routeOf('POST /summarize', { description: 'Summarise a text', ...options.route });

  const rawOffers = (): Promise<Offers> =>
    rail.offers(
      quotes.issue(route, FLAT_WORK, clock.now()),
      route,
      exchangeOf({}),
      'Payment required',
    );
  const present = async (header: string, given: PresentOptions = {}): Promise<Authorization> => {
    const exchange = exchangeOf({ [given.name ?? 'payment-signature']: header });
    const presented = rail.recognise(exchange);
    if (presented === null) throw new Error('no credential was recognised');
    const asked = given.route ?? route;
    const demand: Demand = {
      route: asked,
      quote: quotes.issue(asked, FLAT_WORK, clock.now()),
      digest: given.digest ?? 'digest',
      exchange,
      owner: OWNER,
      nowMs: clock.now(),
    };
    return await rail.authorize(presented, demand);
  };
  return {
    ...{ devnet, ledger, rail, route, clock, rawOffers, present },
    async offers() {
      const { headers } = await rawOffers();
      return decodePaymentRequired(headers[headers.indexOf('PAYMENT-REQUIRED') + 1] ?? '').accepts;
    },
    async grant(header, given) {
      const authorization = await present(header, given);
      if (authorization.outcome !== 'granted') throw new Error(`it was ${authorization.outcome}`);
      return authorization.payment;
    },
    capture: (payment) => rail.capture({ payment, cost: COST, usage: [], answer: null }),
  };
}

export interface Signing {
  readonly from?: Hex;
  readonly to?: Hex;
  readonly value?: bigint;
  readonly validAfter?: bigint;
  readonly validBefore?: bigint;
  readonly nonce?: Hex;
  /** Signs under another domain than the offer's. */
  readonly chainId?: bigint;
  readonly asset?: Hex;
  /** Replaces the signature that was made. */
  readonly signature?: (signature: Hex) => Hex;
}

export interface SignedPayment {
  /** Value of PAYMENT-SIGNATURE. */
  readonly v2: string;
  /** Value of X-PAYMENT. */
  readonly v1: string;
  readonly authorization: {
    readonly from: Hex;
    readonly to: Hex;
    readonly value: bigint;
    readonly validAfter: bigint;
    readonly validBefore: bigint;
    readonly nonce: Hex;
  };
  readonly signature: Hex;
}

/** Signs an offer with a key, or wrongly where `signing` says so. */
export function signOffer(
  offer: Requirements,
  payer: DevnetAccount,
  signing: Signing = {},
  nowMs: number = Date.now(),
): SignedPayment {
  const token = USDC.get(offer.network);
  if (token === undefined) throw new Error('unknown token');
  const authorization = {
    from: signing.from ?? payer.address,
    to: signing.to ?? (offer.payTo as Hex),
    value: signing.value ?? BigInt(offer.amount),
    validAfter: signing.validAfter ?? 0n,
    validBefore: signing.validBefore ?? BigInt(Math.floor(nowMs / 1000) + offer.maxTimeoutSeconds),
    nonce: signing.nonce ?? (`0x${randomBytes(32).toString('hex')}` as Hex),
  };
  const separator = domainSeparator({
    name: token.name,
    version: token.version,
    chainId: signing.chainId ?? token.chainId,
    verifyingContract: signing.asset ?? token.asset,
  });
  const made = signHash(hashTransferAuthorization(separator, authorization), payer.privateKey);
  const signature = signing.signature?.(made) ?? made;
  const payload = {
    signature,
    authorization: {
      ...authorization,
      value: authorization.value.toString(),
      validAfter: authorization.validAfter.toString(),
      validBefore: authorization.validBefore.toString(),
    },
  };
  return {
    v2: encodeHeader({ x402Version: 2, accepted: offer, payload }),
    v1: encodeHeader({
      x402Version: 1,
      scheme: 'exact',
      network: v1NameOf(offer.network),
      payload,
    }),
    authorization,
    signature,
  };
}

export async function firstOffer(desk: Desk): Promise<Requirements> {
  const [offer] = await desk.offers();
  if (offer === undefined) throw new Error('there is no offer');
  return offer;
}

export function exchangeOf(headers: Readonly<Record<string, string>>): Exchange {
  return {
    method: 'POST',
    target: '/summarize?lang=en',
    headers: Object.entries(headers).flat(),
    header: (name) => headers[name],
    body: null,
    collect: async () => new Uint8Array(0),
    remote: { address: '127.0.0.1', scheme: 'https', host: 'api.example.com' },
    signal: new AbortController().signal,
  };
}

export function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}

/** Moves all that a wallet has elsewhere, as its owner could while we work. */
export async function emptyWallet(desk: Desk, payer: DevnetAccount): Promise<void> {
  const value = await desk.devnet.usdcBalance(payer.address);
  const to: Hex = '0x00000000000000000000000000000000000000cc';
  const drain = signOffer(await firstOffer(desk), payer, { value, to });
  await sendTransfer(desk.devnet, 9, { ...drain.authorization, signature: drain.signature });
}
