/** Which headers may cross the gateway, in either direction. */

import { filterHeaders, type HeaderList } from './exchange.ts';

/** They describe one connection, not the message (RFC 9110 §7.6.1), so they never cross. */
const HOP_BY_HOP: ReadonlySet<string> = new Set([
  'connection',
  'keep-alive',
  'proxy-authenticate',
  'proxy-authorization',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
]);

/** Money headers are ours alone: a client's never reach the upstream, an upstream's never reach the client. */
const PAYMENT: ReadonlySet<string> = new Set([
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
]);

/** Leaves out hop-by-hop headers, those that `Connection` names, and payment headers. */
export function forwardableHeaders(headers: HeaderList): string[] {
  const listed = new Set<string>();
  for (let i = 0; i + 1 < headers.length; i += 2)
    if (headers[i]?.toLowerCase() === 'connection')
      for (const name of headers[i + 1]?.toLowerCase().split(',') ?? []) listed.add(name.trim());
  return filterHeaders(
    headers,
    (name) => !HOP_BY_HOP.has(name) && !PAYMENT.has(name) && !listed.has(name),
  );
}
