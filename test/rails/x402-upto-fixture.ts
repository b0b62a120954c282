/** A rail that sells by the scheme upto over a real chain and a real ledger, and payers of it. */

import { randomBytes } from 'node:crypto';
import type { TestContext } from 'node:test';
import { UptoEvmScheme } from '@x402/evm/upto/client';
import { createPublicClient, http } from 'viem';
import { privateKeyToAccount } from 'viem/accounts';
import { base } from 'viem/chains';
import type { Hex } from '../../src/chains/evm/sign.ts';
import { signHash } from '../../src/chains/evm/sign.ts';
import {
  approvePermit2,
  hashUptoPermit,
  permit2Separator,
  type UptoPermit,
} from '../../src/chains/evm/sign-permit2.ts';
import { systemClock } from '../../src/core/clock.ts';
import { silentLog } from '../../src/core/log.ts';
import type { Payment } from '../../src/core/payment.ts';
import type { Ledger } from '../../src/core/ports/ledger.ts';
import type { Authorization, Rail } from '../../src/core/ports/rail.ts';
import type { Price } from '../../src/core/price.ts';
import type { Route } from '../../src/core/route.ts';
import type { DevnetAccount, EvmDevnet } from '../../src/devnet/start-evm-devnet.ts';
import {
  decodePaymentRequired,
  encodeHeader,
  type JsonObject,
  type PaymentRequiredV2,
  type Requirements,
} from '../../src/rails/x402/protocol.ts';
import { encodeUptoEvmPayload } from '../../src/rails/x402/protocol-upto.ts';
import { createX402Rail, type X402RailOptions } from '../../src/rails/x402/server.ts';
import { send } from '../chains/evm-payer.ts';
import { routeOf } from '../support/route-of.ts';
import { account, exchangeOf, memoryLedger, OWNER, PAY_TO, settlementKey } from './x402-fixture.ts';

/** The most that a call may cost: $0.01, this many atoms of USDC. */
export const MAX = 10_000n;

export const METERED: Price = {
  kind: 'metered',
  base: { kind: 'per', rates: [], freeUnits: {} },
  ...{ min: null, max: null, schedule: [], surge: [], volume: [], balance: [] },
};

export interface UptoDesk {
  readonly devnet: EvmDevnet;
  readonly ledger: Ledger;
  readonly rail: Rail;
  /** The 402 of a metered route. */
  required(): Promise<PaymentRequiredV2>;
  present(header: string, digest?: string): Promise<Authorization>;
  /** As `present`, for a payment that must be granted. */
  grant(header: string): Promise<Payment>;
  /** Takes a cost (USD atoms) for a whole answer. */
  capture(payment: Payment, cost: bigint): Promise<Payment>;
}

export type UptoDeskOptions = Partial<Omit<X402RailOptions, 'config'>> & {
  readonly gasSponsoring?: { readonly perDay: number; readonly minPrice: string };
  readonly route?: Partial<Route>;
  readonly max?: bigint;
};

const ANSWER = { status: 200, headers: [], body: new Uint8Array(0) };

export async function openUptoDesk(
  t: TestContext,
  devnet: EvmDevnet,
  options: UptoDeskOptions = {},
): Promise<UptoDesk> {
  const { clock = systemClock, gasSponsoring, max = MAX } = options;
  const ledger = options.ledger ?? (await memoryLedger(t, clock));
  const who =
    options.facilitators === undefined
      ? { settleWith: settlementKey(devnet) }
      : { facilitator: 'http://facilitator.invalid' };
  const rail = createX402Rail({
    ...{ clock, random: randomBytes, log: silentLog, verifyQuote: () => 'ok' },
    ...{ confirmations: 1, settleMs: 5_000, marginMs: 60_000 },
    ...options,
    ledger,
    config: {
      payTo: { eip155: PAY_TO },
      networks: {
        [devnet.network]: {
          ...{ rpc: devnet.rpcUrl, ...who, pollMs: 10, maxFeeGwei: 200, recheckBlocks: 64 },
        },
      },
      ...(gasSponsoring === undefined ? {} : { gasSponsoring }),
    },
  });
  t.after(() => rail.close());
  const route = routeOf('POST /chat', { price: METERED, ...options.route });
  const quoteNow = () => ({
    ...{ id: 'quote', routeId: route.id, priceVersion: route.priceVersion, max },
    ...{ issuedAtMs: clock.now(), expiresAtMs: clock.now() + 60_000 },
  });
  const present = (header: string, digest = 'digest'): Promise<Authorization> => {
    const exchange = exchangeOf({ 'payment-signature': header });
    const presented = rail.recognise(exchange);
    if (presented === null) throw new Error('no credential was recognised');
    const nowMs = clock.now();
    return rail.authorize(presented, {
      ...{ route, quote: quoteNow(), digest, exchange, owner: OWNER, nowMs },
    });
  };
  return {
    ...{ devnet, ledger, rail, present },
    async required() {
      const { headers } = await rail.offers(quoteNow(), route, exchangeOf({}), 'Pay');
      return decodePaymentRequired(headers[headers.indexOf('PAYMENT-REQUIRED') + 1] ?? '');
    },
    async grant(header) {
      const authorization = await present(header);
      if (authorization.outcome !== 'granted') throw new Error(`it was ${authorization.outcome}`);
      return authorization.payment;
    },
    capture: (payment, cost) => rail.capture({ payment, cost, usage: [], answer: ANSWER }),
  };
}

export async function uptoOffer(desk: UptoDesk): Promise<Requirements> {
  const { accepts } = await desk.required();
  const offer = accepts.find(({ scheme }) => scheme === 'upto');
  if (offer === undefined) throw new Error('there is no offer of upto');
  return offer;
}

/** Lets Permit2 spend an account's USDC, or no longer. */
export async function approve(devnet: EvmDevnet, payer: number, atoms?: bigint): Promise<void> {
  const all = approvePermit2();
  const data: Hex =
    atoms === undefined ? all : `0x${all.slice(2, -64)}${atoms.toString(16).padStart(64, '0')}`;
  await send(devnet, payer, { to: devnet.asset, data });
}

/** What the official client answers a 402 with. */
export async function payOfficially(desk: UptoDesk, payer: DevnetAccount): Promise<string> {
  const required = await desk.required();
  const accepted = await uptoOffer(desk);
  const reader = createPublicClient({ chain: base, transport: http(desk.devnet.rpcUrl) });
  const signer = {
    ...privateKeyToAccount(payer.privateKey),
    readContract: reader.readContract,
  };
  const made = await new UptoEvmScheme(signer as never).createPaymentPayload(2, accepted as never, {
    extensions: required.extensions as never,
  });
  return encodeHeader({ ...made, accepted });
}

/** A permit for an offer, signed with a key, or wrongly where `change` says so. */
export function signUpto(
  offer: Requirements,
  payer: DevnetAccount,
  change: {
    readonly permit?: Partial<UptoPermit>;
    readonly amount?: bigint;
    readonly accepted?: Partial<Requirements>;
    readonly extensions?: JsonObject;
    readonly signature?: Hex;
  } = {},
): { readonly header: string; readonly permit: UptoPermit; readonly signature: Hex } {
  const permit: UptoPermit = {
    from: payer.address,
    permitted: { token: offer.asset as Hex, amount: change.amount ?? BigInt(offer.amount) },
    spender: '0x4020A4f3b7b90ccA423B9fabCc0CE57C6C240002',
    nonce: BigInt(`0x${randomBytes(32).toString('hex')}`),
    deadline: BigInt(Math.floor(Date.now() / 1000) + offer.maxTimeoutSeconds),
    witness: {
      to: offer.payTo as Hex,
      facilitator: offer.extra?.facilitatorAddress as Hex,
      validAfter: 0n,
    },
    ...change.permit,
  };
  const chainId = BigInt(offer.network.slice('eip155:'.length));
  const hash = hashUptoPermit(permit2Separator(chainId), permit);
  const signature = change.signature ?? signHash(hash, payer.privateKey);
  const header = encodeHeader({
    x402Version: 2,
    accepted: { ...offer, ...change.accepted },
    payload: encodeUptoEvmPayload({ signature, permit2Authorization: permit }),
    ...(change.extensions === undefined ? {} : { extensions: change.extensions }),
  });
  return { header, permit, signature };
}

export { account, PAY_TO };
