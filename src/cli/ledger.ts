import type { Command } from 'commander';
import type { Entry } from '../core/ports/ledger.ts';
import { type Amounts, amountsOf } from './amounts.ts';
import { EXIT } from './exit-codes.ts';
import { type CommonOptions, limitOption, loadConfigOf, withCommonOptions } from './options.ts';
import { report, table } from './report.ts';
import { withLedger } from './with-ledger.ts';

interface EntriesOptions extends CommonOptions {
  readonly payment?: string;
  readonly account?: string;
  readonly limit: number;
}

/** Adds `coinslot ledger`: accounts, entries, and the audit that recomputes every balance. */
export function registerLedger(program: Command): void {
  const ledger = program.command('ledger').description('accounts and entries, and their audit');
  withCommonOptions(ledger.command('balances'))
    .description('the balance of every account')
    .action(listBalances);
  withCommonOptions(ledger.command('entries'))
    .description('the latest entries')
    .option('--payment <id>', 'only of this payment')
    .option('--account <name>', 'only of this account')
    .option('--limit <count>', 'at most so many', limitOption, 100)
    .action(listEntries);
  withCommonOptions(ledger.command('audit'))
    .description(
      'recompute every balance from the entries and name each difference; exits 1 if any',
    )
    .action(auditLedger);
}

async function listBalances(options: CommonOptions): Promise<void> {
  const config = await loadConfigOf(options);
  const balances = await withLedger(config, 'existing', (ledger) => ledger.balances());
  const amounts = amountsOf(config);
  const view = balances.map(({ account, asset, balance }) => ({
    account,
    asset,
    ...amounts.view(asset, balance),
  }));
  report(options.json === true, { balances: view }, () =>
    table(
      ['ACCOUNT', 'BALANCE'],
      balances.map(({ account, asset, balance }) => [account, amounts.text(asset, balance)]),
    ),
  );
}

async function listEntries({ payment, account, limit, ...options }: EntriesOptions): Promise<void> {
  const config = await loadConfigOf(options);
  const entries = await withLedger(config, 'existing', (ledger) =>
    ledger.entries({
      limit,
      ...(payment === undefined ? {} : { paymentId: payment }),
      ...(account === undefined ? {} : { account }),
    }),
  );
  const amounts = amountsOf(config);
  const views = entries.map((entry) => entryView(entry, amounts));
  report(options.json === true, { entries: views }, () => entryTable(entries, amounts));
}

async function auditLedger(options: CommonOptions): Promise<void> {
  const config = await loadConfigOf(options);
  const differences = await withLedger(config, 'existing', (ledger) => ledger.audit());
  const ok = differences.length === 0;
  report(options.json === true, { ok, differences }, () =>
    ok
      ? 'The ledger is right: every balance follows from its entries.'
      : table(
          ['DIFFERENCE', 'OF', 'EXPECTED', 'FOUND'],
          differences.map(({ kind, subject, expected, found }) => [kind, subject, expected, found]),
        ),
  );
  process.exitCode = ok ? EXIT.ok : EXIT.failed;
}

/** An entry as JSON: integers as text, because they may be larger than a JSON number holds. */
export function entryView(entry: Entry, amounts: Amounts): object {
  return {
    id: entry.id,
    transactionId: entry.transactionId,
    kind: entry.kind,
    paymentId: entry.paymentId,
    account: entry.account,
    asset: entry.asset,
    ...amounts.view(entry.asset, entry.amount),
    createdAt: new Date(entry.createdAtMs).toISOString(),
  };
}

/** Entries as a table for people. */
export function entryTable(entries: readonly Entry[], amounts: Amounts): string {
  return table(
    ['ENTRY', 'TRANSACTION', 'KIND', 'ACCOUNT', 'AMOUNT', 'PAYMENT', 'CREATED'],
    entries.map((entry) => [
      String(entry.id),
      String(entry.transactionId),
      entry.kind,
      entry.account,
      amounts.text(entry.asset, entry.amount),
      entry.paymentId ?? '-',
      new Date(entry.createdAtMs).toISOString(),
    ]),
  );
}
