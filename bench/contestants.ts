/** Who is measured, how each is started and called, and against whom it is read. */

import { join } from 'node:path';
import type { ConfigInput } from '../src/config.ts';
import { devnetAccount } from '../src/devnet/start-evm-devnet.ts';
import { fillLedger } from './fill-ledger.ts';
import type { BareProxySettings } from './processes/bare-proxy.ts';
import type { GatewaySettings } from './processes/gateway.ts';
import type { OfficialSettings } from './processes/official-x402.ts';
import type { Stage } from './stage.ts';
import { type ProcessOptions, type ServerProcess, startProcess } from './start-process.ts';

export interface Contestant {
  readonly name: string;
  /** Name of the contestant that it is compared with; null for a yardstick. */
  readonly against: string | null;
  /** Contestants of one group run in turns. */
  readonly group: 'proxy' | 'unpaid' | 'x402';
  readonly expectedStatus: 200 | 402;
  /** What one request makes the server do. */
  readonly does: string;
  readonly start: (stage: Stage, options?: ProcessOptions) => Promise<ServerProcess>;
  /** Each request carries a payment of its own. */
  readonly signs?: true;
}

export const PATH = '/summarize';
export const BODY = JSON.stringify({ text: 'It was a dark and stormy night. The rain fell.' });
const PRICE = '$0.006';
const PAY_TO = '0x209693Bc6afc0C5328bA36FaF03C514EF312287C';
const HISTORY_ENTRIES = 1_000_000;
/** Both sides look for receipts this often. */
const POLL_MS = 10;
const OUR_KEY = devnetAccount(0);
const THEIR_KEY = devnetAccount(1);

const startGateway =
  (database: string, payments: ConfigInput['payments'], more: Partial<GatewaySettings> = {}) =>
  (stage: Stage, options?: ProcessOptions): Promise<ServerProcess> => {
    const config = configOf(stage, database, payments);
    return startProcess('gateway.ts', { config, ...more } satisfies GatewaySettings, options);
  };

const startWithHistory = async (stage: Stage, options?: ProcessOptions): Promise<ServerProcess> => {
  await fillLedger(join(stage.folder, 'history.db'), HISTORY_ENTRIES);
  return await startGateway('history', { prepaid: {} })(stage, options);
};

const startWithX402 =
  (database: string) =>
  (stage: Stage, options?: ProcessOptions): Promise<ServerProcess> => {
    const config = configOf(stage, database, {
      x402: {
        payTo: { eip155: PAY_TO },
        networks: {
          'eip155:84532': {
            rpc: `${stage.chain.url}/${OUR_KEY.address.toLowerCase()}`,
            settleWith: '${SETTLEMENT_KEY}',
            pollMs: POLL_MS,
          },
        },
      },
    });
    const env = { SETTLEMENT_KEY: OUR_KEY.privateKey };
    return startProcess('gateway.ts', { config, env } satisfies GatewaySettings, options);
  };

const startOfficial = (stage: Stage): Promise<ServerProcess> =>
  startProcess('official-x402.ts', {
    upstream: stage.upstream.url,
    rpc: `${stage.chain.url}/${THEIR_KEY.address.toLowerCase()}`,
    settlementKey: THEIR_KEY.privateKey,
    payTo: PAY_TO,
    path: PATH,
    price: PRICE,
    pollMs: POLL_MS,
  } satisfies OfficialSettings);

export const CONTESTANTS: readonly Contestant[] = [
  {
    ...{ name: 'bare', against: null, group: 'proxy', expectedStatus: 200 },
    does: 'node:http and an undici pool, nothing else',
    start: (stage) =>
      startProcess('bare-proxy.ts', { upstream: stage.upstream.url } satisfies BareProxySettings),
  },
  {
    ...{ name: 'free', against: 'bare', group: 'proxy', expectedStatus: 200 },
    does: 'our gateway, price: free',
    start: (stage, options) => {
      const { routes, ...config } = configOf(stage, 'free', { prepaid: {} });
      const free = { [`POST ${PATH}`]: { upstream: 'api', price: 'free' } };
      return startProcess('gateway.ts', { config: { ...config, routes: free } }, options);
    },
  },
  {
    ...{ name: 'prepaidNoLedger', against: 'bare', group: 'proxy', expectedStatus: 200 },
    does: 'as prepaid, over a ledger that writes nothing',
    start: startGateway('none', { prepaid: {} }, { withoutLedger: true }),
  },
  {
    ...{ name: 'prepaid', against: 'bare', group: 'proxy', expectedStatus: 200 },
    does: 'API key: durable hold, upstream, durable capture with the answer kept for replay',
    start: startGateway('prepaid', { prepaid: {} }),
  },
  {
    ...{ name: 'prepaid1M', against: 'prepaid', group: 'proxy', expectedStatus: 200 },
    does: 'the same on a ledger of 1,000,000 entries',
    start: startWithHistory,
  },
  {
    ...{ name: 'freeTier', against: 'bare', group: 'proxy', expectedStatus: 200 },
    does: 'quota: durable hold, upstream, durable capture',
    start: startGateway('free-tier', { free: { callsPerDay: 1_000_000_000, per: 'ip' } }),
  },
  {
    ...{ name: 'official402', against: null, group: 'unpaid', expectedStatus: 402 },
    does: '@x402/hono: the 402 of one x402 offer',
    start: startOfficial,
  },
  {
    ...{ name: 'unpaid402', against: 'official402', group: 'unpaid', expectedStatus: 402 },
    does: 'our 402: v2 header, v1 body, signed quote',
    start: startWithX402('unpaid'),
  },
  {
    ...{ name: 'officialExact', against: null, group: 'x402', expectedStatus: 200, signs: true },
    does: '@x402/hono: verify (simulated), upstream, verify again, settle, receipt; stores nothing',
    start: startOfficial,
  },
  {
    ...{ name: 'x402exact', against: 'officialExact', group: 'x402', expectedStatus: 200 },
    ...{ signs: true },
    does: 'verify, durable claim and hold, simulate, upstream, durable capture with the signed transaction, settle, receipt, durable settled',
    start: startWithX402('x402'),
  },
];

function configOf(stage: Stage, database: string, payments: ConfigInput['payments']): ConfigInput {
  const most = 1_000_000_000;
  return {
    database: `sqlite:${join(stage.folder, `${database}.db`)}`,
    mode: 'test',
    upstreams: { api: { url: stage.upstream.url } },
    payments,
    routes: { [`POST ${PATH}`]: { upstream: 'api', price: PRICE, description: 'Summarise' } },
    limits: {
      requestsPerMinute: { ip: most, key: most, wallet: most },
      unpaidPerMinute: most,
      failuresPerMinute: most,
    },
    exposure: { perPayer: '$1000000', perNetwork: '$1000000' },
    quotes: { ttl: '1h' },
  };
}
