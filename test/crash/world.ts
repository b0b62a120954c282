/** Everything around the gateway that stays up while it is killed: the chain, the upstream, the payers. */

import { randomBytes } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemClock } from '../../src/core/clock.ts';
import { parseUsd } from '../../src/core/money.ts';
import type { Ledger } from '../../src/core/ports/ledger.ts';
import {
  type DevnetAccount,
  type EvmDevnet,
  startEvmDevnet,
} from '../../src/devnet/start-evm-devnet.ts';
import { openLedger } from '../../src/ledger/open-ledger.ts';
import { newApiKey } from '../../src/rails/prepaid/protocol.ts';
import { freePort } from '../support/free-port.ts';
import { type CountingUpstream, startCountingUpstream } from './counting-upstream.ts';

export interface World {
  readonly chain: EvmDevnet;
  readonly upstream: CountingUpstream;
  /** A second view of the gateway's database. */
  readonly ledger: Ledger;
  /** Where the gateway listens, whenever it does. */
  readonly url: string;
  /** Its config file, and what its config names. */
  readonly config: string;
  readonly env: Readonly<Record<string, string>>;
  readonly payTo: string;
  readonly keys: readonly string[];
  readonly wallets: readonly DevnetAccount[];
  close(): Promise<void>;
}

/** USDC atoms: every paid route costs one cent. */
export const PRICE = 10_000n;
/** USDC atoms of each wallet at the start. */
export const WALLET_ATOMS = 10_000_000_000n;

const PAID = ['echo', 'slow', 'sse', 'big', 'broken', 'reset', 'empty'];
const KEYS_COUNT = 3;
const WALLETS_COUNT = 6;
const MANY = 1_000_000;

export async function openWorld(): Promise<World> {
  const folder = await mkdtemp(join(tmpdir(), 'coinslot-crash-'));
  const chain = await startEvmDevnet({ accountsCount: WALLETS_COUNT + 1 });
  const upstream = await startCountingUpstream();
  const [settler, ...wallets] = chain.accounts;
  if (settler === undefined) throw new Error('the devnet has no accounts');
  const payTo = `0x${randomBytes(20).toString('hex')}`;
  const port = await freePort();
  const config = join(folder, 'coinslot.yaml');
  await writeFile(config, JSON.stringify(settings(chain, upstream.url, payTo, port)));
  const ledger = await openLedger({
    ...{ url: `sqlite:${join(folder, 'crash.db')}`, clock: systemClock, exclusive: false },
    onFatal(error) {
      throw error;
    },
  });
  const keys: string[] = [];
  for (let i = 0; i < KEYS_COUNT; i++) keys.push(await createKey(ledger));
  return {
    ...{ chain, upstream, ledger, config, payTo, keys, wallets },
    url: `http://127.0.0.1:${port}`,
    env: { SETTLEMENT_KEY: settler.privateKey },
    async close() {
      await ledger.close();
      await upstream.close();
      await chain.close();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

function settings(chain: EvmDevnet, upstream: string, payTo: string, port: number): object {
  const paid = { upstream: 'api', price: '$0.01', timeout: '5s', free: false };
  return {
    listen: `127.0.0.1:${port}`,
    database: 'sqlite:crash.db',
    upstreams: { api: { url: upstream } },
    payments: {
      prepaid: {},
      free: { callsPerDay: MANY, per: 'ip' },
      x402: {
        payTo: { eip155: payTo },
        networks: {
          [chain.network]: { rpc: chain.rpcUrl, settleWith: '${SETTLEMENT_KEY}', pollMs: 20 },
        },
      },
    },
    routes: {
      ...Object.fromEntries(PAID.map((product) => [`POST /${product}`, paid])),
      'POST /quota': { upstream: 'api', price: '$0.01', timeout: '5s' },
      'POST /free': { upstream: 'api', price: 'free' },
    },
    timeouts: { settle: '2s' },
    exposure: { perPayer: '$0.05', perNetwork: '$5' },
    limits: {
      requestsPerMinute: { ip: MANY, key: MANY, wallet: MANY },
      unpaidPerMinute: MANY,
      failuresPerMinute: MANY,
    },
  };
}

async function createKey(ledger: Ledger): Promise<string> {
  const { id, key, prefix, secretHash } = newApiKey('live', randomBytes);
  await ledger.createKey({
    ...{ id, prefix, secretHash, mode: 'live', name: null, nowMs: Date.now() },
    ...{ topUp: parseUsd('$1000'), perDay: null, routes: null },
  });
  return key;
}
