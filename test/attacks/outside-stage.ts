/** A full gateway between a payer and an outside that turns hostile: nodes, a facilitator, a clock. */

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import type { TestContext } from 'node:test';
import { addressOfPrivateKey, type Hex } from '../../src/chains/evm/sign.ts';
import { FINAL_STATES, type Payment, type PaymentState } from '../../src/core/payment.ts';
import type { DevnetAccount, EvmDevnet } from '../../src/devnet/start-evm-devnet.ts';
import { decodePaymentRequired } from '../../src/rails/x402/protocol.ts';
import { signOffer } from '../rails/x402-fixture.ts';
import {
  type HostileFacilitator,
  startHostileFacilitator,
} from '../support/hostile-facilitator.ts';
import { type HostileRpc, startHostileRpc } from '../support/hostile-rpc.ts';
import { signPayment } from '../support/sign-payment.ts';
import {
  startGateway,
  type TestConfig,
  type TestGateway,
  type TestGatewayOptions,
} from '../support/start-gateway.ts';
import { startUpstream, type TestUpstream } from '../support/start-upstream.ts';
import { until } from '../support/until.ts';
import { createKey } from './fixture.ts';

/** Atoms of USDC: every paid route costs one cent. */
export const PRICE = 10_000n;

export interface Seen {
  readonly status: number;
  readonly retryAfter: string | null;
  readonly paymentId: string | null;
  readonly state: string | null;
  readonly code: string | undefined;
  readonly text: string;
  readonly tookMs: number;
  /** PAYMENT-RESPONSE, read. */
  readonly receipt: { readonly success: boolean; readonly errorReason?: string } | null;
}

export interface OutsideStage {
  /** Another one after `restart`. */
  readonly gateway: TestGateway;
  readonly upstream: TestUpstream;
  readonly node: HostileRpc;
  readonly facilitator: HostileFacilitator;
  readonly payer: DevnetAccount;
  readonly settler: DevnetAccount;
  /** An API key with a dollar. */
  readonly key: string;
  restart(): Promise<void>;
  sign(path: string, privateKey?: Hex): Promise<Headers>;
  /** The same as an x402 v1 client signs it, in X-PAYMENT. */
  signV1(path: string): Promise<Headers>;
  /** What whoever sends this sees. */
  send(path: string, headers?: Headers): Promise<Seen>;
  payments(): Promise<Payment[]>;
  /** USDC atoms that reached the operator, as an honest node tells. */
  received(): Promise<bigint>;
}

export type StageOptions = {
  readonly over?: Partial<TestConfig>;
  readonly gateway?: TestGatewayOptions;
  /** A remote facilitator settles, instead of a key of the gateway. */
  readonly remote?: boolean;
  /** The nodes in the config, from the one of the stage. */
  readonly rpc?: (node: string) => string | string[];
  readonly payer?: DevnetAccount;
  /** This account settles and the next one pays; omitted: two that nobody else has. */
  readonly firstAccount?: number;
  /** False: wallets are the only rail. */
  readonly prepaid?: boolean;
};

const ROUTE = { upstream: 'api', price: '$0.01', timeout: '2s' } as const;
const PATHS = ['echo', 'other', 'gate', 'sse', 'status/:code'];
/** Accounts are never shared: two keys in one hand would take each other's nonces and balances. */
let nextAccount = 0;

export const ACCOUNTS_COUNT = 240;

function accountAt(chain: EvmDevnet, index: number): DevnetAccount {
  const account = chain.accounts[index];
  assert.ok(account, 'the devnet has too few accounts');
  return account;
}

export async function outsideStage(
  t: TestContext,
  chain: EvmDevnet,
  options: StageOptions = {},
): Promise<OutsideStage> {
  // The outside first: what is started first is stopped first, so that nothing waits for a hanging node.
  const node = await startHostileRpc(t, chain.rpcUrl);
  const account = options.firstAccount ?? nextAccount++;
  const settler = accountAt(chain, account);
  const payer =
    options.payer ?? accountAt(chain, options.firstAccount ? account + 1 : nextAccount++);
  const facilitator = await startHostileFacilitator(t, { devnet: chain, account });
  const upstream = await startUpstream(t);
  const payTo: Hex = `0x${randomBytes(20).toString('hex')}`;
  const own = { settleWith: '${SETTLEMENT_KEY}' };
  const network = {
    rpc: options.rpc?.(node.url) ?? node.url,
    pollMs: 10,
    ...(options.remote ? { facilitator: facilitator.url } : own),
  };
  const stage = {
    ...{ node, facilitator, upstream, payer, settler },
    gateway: await startGateway(
      t,
      {
        upstreams: { api: { url: upstream.url } },
        payments: {
          ...(options.prepaid === false ? {} : { prepaid: {} }),
          x402: { payTo: { eip155: payTo }, networks: { [chain.network]: network } },
        },
        routes: {
          ...Object.fromEntries(PATHS.map((path) => [`* /${path}`, ROUTE])),
          'GET /free': { upstream: 'api', price: 'free' },
        },
        timeouts: { settle: '1s' },
        ...options.over,
      },
      { env: { SETTLEMENT_KEY: settler.privateKey }, ...options.gateway },
    ),
    async restart() {
      stage.gateway = await stage.gateway.restart();
    },
    sign: (path: string, privateKey = payer.privateKey) =>
      signPayment(stage.gateway.url + path, privateKey),
    async signV1(path: string) {
      const unpaid = await fetch(stage.gateway.url + path);
      await unpaid.arrayBuffer();
      const [offer] = decodePaymentRequired(unpaid.headers.get('payment-required') ?? '').accepts;
      assert.ok(offer, 'nothing is offered');
      return new Headers({ 'x-payment': signOffer(offer, payer).v1 });
    },
    send: (path: string, headers?: Headers) => see(stage.gateway.url + path, headers),
    payments: () => stage.gateway.ledger.listPayments({ limit: 100 }),
    received: () => chain.usdcBalance(payTo),
  };
  const { key } = await createKey(stage.gateway.ledger);
  return Object.assign(stage, { key });
}

export async function see(url: string, headers: Headers = new Headers()): Promise<Seen> {
  const startedMs = performance.now();
  const response = await fetch(url, { headers });
  const text = await response.text();
  const receipt = response.headers.get('payment-response');
  const isJson = /json/.test(response.headers.get('content-type') ?? '');
  return {
    ...{ status: response.status, text, tookMs: performance.now() - startedMs },
    retryAfter: response.headers.get('retry-after'),
    paymentId: response.headers.get('x-payment-id'),
    state: response.headers.get('x-payment-state'),
    code: isJson && text !== '' ? (JSON.parse(text) as { code?: string }).code : undefined,
    receipt: receipt === null ? null : JSON.parse(Buffer.from(receipt, 'base64').toString()),
  };
}

/** Pays for `/gate`, lets its work begin, turns the outside hostile in the middle of it, and returns what the payer sees. */
export async function payWhile(
  stage: OutsideStage,
  headers: Headers,
  turn: () => void,
): Promise<Seen> {
  const answer = stage.send('/gate', headers);
  const begun = stage.upstream.seen('/gate', 1).then(() => null);
  const early = await Promise.race([answer, begun]);
  assert.equal(early, null, `answered before the work: ${early?.text}`);
  turn();
  stage.upstream.open();
  return await answer;
}

/** A wallet that nobody ever gave anything. */
export function newWallet(): DevnetAccount {
  const privateKey: Hex = `0x${randomBytes(32).toString('hex')}`;
  return { privateKey, address: addressOfPrivateKey(privateKey) };
}

/** The headers of an API key. */
export function withKey(stage: OutsideStage): Headers {
  return new Headers({ 'x-api-key': stage.key });
}

/** The only wallet payment, once it is in this state. */
export async function paymentIn(
  stage: OutsideStage,
  state: PaymentState,
  timeoutMs = 12_000,
): Promise<Payment> {
  return await until(
    async () => {
      const wallet = (await stage.payments()).filter(({ rail }) => rail === 'x402');
      assert.ok(wallet.length <= 1, 'there is more than one payment');
      return wallet[0]?.state === state && wallet[0];
    },
    { timeoutMs, what: `a payment that is ${state}` },
  );
}

/** Sends the same request until it is answered with 200, as a patient payer does; never with another status than 503. */
export async function sendUntilServed(
  stage: OutsideStage,
  path: string,
  headers: Headers,
  timeoutMs = 12_000,
): Promise<Seen> {
  return await until(
    async () => {
      const seen = await stage.send(path, headers);
      if (seen.status === 200) return seen;
      assertTryAgain(seen);
      return null;
    },
    { timeoutMs, everyMs: 100, what: `200 for ${path}` },
  );
}

/** 503 with Retry-After, and nothing that asks for another signature. */
export function assertTryAgain(seen: Seen): void {
  assert.equal(seen.status, 503, seen.text);
  assert.match(seen.retryAfter ?? '', /^\d+$/);
  assert.doesNotMatch(seen.text, /"accepts"|sign a new one/);
}

/** Other rails and free routes stand, whatever the chain does. */
export async function assertOthersServe(stage: OutsideStage): Promise<void> {
  const [prepaid, free] = await Promise.all([
    stage.send('/echo', withKey(stage)),
    stage.send('/free'),
  ]);
  assert.deepEqual([prepaid.status, prepaid.state], [200, 'settled']);
  assert.equal(free.status, 200);
}

/** Everything ended, and the operator has exactly what the ledger says. */
export async function assertBooksMatch(stage: OutsideStage, settledCount: number): Promise<void> {
  const wallet = (await stage.payments()).filter(({ rail }) => rail === 'x402');
  assert.deepEqual(
    wallet.filter(({ state }) => !FINAL_STATES.has(state)).map(({ state }) => state),
    [],
  );
  assert.equal(wallet.filter(({ state }) => state === 'settled').length, settledCount);
  assert.equal(await stage.received(), PRICE * BigInt(settledCount));
  assert.deepEqual(await stage.gateway.ledger.audit(), []);
}
