/** `coinslot demo`: a real local chain, an upstream, a gateway and a payer; every step is read back. */

import { rmSync } from 'node:fs';
import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Command } from 'commander';
import { parseConfig } from '../config.ts';
import { systemClock } from '../core/clock.ts';
import type { Ledger } from '../core/ports/ledger.ts';
import { type SampleUpstream, startSampleUpstream } from '../devnet/sample-upstream.ts';
import { type EvmDevnet, startEvmDevnet } from '../devnet/start-evm-devnet.ts';
import { createGateway } from '../gateway.ts';
import { openLedger } from '../ledger/open-ledger.ts';
import { serveNode } from '../serve/node.ts';
import { demoSteps } from './demo-steps.ts';

/** What the demo runs on; all of it local, all of it gone when it closes. */
export interface DemoStage {
  readonly url: string;
  readonly chain: EvmDevnet;
  readonly upstream: SampleUpstream;
  /** A second view of the gateway's ledger, as the CLI has it. */
  readonly ledger: Ledger;
  readonly configFile: string | null;
  /** Address that receives the payments. */
  readonly payTo: string;
  /** The account that pays. */
  readonly payer: { readonly address: string; readonly privateKey: string };
  close(): Promise<void>;
}

const PORT = 4020;

export function registerDemo(program: Command): void {
  program
    .command('demo')
    .description(
      'pay for calls on a real local chain and show each step; stays up to be tried by hand',
    )
    .option('--once', 'end after the steps: exit 0 only if each one truly happened')
    .action(async (options: { once?: boolean }) => {
      process.exitCode = await runDemo(options.once === true);
    });
}

async function runDemo(once: boolean): Promise<number> {
  const say = (line = ''): void => void process.stdout.write(`${line}\n`);
  say('Starting a local chain with USDC, an upstream and a gateway …');
  const stage = await openStage();
  try {
    let number = 0;
    for (const step of demoSteps) {
      number += 1;
      say(`\n${number}. ${step.title}`);
      for (const line of await step.run(stage)) say(`   ${line}`);
    }
    say('\nEvery step was read back from chain and ledger.');
    if (!once) await stayUp(stage, say);
    return 0;
  } catch (error) {
    say(`\nThe demo failed: ${error instanceof Error ? error.message : String(error)}`);
    return 1;
  } finally {
    await stage.close();
  }
}

async function openStage(): Promise<DemoStage> {
  const closers: (() => Promise<void> | void)[] = [];
  const close = async (): Promise<void> => {
    for (const closer of closers.splice(0).reverse()) await closer();
  };
  try {
    const folder = await mkdtemp(join(tmpdir(), 'coinslot-demo-'));
    closers.push(() => rmSync(folder, { recursive: true, force: true }));
    const chain = await startEvmDevnet();
    closers.push(() => chain.close());
    const upstream = await startSampleUpstream();
    closers.push(() => upstream.close());
    const [settler, earner, payer] = chain.accounts;
    if (!settler || !earner || !payer) throw new Error('the devnet has too few accounts');
    const database = `sqlite:${join(folder, 'demo.db')}`;
    const config = parseConfig(demoConfig(chain, upstream.url, database, earner.address), {
      SETTLEMENT_KEY: settler.privateKey,
    });
    const gateway = await createGateway(config);
    closers.push(() => gateway.close());
    const server = await listen(gateway, config);
    closers.push(() => server.close());
    const ledger = await openLedger({ url: database, clock: systemClock, exclusive: false });
    closers.push(() => ledger.close());
    return {
      url: server.url,
      chain,
      upstream,
      ledger,
      configFile: null,
      payTo: earner.address,
      payer,
      close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}

/** The usual port when it is free, any other when it is not. */
async function listen(
  gateway: Awaited<ReturnType<typeof createGateway>>,
  config: ReturnType<typeof parseConfig>,
): ReturnType<typeof serveNode> {
  const options = {
    host: '127.0.0.1',
    headerBytes: config.limits.headerBytes,
    requestMs: config.timeouts.requestMs,
    trustProxy: [],
    publicUrl: null,
  };
  try {
    return await serveNode(gateway, { ...options, port: PORT });
  } catch {
    return await serveNode(gateway, { ...options, port: 0 });
  }
}

function demoConfig(chain: EvmDevnet, upstream: string, database: string, payTo: string): object {
  return {
    database,
    upstreams: { api: { url: upstream } },
    payments: {
      free: { callsPerDay: 10, per: 'ip' },
      prepaid: {},
      x402: {
        payTo: { eip155: payTo },
        // biome-ignore lint/suspicious/noTemplateCurlyInString: the config replaces it from the environment
        networks: { [chain.network]: { rpc: chain.rpcUrl, settleWith: '${SETTLEMENT_KEY}' } },
      },
    },
    routes: {
      'POST /summarize': { upstream: 'api', price: '$0.006', description: 'Summarise a text' },
      'POST /memory/store': { upstream: 'api', price: '$0.002', description: 'Remember a text' },
      'POST /broken': {
        upstream: 'api',
        price: '$0.01',
        description: 'Always fails, so costs nothing',
      },
      'GET /health': { upstream: 'api', price: 'free' },
    },
  };
}

async function stayUp(stage: DemoStage, say: (line?: string) => void): Promise<void> {
  say(`
It stays up until Ctrl-C. Try it:

  gateway   ${stage.url}
  chain     ${stage.chain.rpcUrl}  (${stage.chain.network}, USDC ${stage.chain.asset})
  payer     ${stage.payer.address}

  # the free calls of today are used, so this shows the 402:
  curl -i ${stage.url}/summarize -d '{"text":"One sentence. Another one."}'

  # pay it from the wallet:
  export WALLET_KEY=${stage.payer.privateKey}
  npx coinslot pay ${stage.url}/summarize -d '{"text":"One sentence. Another one."}' --max 0.01 --rpc ${stage.chain.rpcUrl}

  # understand a 402:
  npx coinslot inspect ${stage.url}/summarize -X POST
`);
  await new Promise<void>((resolve) => {
    process.once('SIGINT', () => resolve());
    process.once('SIGTERM', () => resolve());
  });
}
