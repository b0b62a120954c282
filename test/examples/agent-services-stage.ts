/** The example as a reader runs it: its own config in a gateway, its service as a process, before a model and a chain. */

import { readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import type { TestContext } from 'node:test';
import { payFetch, privateKeyWallet } from '../../src/client/index.ts';
import { readYaml } from '../../src/config/read-yaml.ts';
import {
  type DevnetAccount,
  devnetAccount,
  type EvmDevnet,
} from '../../src/devnet/start-evm-devnet.ts';
import { createKey } from '../attacks/fixture.ts';
import { type ChatModel, startChatModel } from '../support/chat-model.ts';
import { DocsWorkspace } from '../support/docs-workspace.ts';
import { freePort } from '../support/free-port.ts';
import { findFiles, ROOT } from '../support/source-files.ts';
import { startGateway, type TestConfig, type TestGateway } from '../support/start-gateway.ts';
import { tempDir } from '../support/temp-dir.ts';

const FOLDER = 'examples/agent-services';

export interface AgentServices {
  readonly gateway: TestGateway;
  readonly model: ChatModel;
  /** The folder of the example, with coinslot installed. */
  readonly workspace: DocsWorkspace;
  /** An API key with a dollar. */
  readonly key: string;
  post(path: string, body: string, by?: Caller): Promise<Response>;
  /** USD atoms that the key has left. */
  keyBalance(): Promise<bigint | undefined>;
  /** USDC atoms that reached the operator. */
  received(): Promise<bigint>;
}

/** Who calls: by key, by wallet, or free, from an address of his own if one is named. */
export interface Caller {
  readonly key?: string;
  readonly wallet?: DevnetAccount;
  readonly address?: string;
  readonly headers?: Readonly<Record<string, string>>;
}

export async function startAgentServices(
  t: TestContext,
  chain: EvmDevnet,
  callsPerDay: number,
): Promise<AgentServices> {
  const model = await startChatModel(t);
  const payTo = `0x${Buffer.from(crypto.getRandomValues(new Uint8Array(20))).toString('hex')}`;
  const env = {
    LISTEN: '127.0.0.1:0',
    LEDGER: 'ledger.db',
    MEMORY: 'memory.db',
    SERVICE_URL: `http://127.0.0.1:${await freePort()}`,
    OPENAI_BASE_URL: model.baseUrl,
    OPENAI_API_KEY: 'key-of-the-model',
    OPENAI_MODEL: 'small-model',
    RPC_URL: chain.rpcUrl,
    PAY_TO: payTo,
    SETTLEMENT_KEY: devnetAccount(0).privateKey,
  };
  const workspace = openWorkspace(t, env);
  await workspace.runInBackground('exec node service.ts', 'services at');
  const gateway = await startGateway(t, readConfig(callsPerDay), { env });
  const { id, key } = await createKey(gateway.ledger);
  return {
    ...{ gateway, model, workspace, key },
    post: (path, body, by = {}) => post(gateway.url + path, body, by),
    keyBalance: async () => (await gateway.ledger.findKey(id))?.balance,
    received: () => chain.usdcBalance(payTo),
  };
}

function openWorkspace(t: TestContext, env: Readonly<Record<string, string>>): DocsWorkspace {
  const removed: (() => void)[] = [];
  const folder = tempDir({ after: (remove) => removed.push(remove) });
  const workspace = new DocsWorkspace(folder, env);
  t.after(async () => {
    await workspace.close();
    for (const remove of removed) remove();
  });
  for (const path of findFiles([`${FOLDER}/*.{ts,yaml}`]))
    workspace.write(basename(path), readFileSync(join(ROOT, path), 'utf8'));
  return workspace;
}

/** The example's own config, but for the size of the free tier, how fast the chain is asked, and who says where a call is from. */
function readConfig(callsPerDay: number): TestConfig {
  const file = join(FOLDER, 'coinslot.yaml');
  const config = readYaml(readFileSync(join(ROOT, file), 'utf8'), file).value as TestConfig;
  const { free, x402 } = config.payments ?? {};
  if (!free || !x402) throw new Error('the example has no free tier or takes no wallets');
  const networks = Object.entries(x402.networks ?? {}).map(([name, network]) => [
    name,
    { ...network, pollMs: 10 },
  ]);
  return {
    ...config,
    trustProxy: ['127.0.0.1/32'],
    payments: {
      ...config.payments,
      free: { ...free, callsPerDay },
      x402: { ...x402, networks: Object.fromEntries(networks) },
    },
  };
}

async function post(url: string, body: string, by: Caller): Promise<Response> {
  const doFetch = by.wallet
    ? payFetch(fetch, {
        wallet: privateKeyWallet(by.wallet.privateKey),
        budget: { perCall: '$0.01' },
      })
    : fetch;
  return await doFetch(url, {
    method: 'POST',
    headers: {
      'content-type': 'application/json',
      ...(by.key === undefined ? {} : { 'x-api-key': by.key }),
      ...(by.address === undefined ? {} : { 'x-forwarded-for': by.address }),
      ...by.headers,
    },
    body,
  });
}
