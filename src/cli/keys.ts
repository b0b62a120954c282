import { randomBytes } from 'node:crypto';
import type { Command } from 'commander';
import type { Config } from '../config.ts';
import { systemClock } from '../core/clock.ts';
import { formatDecimal, formatUsd, USD } from '../core/money.ts';
import type { ApiKey, Ledger } from '../core/ports/ledger.ts';
import { newApiKey } from '../rails/prepaid/protocol.ts';
import { CommandFailed } from './command-failed.ts';
import { EXIT } from './exit-codes.ts';
import {
  type CommonOptions,
  loadConfigOf,
  positiveUsdOption,
  usdOption,
  withCommonOptions,
} from './options.ts';
import { report, table } from './report.ts';
import { withLedger } from './with-ledger.ts';

interface CreateOptions extends CommonOptions {
  readonly topup: bigint;
  readonly perDay?: bigint;
  readonly routes?: string;
  readonly name?: string;
}

/** Adds `coinslot keys`: API keys with a prepaid balance. All work beside a running gateway. */
export function registerKeys(program: Command): void {
  const keys = program.command('keys').description('API keys with a prepaid balance');
  withCommonOptions(keys.command('create'))
    .description('make a key; it is shown this once only')
    .option('--topup <usd>', "balance to start with, such as '$5'", usdOption, 0n)
    .option('--per-day <usd>', 'spend at most this per UTC day', usdOption)
    .option('--routes <list>', "only these routes, such as 'POST /a,GET /b'")
    .option('--name <text>', 'a name for your own lists')
    .action(createKey);
  withCommonOptions(keys.command('list')).description('all keys and balances').action(listKeys);
  withCommonOptions(keys.command('rotate'))
    .description('give a key a new secret; the old one stops working at once')
    .argument('<id>', 'such as key_7Yk…')
    .action(rotateKey);
  withCommonOptions(keys.command('revoke'))
    .description('stop a key for ever')
    .argument('<id>')
    .action(revokeKey);
  withCommonOptions(keys.command('topup'))
    .description('add to the balance of a key')
    .argument('<id>')
    .argument('<usd>', "such as '$5'", positiveUsdOption)
    .action(topUpKey);
}

async function createKey(options: CreateOptions): Promise<void> {
  const config = await loadConfigOf(options);
  requireKeys(config);
  const routes = options.routes === undefined ? null : knownRoutes(options.routes, config);
  const made = newApiKey(config.mode, randomBytes);
  const stored = await withLedger(config, 'may-be-new', (ledger) =>
    ledger.createKey({
      id: made.id,
      prefix: made.prefix,
      secretHash: made.secretHash,
      mode: config.mode,
      perDay: options.perDay ?? null,
      routes,
      name: options.name ?? null,
      topUp: options.topup,
      nowMs: systemClock.now(),
    }),
  );
  const result = { ...keyView(stored), key: made.key };
  report(options.json === true, result, () =>
    [
      `${made.key}`,
      '',
      `id       ${stored.id}`,
      `balance  ${formatUsd(stored.balance)}${stored.perDay === null ? '' : `, at most ${formatUsd(stored.perDay)} per day`}`,
      `mode     ${stored.mode}`,
      '',
      'Copy the key now: only its hash is kept. Callers send it as x-api-key or Authorization: Bearer.',
    ].join('\n'),
  );
}

async function listKeys(options: CommonOptions): Promise<void> {
  const config = await loadConfigOf(options);
  const keys = await withLedger(config, 'existing', (ledger) => ledger.listKeys());
  report(options.json === true, { keys: keys.map(keyView) }, () =>
    keys.length === 0
      ? 'No keys yet. Make one with: coinslot keys create'
      : table(
          ['ID', 'BALANCE', 'PER DAY', 'ROUTES', 'NAME', 'CREATED', 'STATE'],
          keys.map((key) => [
            key.id,
            formatUsd(key.balance),
            key.perDay === null ? '-' : formatUsd(key.perDay),
            key.routes === null ? 'all' : key.routes.join(', '),
            key.name ?? '',
            new Date(key.createdAtMs).toISOString().slice(0, 10),
            key.revokedAtMs === null ? 'active' : 'revoked',
          ]),
        ),
  );
}

async function rotateKey(id: string, options: CommonOptions): Promise<void> {
  const config = await loadConfigOf(options);
  const result = await withLedger(config, 'existing', async (ledger) => {
    await requireActive(ledger, id);
    const made = newApiKey(config.mode, randomBytes, id);
    const stored = known(await ledger.rotateKey(id, made.prefix, made.secretHash), id);
    return { ...keyView(stored), key: made.key };
  });
  report(
    options.json === true,
    result,
    () =>
      `${result.key}\n\nThe old key stopped working. Copy the new one now: only its hash is kept.`,
  );
}

async function revokeKey(id: string, options: CommonOptions): Promise<void> {
  const config = await loadConfigOf(options);
  const key = await withLedger(config, 'existing', async (ledger) =>
    known(await ledger.revokeKey(id, systemClock.now()), id),
  );
  report(
    options.json === true,
    keyView(key),
    () => `${key.id} is revoked; ${formatUsd(key.balance)} were left on it.`,
  );
}

async function topUpKey(id: string, amount: bigint, options: CommonOptions): Promise<void> {
  const config = await loadConfigOf(options);
  const key = await withLedger(config, 'existing', async (ledger) => {
    await requireActive(ledger, id);
    return known(await ledger.topUpKey(id, amount, 'operator', systemClock.now()), id);
  });
  report(
    options.json === true,
    keyView(key),
    () => `${key.id} has ${formatUsd(key.balance)} after a top up of ${formatUsd(amount)}.`,
  );
}

function known(key: ApiKey | null, id: string): ApiKey {
  if (key) return key;
  const hint = 'See the ids with: coinslot keys list';
  throw new CommandFailed('key_unknown', `there is no key ${id}`, hint);
}

/** Money or a new secret on a key that no longer works would be lost. */
async function requireActive(ledger: Ledger, id: string): Promise<void> {
  const key = known(await ledger.findKey(id), id);
  if (key.revokedAtMs === null) return;
  const hint = 'Make another with: coinslot keys create';
  throw new CommandFailed('key_revoked', `the key ${id} is revoked`, hint);
}

/** A key with nobody to accept it would be a promise that the gateway does not keep. */
function requireKeys({ payments }: Config): void {
  if (payments.prepaid !== null || payments.free?.per === 'key') return;
  throw new CommandFailed(
    'keys_off',
    'this config accepts no API keys',
    'Add prepaid: {} under payments.',
    EXIT.usage,
  );
}

function knownRoutes(list: string, config: Config): string[] {
  const ids = config.routes.map((route) => route.id);
  const wanted = list.split(',').map((part) => part.trim().replace(/\s+/, ' '));
  const unknown = wanted.filter((id) => !ids.includes(id));
  if (unknown.length === 0) return [...new Set(wanted)];
  throw new CommandFailed(
    'route_unknown',
    `no route is called ${unknown.map((id) => `"${id}"`).join(', ')}`,
    `Routes: ${ids.join(', ')}.`,
    EXIT.usage,
  );
}

function keyView(key: ApiKey): object {
  return {
    id: key.id,
    prefix: key.prefix,
    balance: formatDecimal(key.balance, USD.decimals),
    currency: 'USD',
    mode: key.mode,
    perDay: key.perDay === null ? null : formatDecimal(key.perDay, USD.decimals),
    routes: key.routes,
    name: key.name,
    createdAt: new Date(key.createdAtMs).toISOString(),
    revokedAt: key.revokedAtMs === null ? null : new Date(key.revokedAtMs).toISOString(),
  };
}
