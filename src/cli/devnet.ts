import { type Command, InvalidArgumentError } from 'commander';
import { type EvmDevnet, startEvmDevnet } from '../devnet/start-evm-devnet.ts';
import { CommandFailed } from './command-failed.ts';
import { withJson } from './options.ts';

interface DevnetOptions {
  readonly port: number;
  readonly testnet?: boolean;
}

/** Adds `coinslot devnet`: a real local chain with funded accounts, until Ctrl-C; its description is always JSON. */
export function registerDevnet(program: Command): void {
  withJson(program.command('devnet'))
    .description('start a real local chain with USDC and funded accounts, until Ctrl-C')
    .option('--port <port>', 'port of its JSON-RPC; 0 picks a free one', portOption, 0)
    .option('--testnet', 'chain id 84532 (Base Sepolia) instead of 8453 (Base)')
    .action(runDevnet);
}

async function runDevnet(options: DevnetOptions): Promise<void> {
  const stopped = new Promise<'stopped'>((resolve) => {
    process.once('SIGINT', () => resolve('stopped'));
    process.once('SIGTERM', () => resolve('stopped'));
  });
  const chainId = options.testnet ? 84532 : 8453;
  const devnet = await startEvmDevnet({ port: options.port, chainId, blockTimeSeconds: 3 });
  process.stdout.write(`${JSON.stringify({ networks: [describeNetwork(devnet)] })}\n`);
  process.stderr.write(
    `${devnet.network} at ${devnet.rpcUrl}: ${devnet.accounts.length} accounts with 10,000 USDC each. ` +
      'Everybody knows their keys: only for this chain. Ctrl-C ends it.\n',
  );
  const ending = await Promise.race([stopped, devnet.ended]);
  await devnet.close();
  if (ending !== 'stopped')
    throw new CommandFailed('chain_ended', 'the chain ended unexpectedly', 'Start it again.');
}

function describeNetwork({ network, rpcUrl, asset, accounts }: EvmDevnet): object {
  return { network, rpcUrl, asset, accounts };
}

function portOption(text: string): number {
  const port = Number(text);
  if (!/^\d{1,5}$/.test(text) || port > 65_535)
    throw new InvalidArgumentError('Write a number from 0 to 65535.');
  return port;
}
