/** A gateway whose prices change while wallets pay, and the clients that pay it. */

import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';
import { ExactEvmScheme } from '@x402/evm';
import { wrapFetchWithPaymentFromConfig } from '@x402/fetch';
import { createWalletClient, http } from 'viem';
import { privateKeyToAccount } from 'viem/accounts';
import { base } from 'viem/chains';
import { wrapFetchWithPayment as wrapFetchV1 } from 'x402-fetch';
import { payFetch, privateKeyWallet } from '../../src/client/index.ts';
import type { EvmDevnet } from '../../src/devnet/start-evm-devnet.ts';
import { startGateway, type TestConfig, type TestGateway } from '../support/start-gateway.ts';
import { startUpstream, type TestUpstream } from '../support/start-upstream.ts';

export type Routes = NonNullable<TestConfig['routes']>;
export type Price = Routes[string]['price'];

export interface PriceStage {
  readonly chain: EvmDevnet;
  readonly upstream: TestUpstream;
  readonly gateway: TestGateway;
  readonly payer: EvmDevnet['accounts'][number];
  /** The gateway's clock runs ahead of the machine's by this much; keep it below 30 s. */
  skewMs: number;
  /** Swaps the price of `POST /echo`. */
  setPrice(price: Price): Promise<void>;
  /** USDC atoms that the payer lost so far. */
  paid(): Promise<bigint>;
  /** USD atoms that an unpaid request is asked for. */
  asked(): Promise<bigint>;
}

const SETTLEMENT_KEY = '${SETTLEMENT_KEY}';

export async function priceStage(
  t: TestContext,
  chain: EvmDevnet,
  payerIndex: number,
  price: Price,
  over: Partial<TestConfig> = {},
): Promise<PriceStage> {
  const upstream = await startUpstream(t);
  const payer = chain.accounts[payerIndex];
  assert.ok(payer, 'the devnet has too few accounts');
  const payTo = `0x${Buffer.from(crypto.getRandomValues(new Uint8Array(20))).toString('hex')}`;
  const network = { rpc: chain.rpcUrl, settleWith: SETTLEMENT_KEY, pollMs: 10 };
  const configOf = (now: Price): TestConfig => ({
    upstreams: { api: { url: upstream.url } },
    payments: { x402: { payTo: { eip155: payTo }, networks: { [chain.network]: network } } },
    routes: {
      'POST /echo': { upstream: 'api', timeout: '2s', price: now, chargeMax: true },
      'GET /gate': { upstream: 'api', price: 'free' },
    },
    quotes: { ttl: '10s', grace: '5s' },
    ...over,
  });
  const stage = { skewMs: 0 };
  const clock = { now: () => Date.now() + stage.skewMs };
  const gateway = await startGateway(t, configOf(price), { clock });
  const before = await chain.usdcBalance(payer.address);
  return Object.assign(stage, {
    ...{ chain, upstream, gateway, payer },
    setPrice: (other: Price) => gateway.reload(configOf(other)),
    paid: async () => before - (await chain.usdcBalance(payer.address)),
    async asked() {
      const response = await fetch(`${gateway.url}/echo`, { method: 'POST', body: 'hello' });
      const body = (await response.json()) as { x402: { networks: { amount: string }[] } };
      return BigInt(body.x402.networks[0]?.amount ?? '-1');
    },
  });
}

/** Does something after the first 402, before the client that gets it can answer. */
export function afterFirst402(act: () => Promise<void>): typeof fetch {
  let isFirst = true;
  return async (input, init) => {
    const response = await fetch(input, init);
    if (response.status !== 402 || !isFirst) return response;
    isFirst = false;
    await act();
    return response;
  };
}

type MakeClient = (s: PriceStage, over: typeof fetch) => typeof fetch;

function officialV2({ chain, payer }: PriceStage, over: typeof fetch): typeof fetch {
  const client = new ExactEvmScheme(privateKeyToAccount(payer.privateKey));
  return wrapFetchWithPaymentFromConfig(over, { schemes: [{ network: chain.network, client }] });
}

function officialV1({ chain, payer }: PriceStage, over: typeof fetch): typeof fetch {
  const account = privateKeyToAccount(payer.privateKey);
  const wallet = createWalletClient({ account, chain: base, transport: http(chain.rpcUrl) });
  return wrapFetchV1(over, wallet as never) as typeof fetch;
}

function ours({ payer }: PriceStage, over: typeof fetch): typeof fetch {
  const wallet = privateKeyWallet(payer.privateKey);
  return payFetch(over, {
    wallet: {
      address: wallet.address,
      signTransferAuthorization: wallet.signTransferAuthorization,
    },
    budget: { perCall: '$0.10' },
  });
}

export const CLIENTS: readonly (readonly [string, MakeClient])[] = [
  ['the official v2 client', officialV2],
  ['the official v1 client', officialV1],
  ['our payer', ours],
];
