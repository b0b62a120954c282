import { existsSync, readFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { parseEnv } from 'node:util';
import { type Command, InvalidArgumentError } from 'commander';
import { type Config, ConfigError, type Env, loadConfig } from '../config.ts';
import { MoneyFormatError, parseUsd } from '../core/money.ts';

/** Options that every command has. */
export interface CommonOptions {
  readonly config?: string;
  readonly json?: boolean;
}

const CONFIG_FILES = ['coinslot.yaml', 'coinslot.config.ts'] as const;

/** Adds `--config` and `--json` to a command. */
export function withCommonOptions(command: Command): Command {
  return withJson(
    command.option('--config <file>', `config file; default: ${CONFIG_FILES.join(', else ')}`),
  );
}

/** Adds `--json` to a command. */
export function withJson(command: Command): Command {
  return command.option('--json', 'print the result as JSON on the last line');
}

/** The file that the options name, or the one that is there. */
export function configFileOf(options: CommonOptions): string {
  return options.config ?? CONFIG_FILES.find((name) => existsSync(name)) ?? CONFIG_FILES[0];
}

/** Loads the config that the options name. Variables of `.env` beside it count unless the environment has them. */
export async function loadConfigOf(options: CommonOptions): Promise<Config> {
  const file = configFileOf(options);
  return await loadConfig(file, { ...readEnvFile(dirname(resolve(file))), ...process.env });
}

function readEnvFile(folder: string): Env {
  const file = join(folder, '.env');
  if (!existsSync(file)) return {};
  try {
    return parseEnv(readFileSync(file, 'utf8'));
  } catch (error) {
    const message = `cannot be read: ${error instanceof Error ? error.message : String(error)}`;
    throw new ConfigError([{ path: '', message, hint: 'Check its permissions.' }], '.env');
  }
}

/** Reads an option such as `$5`; the dollar sign may be left out, because shells eat `$5`. */
export function usdOption(text: string): bigint {
  try {
    return parseUsd(text.startsWith('$') ? text : `$${text}`);
  } catch (error) {
    if (!(error instanceof MoneyFormatError)) throw error;
    throw new InvalidArgumentError("Write dollars with at most six decimals, such as '$5'.");
  }
}

/** Reads a positive amount such as `$5`. */
export function positiveUsdOption(text: string): bigint {
  const amount = usdOption(text);
  if (amount === 0n) throw new InvalidArgumentError('Write more than nothing.');
  return amount;
}

/** Reads a count from 1 to 10000. */
export function limitOption(text: string): number {
  const limit = Number(text);
  if (!/^\d{1,5}$/.test(text) || limit < 1 || limit > 10_000)
    throw new InvalidArgumentError('Write a number from 1 to 10000.');
  return limit;
}
