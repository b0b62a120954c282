import type { Command } from 'commander';
import { utcDay } from '../core/clock.ts';
import { formatDecimal, formatUsd, USD } from '../core/money.ts';
import type { ShadowDay } from '../core/ports/usage-days.ts';
import { type CommonOptions, limitOption, loadConfigOf, withCommonOptions } from './options.ts';
import { report, table } from './report.ts';
import { withLedger } from './with-ledger.ts';

const DAY_MS = 86_400_000;

interface ShadowOptions extends CommonOptions {
  readonly days: number;
}

/** Adds `coinslot shadow`: what the calls of shadow routes would have come to. */
export function registerShadow(program: Command): void {
  withCommonOptions(program.command('shadow'))
    .description('what the calls of shadow routes would have earned, and cost at list prices')
    .option('--days <n>', 'days (UTC) up to today', limitOption, 30)
    .action(show);
}

async function show(options: ShadowOptions): Promise<void> {
  const config = await loadConfigOf(options);
  const from = utcDay(Date.now() - (options.days - 1) * DAY_MS);
  const days = await withLedger(config, 'existing', (ledger) => ledger.shadowDays(from));
  const routes = [...Map.groupBy(days, ({ route }) => route)].map(([, all]) => sumOf(all));
  report(
    options.json === true,
    {
      from,
      currency: USD.symbol,
      routes: routes.map((one) => ({ ...shown(one), isUnderpriced: isUnderpriced(one) })),
      days: days.map((one) => ({ day: one.day, ...shown(one) })),
    },
    () => text(routes, from),
  );
}

function sumOf(days: readonly ShadowDay[]): ShadowDay {
  return days.reduce((a, b) => {
    const units: Record<string, number> = { ...a.units };
    for (const [unit, count] of Object.entries(b.units)) units[unit] = (units[unit] ?? 0) + count;
    return {
      ...{ day: a.day, route: a.route, units },
      calls: a.calls + b.calls,
      unpriced: a.unpriced + b.unpriced,
      cost: a.cost + b.cost,
      listed: {
        calls: a.listed.calls + b.listed.calls,
        earned: a.listed.earned + b.listed.earned,
        cost: a.listed.cost + b.listed.cost,
      },
    };
  });
}

/** Of the calls whose list price is known: they would have earned less than they cost. */
function isUnderpriced({ listed }: ShadowDay): boolean {
  return listed.earned < listed.cost;
}

function shown({ route, calls, unpriced, cost, listed, units }: ShadowDay): object {
  const usd = (atoms: bigint): string => formatDecimal(atoms, USD.decimals);
  const known = { calls: listed.calls, wouldEarn: usd(listed.earned), cost: usd(listed.cost) };
  return {
    ...{ route, calls, unpriced, wouldEarn: usd(cost), units },
    atListPrices: listed.calls === 0 ? null : known,
  };
}

function text(routes: readonly ShadowDay[], from: string): string {
  if (routes.length === 0)
    return `No calls of shadow routes since ${from}. Set shadow: true on a route to count them.`;
  const rows = routes.map((one) => [
    one.route,
    String(one.calls),
    String(one.unpriced),
    formatUsd(one.cost),
    one.listed.calls === 0 ? 'unknown' : formatUsd(one.listed.cost),
    isUnderpriced(one) ? 'underpriced' : '',
  ]);
  return [
    `Since ${from} (UTC); nothing of it was charged.`,
    '',
    table(['ROUTE', 'CALLS', 'WITHOUT PRICE', 'WOULD EARN', 'LIST COST', ''], rows),
  ].join('\n');
}
