/** A gateway on a free port over a fresh database, with a second view of its ledger. */

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { type ConfigInput, parseConfig } from '../../src/config.ts';
import { systemClock } from '../../src/core/clock.ts';
import type { Ledger } from '../../src/core/ports/ledger.ts';
import { devnetAccount } from '../../src/devnet/start-evm-devnet.ts';
import { createGateway, type Gateway, type GatewayOptions } from '../../src/gateway.ts';
import { openLedger } from '../../src/ledger/open-ledger.ts';
import { serveNode } from '../../src/serve/node.ts';

export interface TestGateway {
  readonly url: string;
  readonly database: string;
  readonly ledger: Ledger;
  readonly gateway: Gateway;
  /** Ends this gateway in order and starts another on the same database, with another config if one is given. */
  restart(config?: TestConfig): Promise<TestGateway>;
  /** Goes on by another config, without a restart. */
  reload(config: TestConfig): Promise<void>;
  close(): Promise<void>;
}

export type TestConfig = Omit<ConfigInput, 'database'>;

export async function tempDatabase(t: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'coinslot-test-'));
  t.after(() => rm(folder, { recursive: true, force: true }));
  return `sqlite:${join(folder, 'test.db')}`;
}

/** What `${SETTLEMENT_KEY}` in a test's config stands for: the first account of every devnet. */
const ENV = { SETTLEMENT_KEY: devnetAccount(0).privateKey };

export interface TestGatewayOptions extends GatewayOptions {
  /** Replaces `SETTLEMENT_KEY`: gateways that run at the same time need keys of their own. */
  readonly env?: Readonly<Record<string, string>>;
}

/** Closes itself at the end of the test, which fails if a hold is still open then. */
export async function startGateway(
  t: TestContext,
  config: TestConfig,
  options: TestGatewayOptions = {},
): Promise<TestGateway> {
  return await startOn(t, await tempDatabase(t), config, options);
}

async function startOn(
  t: TestContext,
  database: string,
  input: TestConfig,
  options: TestGatewayOptions,
): Promise<TestGateway> {
  const config = parseConfig({ ...input, database }, options.env ?? ENV);
  const gateway = await createGateway(config, options);
  const server = await serveNode(gateway, {
    host: '127.0.0.1',
    port: 0,
    headerBytes: config.limits.headerBytes,
    requestMs: config.timeouts.requestMs,
    trustProxy: config.trustProxy,
    publicUrl: config.publicUrl,
  });
  const ledger = await openLedger({
    url: database,
    clock: systemClock,
    exclusive: false,
    onFatal: fail,
  });
  let closed = false;
  const close = async (): Promise<void> => {
    if (closed) return;
    closed = true;
    await server.close();
    await gateway.close();
    const differences = await ledger.audit();
    const open = await ledger.listPayments({ limit: 10, state: 'running' });
    await ledger.close();
    if (differences.length > 0) throw new Error(`audit: ${JSON.stringify(differences)}`);
    if (open.length > 0)
      throw new Error(`holds left open: ${JSON.stringify(open.map((one) => one.id))}`);
  };
  t.after(close);
  return {
    ...{ url: server.url, database, ledger, gateway, close },
    reload: (other) => gateway.reload(parseConfig({ ...other, database }, options.env ?? ENV)),
    async restart(other = input) {
      await close();
      return await startOn(t, database, other, options);
    },
  };
}

function fail(error: Error): never {
  throw error;
}
