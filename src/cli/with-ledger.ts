import { existsSync } from 'node:fs';
import type { Config } from '../config.ts';
import { systemClock } from '../core/clock.ts';
import type { Ledger } from '../core/ports/ledger.ts';
import { openLedger } from '../ledger/open-ledger.ts';
import { CommandFailed } from './command-failed.ts';
import { EXIT } from './exit-codes.ts';

/**
 * Opens the config's ledger beside a gateway that may be running, does the work and closes it. A command
 * that only reads passes `existing`, so that a wrong path is an error and not a new empty database.
 */
export async function withLedger<T>(
  config: Config,
  database: 'existing' | 'may-be-new',
  work: (ledger: Ledger) => Promise<T>,
): Promise<T> {
  if (database === 'existing') checkExists(config.database);
  let died: (error: Error) => void = () => {};
  const death = new Promise<never>((_resolve, reject) => {
    died = reject;
  });
  const open = async (): Promise<T> => {
    const ledger = await openLedger({
      url: config.database,
      clock: systemClock,
      exclusive: false,
      onFatal: (error) => died(error),
    });
    try {
      await checkMode(ledger, config);
      return await work(ledger);
    } finally {
      await ledger.close();
    }
  };
  return await Promise.race([open(), death]);
}

function checkExists(url: string): void {
  const path = url.replace(/^sqlite:/, '');
  if (existsSync(path)) return;
  throw new CommandFailed(
    'database_missing',
    `there is no database ${path} yet`,
    'Start the gateway or create a key first, or check database in the config.',
  );
}

async function checkMode(ledger: Ledger, config: Config): Promise<void> {
  const stamped = await ledger.stampMode(config.mode);
  if (stamped === config.mode) return;
  throw new CommandFailed(
    'mode_mismatch',
    `the database holds ${stamped} money and the config is for ${config.mode} money; they can't mix`,
    'Use another database in one of the two configs.',
    EXIT.usage,
  );
}
