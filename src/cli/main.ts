/** The `coinslot` command: one file per command, exit codes by meaning, JSON on request. */

import { readFileSync } from 'node:fs';
import { Command } from 'commander';
import { EXIT_CODES_HELP } from './exit-codes.ts';
import { reportFailure } from './report.ts';

type Register = (program: Command) => void;

/** In the order of the help. Each is imported on first use: a quick command must not load chains and servers. */
const COMMANDS: ReadonlyMap<string, () => Promise<Register>> = new Map([
  ['init', async () => (await import('./init.ts')).registerInit],
  ['start', async () => (await import('./start.ts')).registerStart],
  ['demo', async () => (await import('./demo.ts')).registerDemo],
  ['devnet', async () => (await import('./devnet.ts')).registerDevnet],
  ['pay', async () => (await import('./pay.ts')).registerPay],
  ['inspect', async () => (await import('./inspect.ts')).registerInspect],
  ['keys', async () => (await import('./keys.ts')).registerKeys],
  ['payments', async () => (await import('./payments.ts')).registerPayments],
  ['shadow', async () => (await import('./shadow.ts')).registerShadow],
  ['ledger', async () => (await import('./ledger.ts')).registerLedger],
]);

/** The program with one command, or with all when `name` is none of them; it throws CommanderError instead of ending the process. */
export async function createProgram(name?: string): Promise<Command> {
  const program = new Command('coinslot')
    .description('Make any AI API pay-per-inference over HTTP 402.')
    .version(packageVersion())
    .addHelpText('after', EXIT_CODES_HELP)
    .showHelpAfterError('(see coinslot --help)')
    .exitOverride();
  const one = COMMANDS.get(name ?? '');
  for (const load of one ? [one] : COMMANDS.values()) (await load())(program);
  return program;
}

/** Runs one command line and sets the process's exit code. */
export async function main(argv: readonly string[] = process.argv): Promise<void> {
  // `coinslot payments list | head` closes the pipe early: that is no failure.
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error;
  });
  try {
    const program = await createProgram(argv[2]);
    await program.parseAsync([...argv]);
  } catch (error) {
    process.exitCode = reportFailure(error, argv.includes('--json'));
  }
}

function packageVersion(): string {
  const text = readFileSync(new URL('../../package.json', import.meta.url), 'utf8');
  const { version } = JSON.parse(text) as { version: string };
  return version;
}

if (import.meta.main) await main();
