/** `coinslot demo`: a real local chain, an upstream, a gateway and a payer; every step is read back. */

import type { Command } from 'commander';
import type { Config } from '../config.ts';
import { systemClock } from '../core/clock.ts';
import type { Ledger } from '../core/ports/ledger.ts';
import { type SampleUpstream, startSampleUpstream } from '../devnet/sample-upstream.ts';
import { type EvmDevnet, startEvmDevnet } from '../devnet/start-evm-devnet.ts';
import { createGateway } from '../gateway.ts';
import { openLedger } from '../ledger/open-ledger.ts';
import { serveNode } from '../serve/node.ts';
import { writeDemoFiles } from './demo-files.ts';
import { demoSteps } from './demo-steps.ts';
import { loadConfigOf } from './options.ts';

/** What the demo runs on; all of it local, all of it gone when it closes. */
export interface DemoStage {
  readonly url: string;
  readonly chain: EvmDevnet;
  readonly upstream: SampleUpstream;
  /** A second view of the gateway's ledger, as the CLI has it. */
  readonly ledger: Ledger;
  /** Config of the running gateway, for the other commands. */
  readonly configFile: string;
  /** Address that receives the payments. */
  readonly payTo: string;
  /** The account that pays. */
  readonly payer: { readonly address: string; readonly privateKey: string };
  close(): Promise<void>;
}

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
    const chain = await startEvmDevnet();
    closers.push(() => chain.close());
    const upstream = await startSampleUpstream();
    closers.push(() => upstream.close());
    const [settler, earner, payer] = chain.accounts;
    if (!settler || !earner || !payer) throw new Error('the devnet has too few accounts');
    const files = await writeDemoFiles(chain, upstream.url, earner.address, settler.privateKey);
    closers.push(() => files.remove());
    const config = await loadConfigOf({ config: files.configFile });
    const gateway = await createGateway(config);
    closers.push(() => gateway.close());
    const server = await listen(gateway, config);
    closers.push(() => server.close());
    const ledger = await openLedger({
      url: config.database,
      clock: systemClock,
      exclusive: false,
      onFatal: fail,
    });
    closers.push(() => ledger.close());
    return {
      url: server.url,
      chain,
      upstream,
      ledger,
      configFile: files.configFile,
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
  config: Config,
): ReturnType<typeof serveNode> {
  const options = {
    host: '127.0.0.1',
    headerBytes: config.limits.headerBytes,
    requestMs: config.timeouts.requestMs,
    trustProxy: [],
    publicUrl: null,
  };
  try {
    return await serveNode(gateway, { ...options, port: config.listen.port });
  } catch {
    return await serveNode(gateway, { ...options, port: 0 });
  }
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

  # pay it from a prepaid key:
  npx coinslot keys create --topup 1 --config ${stage.configFile}

  # look at the books:
  npx coinslot ledger entries --config ${stage.configFile}
  npx coinslot payments list --config ${stage.configFile}

  # understand a 402:
  npx coinslot inspect POST ${stage.url}/summarize
`);
  await new Promise<void>((resolve) => {
    process.once('SIGINT', () => resolve());
    process.once('SIGTERM', () => resolve());
  });
}

function fail(error: Error): never {
  throw error;
}
