/** The gateway as an operator runs it, on a free port, with an API key that has money. */

import { randomBytes } from 'node:crypto';
import { giveBackMemory } from '../../src/cli/give-back-memory.ts';
import { type Config, type ConfigInput, parseConfig } from '../../src/config.ts';
import { systemClock } from '../../src/core/clock.ts';
import { createGateway } from '../../src/gateway.ts';
import { openLedger } from '../../src/ledger/open-ledger.ts';
import { newApiKey } from '../../src/rails/prepaid/protocol.ts';
import { serveNode } from '../../src/serve/node.ts';
import { forgetfulLedger } from './forgetful-ledger.ts';
import { loudLog } from './loud-log.ts';
import { runProcess } from './run-process.ts';

export interface GatewaySettings {
  readonly config: ConfigInput;
  /** What the config's variables stand for. */
  readonly env?: Readonly<Record<string, string>>;
  /** True replaces the ledger by one that only remembers what runs. */
  readonly withoutLedger?: boolean;
}

/** USD atoms: more than any run can spend. */
const TOP_UP = 1_000_000_000_000_000n;

runProcess<GatewaySettings>(async (settings) => {
  const config = parseConfig(settings.config, settings.env ?? {});
  const apiKey = config.payments.prepaid === null ? null : await makeApiKey(config);
  const ledger = settings.withoutLedger === true ? { ledger: forgetfulLedger() } : {};
  const gateway = await createGateway(config, { log: loudLog, ...ledger });
  const server = await serveNode(gateway, {
    host: '127.0.0.1',
    port: 0,
    headerBytes: config.limits.headerBytes,
    requestMs: config.timeouts.requestMs,
    trustProxy: [],
    publicUrl: null,
  });
  await giveBackMemory();
  return {
    url: server.url,
    details: apiKey === null ? {} : { apiKey },
    async close() {
      await server.close(1_000);
      await gateway.close();
    },
  };
});

async function makeApiKey(config: Config): Promise<string> {
  const ledger = await openLedger({
    url: config.database,
    clock: systemClock,
    exclusive: false,
    onFatal: fail,
  });
  try {
    await ledger.stampMode(config.mode);
    const { id, key, prefix, secretHash } = newApiKey(config.mode, randomBytes);
    const stored = { id, prefix, secretHash, mode: config.mode, topUp: TOP_UP };
    const nowMs = systemClock.now();
    await ledger.createKey({ ...stored, perDay: null, routes: null, name: 'bench', nowMs });
    return key;
  } finally {
    await ledger.close();
  }
}

function fail(error: Error): never {
  throw error;
}
