import { type Command, Option } from 'commander';
import { formatUsd } from '../core/money.ts';
import type { Payment, PaymentState, RailName } from '../core/payment.ts';
import type { Entry } from '../core/ports/ledger.ts';
import type { StoredJob } from '../core/ports/settlement.ts';
import { receiptOf } from '../core/receipt.ts';
import { type Amounts, amountsOf } from './amounts.ts';
import { CommandFailed } from './command-failed.ts';
import { entryTable, entryView } from './ledger.ts';
import { type CommonOptions, limitOption, loadConfigOf, withCommonOptions } from './options.ts';
import { report, table } from './report.ts';
import { withLedger } from './with-ledger.ts';

const STATES: readonly PaymentState[] = [
  'claimed',
  'held',
  'running',
  'captured',
  'settled',
  'rejected',
  'released',
  'expired',
  'settlement_unknown',
  'settlement_failed',
  'refund_due',
  'refunded',
];
const RAILS: readonly RailName[] = ['free', 'prepaid', 'x402'];

interface ListOptions extends CommonOptions {
  readonly state?: PaymentState;
  readonly rail?: RailName;
  readonly payer?: string;
  readonly limit: number;
}

/** Adds `coinslot payments`: the durable record of every paid request. */
export function registerPayments(program: Command): void {
  const payments = program.command('payments').description('the record of every paid request');
  withCommonOptions(payments.command('list'))
    .description('the latest payments')
    .addOption(new Option('--state <state>', 'only in this state').choices(STATES))
    .addOption(new Option('--rail <rail>', 'only of this rail').choices(RAILS))
    .option('--payer <payer>', 'only of this payer, such as key:key_7Yk…')
    .option('--limit <count>', 'at most so many', limitOption, 50)
    .action(listPayments);
  withCommonOptions(payments.command('show'))
    .description('one payment with its settlement and its ledger entries')
    .argument('<id>', 'such as pay_7Yk…')
    .action(showPayment);
  withCommonOptions(payments.command('forgive'))
    .description('write off what a wallet was served and never paid, and admit it again')
    .argument('<id>', 'the payment that a refusal names')
    .action(forgivePayment);
}

async function listPayments({ state, rail, payer, limit, ...options }: ListOptions): Promise<void> {
  const config = await loadConfigOf(options);
  const payments = await withLedger(config, 'existing', (ledger) =>
    ledger.listPayments({
      limit,
      ...(state === undefined ? {} : { state }),
      ...(rail === undefined ? {} : { rail }),
      ...(payer === undefined ? {} : { payer }),
    }),
  );
  report(options.json === true, { payments: payments.map(receiptOf) }, () =>
    payments.length === 0
      ? 'No payments.'
      : table(
          ['ID', 'STATE', 'RAIL', 'ROUTE', 'PAYER', 'COST', 'CREATED'],
          payments.map((payment) => [
            payment.id,
            payment.state,
            payment.rail,
            payment.route,
            payment.payer,
            formatUsd(payment.cost),
            new Date(payment.createdAtMs).toISOString(),
          ]),
        ),
  );
}

async function showPayment(id: string, options: CommonOptions): Promise<void> {
  const config = await loadConfigOf(options);
  const found = await withLedger(config, 'existing', async (ledger) => {
    const payment = await ledger.findPayment(id);
    if (!payment) return null;
    const job = await ledger.findJob(id);
    return { payment, job, entries: await ledger.entries({ limit: 1000, paymentId: id }) };
  });
  if (!found)
    throw new CommandFailed(
      'payment_unknown',
      `there is no payment ${id}`,
      'See the ids with: coinslot payments list',
    );
  const { payment, job, entries } = found;
  const amounts = amountsOf(config);
  const view = paymentView(payment, job, entries, amounts);
  report(options.json === true, view, () =>
    [paymentText(payment, job), entryTable(entries, amounts)].join('\n\n'),
  );
}

async function forgivePayment(id: string, options: CommonOptions): Promise<void> {
  const config = await loadConfigOf(options);
  const forgiven = await withLedger(config, 'existing', (ledger) => ledger.forgive(id));
  const { payment } = forgiven;
  if (payment === null || forgiven.outcome === 'lost')
    throw new CommandFailed(
      payment === null ? 'payment_unknown' : 'payment_not_barred',
      payment === null ? `there is no payment ${id}` : `nobody is refused because of ${id}`,
      'See the ids with: coinslot payments list --state settlement_failed',
    );
  report(
    options.json === true,
    receiptOf(payment),
    () => `${payment.payer} is admitted again; ${formatUsd(payment.quoteMax)} are written off.`,
  );
}

/** The payload of the job is left out: it holds the payer's signature. */
function paymentView(
  payment: Payment,
  job: StoredJob | null,
  entries: readonly Entry[],
  amounts: Amounts,
): object {
  return {
    ...receiptOf(payment),
    asset: payment.asset,
    max: payment.max.toString(),
    amount: payment.amount.toString(),
    owner: payment.owner,
    expiresAt: new Date(payment.expiresAtMs).toISOString(),
    settlement: job && {
      network: job.network,
      scheme: job.scheme,
      via: job.via,
      transaction: job.transaction?.hash ?? payment.transaction,
      validBefore: new Date(job.validBeforeMs).toISOString(),
    },
    entries: entries.map((entry) => entryView(entry, amounts)),
  };
}

function paymentText(payment: Payment, job: StoredJob | null): string {
  const lines: [string, string | null][] = [
    ['id', payment.id],
    ['state', payment.state],
    ['reason', payment.reason],
    ['route', payment.route],
    ['rail', payment.network === null ? payment.rail : `${payment.rail} on ${payment.network}`],
    ['payer', payment.payer],
    ['cost', `${formatUsd(payment.cost)} of at most ${formatUsd(payment.quoteMax)}`],
    ['settles via', job?.via ?? null],
    ['transaction', payment.transaction ?? job?.transaction?.hash ?? null],
    ['created', new Date(payment.createdAtMs).toISOString()],
    ['updated', new Date(payment.updatedAtMs).toISOString()],
  ];
  return lines
    .filter(([, value]) => value !== null)
    .map(([name, value]) => `${name.padEnd(13)}${value}`)
    .join('\n');
}
