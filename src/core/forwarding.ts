/** Which headers may cross the gateway, in either direction. */

import { filterHeaders, type HeaderList } from './exchange.ts';

/** They describe one connection, not the message (RFC 9110 §7.6.1), so they never cross. */
const HOP_BY_HOP = [
  'connection',
  'keep-alive',
  'proxy-authenticate',
  'proxy-authorization',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
];

/** Money headers are ours alone: a client's never reach the upstream, an upstream's never reach the client. */
const PAYMENT = [
  'payment-required',
  'payment-signature',
  'payment-response',
  'payment-receipt',
  'payment-authorization',
  'extension-responses',
  'x-payment',
  'x-payment-response',
  'x-payment-id',
  'x-payment-cost',
  'x-payment-state',
  'x-payment-quote',
  'x-payment-payer',
  'x-free-calls-remaining',
  'x-free-calls-reset',
  'settlement-overrides',
  'x-settlement-overrides',
];

const STAYS: ReadonlySet<string> = new Set([...HOP_BY_HOP, ...PAYMENT]);

const NO_NAMES: ReadonlySet<string> = new Set();

/** Leaves out hop-by-hop headers, those that `Connection` names, payment headers, and `withheld` (lower case). */
export function forwardableHeaders(
  headers: HeaderList,
  withheld: ReadonlySet<string> = NO_NAMES,
): string[] {
  const kept: string[] = [];
  let listed: Set<string> | null = null;
  for (let i = 0; i + 1 < headers.length; i += 2) {
    const [name, value] = [headers[i] as string, headers[i + 1] as string];
    const lower = name.toLowerCase();
    if (lower === 'connection') listed = addListed(listed, value);
    if (!STAYS.has(lower) && !withheld.has(lower)) kept.push(name, value);
  }
  return listed === null ? kept : filterHeaders(kept, (name) => !listed.has(name));
}

/** `Connection: keep-alive` names nothing that would cross. */
function addListed(listed: Set<string> | null, value: string): Set<string> | null {
  const names = value.toLowerCase();
  if (names === 'keep-alive' || names === 'close') return listed;
  const all = listed ?? new Set();
  for (const name of names.split(',')) all.add(name.trim());
  return all;
}
