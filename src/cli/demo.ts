/** `coinslot demo`: a real local chain, an upstream, a gateway and a payer; every step is read back. */

import { type Command, Option } from 'commander';
import { type DemoStage, openDemoStage } from './demo-stage.ts';
import { demoSteps } from './demo-steps.ts';

export function registerDemo(program: Command): void {
  program
    .command('demo')
    .description(
      'pay for calls on a real local chain and show each step; stays up to be tried by hand',
    )
    .addOption(
      new Option('--port <port>', 'port of the gateway; any other when it is taken')
        .default(4020)
        .argParser(Number)
        .env('COINSLOT_DEMO_PORT'),
    )
    .option('--once', 'end after the steps: exit 0 only if each one truly happened')
    .action(async (options: { port: number; once?: boolean }) => {
      process.exitCode = await runDemo(options.port, options.once === true);
    });
}

async function runDemo(port: number, once: boolean): Promise<number> {
  const say = (line = ''): void => void process.stdout.write(`${line}\n`);
  say('Starting a local chain with USDC, an upstream and a gateway …');
  const stage = await openDemoStage(port);
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
