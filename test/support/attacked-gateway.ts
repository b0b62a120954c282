/** A gateway with keys and wallets over a real chain, and what its attackers have: signatures of any kind, and eyes. */

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, type TestContext } from 'node:test';
import type { Hex } from '../../src/chains/evm/sign.ts';
import { formatUsd } from '../../src/core/money.ts';
import type { Payment } from '../../src/core/payment.ts';
import type { DevnetAccount, EvmDevnet } from '../../src/devnet/start-evm-devnet.ts';
import { decodePaymentRequired, type Requirements } from '../../src/rails/x402/protocol.ts';
import { createKey } from '../attacks/fixture.ts';
import { type SignedPayment, type Signing, signOffer } from '../rails/x402-fixture.ts';
import {
  startGateway,
  type TestConfig,
  type TestGateway,
  type TestGatewayOptions,
} from './start-gateway.ts';
import { startUpstream, type TestUpstream } from './start-upstream.ts';

/** Every paid route costs one cent: this many atoms of USDC. */
export const PRICE = 10_000n;

/** What whoever sent a request got. */
export interface Answered {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
  /** The word for what is wrong; undefined in an answer of the upstream. */
  readonly code: string | undefined;
}

export interface AttackedGateway {
  /** Another one after `restart`. */
  readonly gateway: TestGateway;
  readonly upstream: TestUpstream;
  readonly payer: DevnetAccount;
  readonly settler: DevnetAccount;
  /** An API key with a dollar, and its id. */
  readonly key: string;
  readonly keyId: string;
  /** Ends the gateway in order and starts it again on the same database, with another config if one is given. */
  restart(over?: Partial<TestConfig>): Promise<void>;
  /** A fresh v2 offer of a path. */
  offer(path: string): Promise<Requirements>;
  /** A fresh offer, signed by the payer, or by whoever and however `signing` says. */
  sign(path: string, signing?: Signing & { readonly by?: DevnetAccount }): Promise<SignedPayment>;
  call(
    path: string,
    headers?: Readonly<Record<string, string>>,
    init?: RequestInit,
  ): Promise<Answered>;
  /** All payments, the newest first. */
  payments(): Promise<Payment[]>;
  /** Atoms of USDC that reached the operator. */
  received(): Promise<bigint>;
  /** What the key has left, such as `$0.99`. */
  keyBalance(): Promise<string>;
}

export interface AttackOptions {
  readonly over?: Partial<TestConfig>;
  /** On every paid route. */
  readonly route?: object;
  readonly gateway?: TestGatewayOptions;
  /** In place of the usual upstream; `upstream` then counts nothing. */
  readonly upstreamUrl?: string;
  /** In place of `rpc` and `settleWith` of the network. */
  readonly network?: object;
}

const PATHS = ['echo', 'other', 'gate', 'hang', 'empty', 'reset', 'half', 'sse', 'sse-gate'];
const MORE_PATHS = ['sse-half', 'status/:code', 'large/:bytes'];
const ROUTE = { upstream: 'api', price: '$0.01', timeout: '5s', free: false } as const;

/** Accounts are never shared: two keys in one hand would take each other's nonces and balances. */
let nextAccount = 0;

export function nextDevnetAccount(chain: EvmDevnet): DevnetAccount {
  const account = chain.accounts[nextAccount++];
  assert.ok(account, 'the devnet has too few accounts');
  return account;
}

/** Each has a payer, a settlement key and a receiver of its own. */
export async function attackedGateway(
  t: TestContext,
  chain: EvmDevnet,
  { over = {}, route = {}, gateway: options = {}, upstreamUrl, network }: AttackOptions = {},
): Promise<AttackedGateway> {
  const upstream = await startUpstream(t);
  const settler = nextDevnetAccount(chain);
  const payer = nextDevnetAccount(chain);
  const payTo: Hex = `0x${randomBytes(20).toString('hex')}`;
  const own = { rpc: chain.rpcUrl, settleWith: '${SETTLEMENT_KEY}', pollMs: 10 };
  const config: TestConfig = {
    upstreams: { api: { url: upstreamUrl ?? upstream.url } },
    payments: {
      prepaid: {},
      x402: {
        payTo: { eip155: payTo },
        networks: { [chain.network]: { ...own, ...network } },
      },
    },
    routes: {
      ...Object.fromEntries(
        [...PATHS, ...MORE_PATHS].map((path) => [`* /${path}`, { ...ROUTE, ...route }]),
      ),
      'GET /free/*': { upstream: 'api', price: 'free' },
    },
    timeouts: { settle: '8s' },
    ...over,
  };
  const env = { SETTLEMENT_KEY: settler.privateKey };
  const start = (more: Partial<TestConfig>) =>
    startGateway(t, { ...config, ...more }, { env, ...options });
  let gateway = await start({});
  const { id: keyId, key } = await createKey(gateway.ledger);
  const attacked: AttackedGateway = {
    ...{ upstream, payer, settler, key, keyId },
    get gateway() {
      return gateway;
    },
    async restart(more) {
      gateway = await gateway.restart(more === undefined ? undefined : { ...config, ...more });
    },
    async offer(path) {
      const unpaid = await fetch(gateway.url + path);
      await unpaid.arrayBuffer();
      const [offer] = decodePaymentRequired(unpaid.headers.get('payment-required') ?? '').accepts;
      assert.ok(offer, 'nothing is offered');
      return offer;
    },
    async sign(path, { by = payer, ...signing } = {}) {
      const nowMs = options.clock?.now() ?? Date.now();
      return signOffer(await attacked.offer(path), by, signing, nowMs);
    },
    call: (path, headers = {}, init = {}) => answered(gateway.url + path, { ...init, headers }),
    payments: () => gateway.ledger.listPayments({ limit: 10_000 }),
    received: () => chain.usdcBalance(payTo),
    keyBalance: async () => formatUsd((await gateway.ledger.findKey(keyId))?.balance ?? 0n),
  };
  return attacked;
}

/** One of several who share a gateway. */
export type Visitor = Omit<AttackedGateway, 'restart'>;

/**
 * One gateway for many tests of a file, from the first that comes until after the last. Returns how each test comes to a
 * payer and a key of its own, who see only what is theirs; but for paths that wait, such as `/gate`: once they are
 * open, they are open to all.
 */
export function sharedGateway(
  chain: () => EvmDevnet,
  options: AttackOptions = {},
): () => Promise<Visitor> {
  const ends: (() => unknown)[] = [];
  const context = { after: (end: () => unknown) => ends.push(end) } as unknown as TestContext;
  let shared: Promise<AttackedGateway> | undefined;
  after(async () => {
    for (const end of ends) await end();
  });
  return async () => {
    shared ??= attackedGateway(context, chain(), options);
    return await visit(await shared, chain());
  };
}

async function visit(s: AttackedGateway, chain: EvmDevnet): Promise<Visitor> {
  const payer = nextDevnetAccount(chain);
  const { id: keyId, key } = await createKey(s.gateway.ledger);
  const [received, counts] = [await s.received(), new Map<string, number>()];
  for (const path of ['/echo', '/other', '/sse', '/status/500'])
    counts.set(path, s.upstream.calls(path));
  const mine = new Set([`key:${keyId}`, `wallet:${chain.network}:${payer.address.toLowerCase()}`]);
  return {
    ...{ gateway: s.gateway, settler: s.settler, offer: s.offer, call: s.call },
    ...{ payer, key, keyId },
    upstream: { ...s.upstream, calls: (path) => s.upstream.calls(path) - (counts.get(path) ?? 0) },
    sign: (path, signing = {}) => s.sign(path, { by: payer, ...signing }),
    payments: async () => (await s.payments()).filter((one) => mine.has(one.payer)),
    received: async () => (await s.received()) - received,
    keyBalance: async () => formatUsd((await s.gateway.ledger.findKey(keyId))?.balance ?? 0n),
  };
}

export async function answered(url: string, init: RequestInit = {}): Promise<Answered> {
  const response = await fetch(url, { redirect: 'manual', ...init });
  const text = await response.text();
  const isJson = /json/.test(response.headers.get('content-type') ?? '');
  const code = isJson && text !== '' ? (JSON.parse(text) as { code?: string }).code : undefined;
  return { status: response.status, headers: response.headers, text, code };
}

/** PAYMENT-SIGNATURE, as v2 has it. */
export const v2 = ({ v2 }: SignedPayment): Record<string, string> => ({ 'payment-signature': v2 });

/** X-PAYMENT, as v1 has it. */
export const v1 = ({ v1 }: SignedPayment): Record<string, string> => ({ 'x-payment': v1 });

/** How often each value occurs: `{ 200: 1, 409: 49 }`. */
export function countEach(values: Iterable<number | string>): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const value of values) counts[value] = (counts[value] ?? 0) + 1;
  return counts;
}
