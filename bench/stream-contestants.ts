/** Who streams: the bare proxy, our gateway without and with a meter, and the official stack. */

import { join } from 'node:path';
import type { ConfigInput } from '../src/config.ts';
import { devnetAccount } from '../src/devnet/start-evm-devnet.ts';
import type { BareProxySettings } from './processes/bare-proxy.ts';
import type { GatewaySettings } from './processes/gateway.ts';
import type { OfficialSettings } from './processes/official-x402.ts';
import type { Stage } from './stage.ts';
import { type ProcessOptions, type ServerProcess, startProcess } from './start-process.ts';

export interface StreamContestant {
  readonly name: string;
  readonly against: string | null;
  readonly does: string;
  readonly start: (
    stage: Stage,
    upstream: string,
    options?: ProcessOptions,
  ) => Promise<ServerProcess>;
}

/** What a stream is asked for by; the upstream's path says what it will be. */
export const STREAM_BODY = JSON.stringify({
  ...{ model: 'gpt-4o-mini', stream: true, max_tokens: 4_000 },
  messages: [{ role: 'user', content: 'Tell a long story about a dark and stormy night.' }],
});

/** The kind of the stream is what `stream-upstream.ts` calls it. */
export const streamPath = (kind: string): string => `/${kind}/v1/chat/completions`;

const KINDS = ['events', 'bytes', 'gigabyte', 'paced', 'first', 'slow'] as const;
const METERED = { per: { inputToken: '$0.15/1M', outputToken: '$0.60/1M' }, max: '$0.05' } as const;
const CONNECTIONS = 4_096;
const POLL_MS = 10;
const THEIR_KEY = devnetAccount(1);
const PAY_TO = '0x209693Bc6afc0C5328bA36FaF03C514EF312287C';

const startGateway =
  (database: string, price: Extract<NonNullable<ConfigInput['routes']>[string], object>['price']) =>
  (stage: Stage, upstream: string, options?: ProcessOptions): Promise<ServerProcess> => {
    const most = 1_000_000_000;
    const config: ConfigInput = {
      database: `sqlite:${join(stage.folder, `${database}.db`)}`,
      mode: 'test',
      upstreams: { models: { url: upstream, connections: CONNECTIONS } },
      payments: { prepaid: {} },
      routes: Object.fromEntries(
        KINDS.map((kind) => [`POST ${streamPath(kind)}`, { upstream: 'models', price }]),
      ),
      limits: {
        requestsPerMinute: { ip: most, key: most, wallet: most },
        failuresPerMinute: most,
        concurrency: CONNECTIONS,
      },
    };
    return startProcess('gateway.ts', { config } satisfies GatewaySettings, options);
  };

export const STREAM_CONTESTANTS: readonly StreamContestant[] = [
  {
    ...{ name: 'bareStream', against: null },
    does: 'node:http and an undici pool, piping',
    start: (_stage, upstream) =>
      startProcess('bare-proxy.ts', { upstream } satisfies BareProxySettings),
  },
  {
    ...{ name: 'flatStream', against: 'bareStream' },
    does: 'API key, one price per call: durable hold, pass on, durable capture, receipt event',
    start: startGateway('flat-stream', '$0.006'),
  },
  {
    ...{ name: 'meteredStream', against: 'bareStream' },
    does: 'the same, priced by the token: asks for usage, reads every event, hides the usage it asked for',
    start: startGateway('metered-stream', METERED),
  },
];

/** `@x402/hono` before the same model, for the time to the first event. */
export const startOfficialStream = (stage: Stage, upstream: string): Promise<ServerProcess> =>
  startProcess('official-x402.ts', {
    upstream,
    rpc: `${stage.chain.url}/${THEIR_KEY.address.toLowerCase()}`,
    settlementKey: THEIR_KEY.privateKey,
    payTo: PAY_TO,
    path: streamPath('first'),
    price: '$0.006',
    pollMs: POLL_MS,
  } satisfies OfficialSettings);
