/** Checks that need more than one value. They read the input itself, so that they speak beside the other problems. */

import type { Mode } from '../core/ports/ledger.ts';
import { isTestnet } from '../rails/x402/config.ts';
import { checkPrices } from './check-prices.ts';
import type { ProblemList } from './problems.ts';
import { checkRouteKeys } from './routes.ts';
import { isSection, type Section, section } from './section.ts';

const RAILS = ['prepaid', 'x402', 'free'] as const;

/** Adds the problems between values of a substituted, otherwise unchecked config. */
export function checkAcross(input: unknown, problems: ProblemList): void {
  checkAddresses(section(input), problems);
  checkRoutes(input, problems);
  checkPrices(input, problems);
  checkRails(input, problems);
  checkNetworks(input, problems);
}

function checkAddresses({ listen, operator }: Section, problems: ProblemList): void {
  if (typeof operator === 'string' && operator === listen && !operator.endsWith(':0'))
    problems.add(['operator'], 'is the public address', 'Give the operator a port of its own.');
}

function checkRoutes(input: unknown, problems: ProblemList): void {
  const routes = section(input, 'routes');
  const upstreams = Object.keys(section(input, 'upstreams'));
  const keys = Object.keys(routes);
  if (keys.length === 0 && !isSection(section(input).models))
    problems.add(
      ['routes'],
      'has no route, so every request would be 404',
      'Write a price list, such as POST /summarize: { upstream: models, price: $0.006 }.',
    );
  checkRouteKeys(keys, problems);
  for (const key of keys) {
    const { upstream } = section(routes, key);
    if (typeof upstream === 'string' && !upstreams.includes(upstream))
      problems.add(
        ['routes', key, 'upstream'],
        `"${upstream}" is not an upstream`,
        upstreams.length === 0 ? 'Name it under upstreams.' : `Known: ${upstreams.join(', ')}.`,
      );
  }
}

function checkRails(input: unknown, problems: ProblemList): void {
  const payments = section(input, 'payments');
  const configured = RAILS.filter((rail) => isSection(payments[rail]));
  for (const rail of ['l402', 'mpp', 'transfer'])
    if (Object.hasOwn(payments, rail))
      problems.add(['payments', rail], 'is a rail that is not available yet', 'Remove it.');
  const paid =
    isSection(section(input).models) ||
    Object.values(section(input, 'routes')).some(
      (route) => isSection(route) && route.price !== undefined && route.price !== 'free',
    );
  if (paid && configured.length === 0)
    problems.add(
      ['payments'],
      'has no rail, so nobody could pay',
      'Add free: { callsPerDay: 10 }, prepaid: {} or x402 under payments.',
    );
  if (Array.isArray(payments.order)) checkOrder(payments.order, configured, problems);
}

function checkOrder(
  order: readonly unknown[],
  configured: readonly string[],
  problems: ProblemList,
): void {
  order.forEach((rail, index) => {
    if (!RAILS.some((known) => known === rail)) return;
    if (order.indexOf(rail) < index)
      problems.add(['payments', 'order', index], `${rail} is listed twice`, 'Remove one of them.');
    else if (!configured.includes(String(rail)))
      problems.add(
        ['payments', 'order', index],
        `${rail} is not configured`,
        `Remove it here, or add ${rail} under payments.`,
      );
  });
  const left = configured.filter((rail) => !order.includes(rail));
  if (left.length > 0)
    problems.add(
      ['payments', 'order'],
      `leaves out ${left.join(' and ')}, which ${left.length === 1 ? 'is' : 'are'} configured`,
      'Add it to the order, or remove it from payments.',
    );
}

function checkNetworks(input: unknown, problems: ProblemList): void {
  // A name that is no CAIP-2 id has a problem of its own; whose money it is cannot be told.
  const networks = Object.keys(section(input, 'payments', 'x402', 'networks')).filter((name) =>
    name.includes(':'),
  );
  const { mode, confirmations } = section(input);
  const modes = new Set(networks.map(modeOf));
  if (modes.size > 1)
    problems.add(
      ['payments', 'x402', 'networks'],
      `mixes test networks (${networks.filter(isTestnet).join(', ')}) with networks of real money`,
      'Test money and live money never share a ledger: use two configs with two databases.',
    );
  else if (modes.size === 1 && (mode === 'test' || mode === 'live') && !modes.has(mode))
    problems.add(
      ['mode'],
      `is ${mode}, and ${networks.join(', ')} is ${mode === 'live' ? 'a test network' : 'real money'}`,
      'Remove mode, or choose other networks.',
    );
  for (const network of Object.keys(isSection(confirmations) ? confirmations : {}))
    if (!networks.includes(network))
      problems.add(
        ['confirmations', network],
        'is not a network of payments.x402.networks',
        networks.length === 0 ? 'Remove it.' : `Known: ${networks.join(', ')}.`,
      );
}

/** Which money a network moves. */
export function modeOf(network: string): Mode {
  return isTestnet(network) ? 'test' : 'live';
}
