/** `/_pay`: what a payer can ask the gateway itself. The path is reserved; no configured route can take it. */

import { createHash, timingSafeEqual } from 'node:crypto';
import {
  AnswerGone,
  KeyUnknown,
  MethodNotAllowed,
  RouteNotFound,
  SettlementPending,
} from '../core/errors.ts';
import type { Answer, Exchange } from '../core/exchange.ts';
import { formatDecimal, USD } from '../core/money.ts';
import { parseTarget } from '../core/path.ts';
import type { Payment } from '../core/payment.ts';
import type { Rail } from '../core/ports/rail.ts';
import { receiptOf } from '../core/receipt.ts';
import { answerQuote } from './answer-quote.ts';
import { jsonAnswer, withGatewayHeaders } from './answers.ts';
import type { RequestParts } from './parts.ts';
import { answerUsage } from './usage-page.ts';
import { receiptHeaders } from './write-receipt.ts';

/** Loose on purpose: whatever could normalise into `/_pay` is handled, and refused, here. */
export function isOwnRoute(target: string): boolean {
  return (
    (target.includes('_pay') || target.includes('%')) &&
    parseTarget(target).path.split('/')[1] === '_pay'
  );
}

/** Throws RouteNotFound, MethodNotAllowed, KeyUnknown, AnswerGone, and what a quote may fail with. */
export async function answerOwnRoute(parts: RequestParts, exchange: Exchange): Promise<Answer> {
  const [, , kind, id, what, ...rest] = parseTarget(exchange.target).path.split('/');
  const unknown = new RouteNotFound('No such page under /_pay.');
  if (rest.length > 0) throw unknown;
  if (kind === 'quote' && id === undefined) {
    if (exchange.method === 'POST') return await answerQuote(parts, exchange);
    throw new MethodNotAllowed('A quote is asked for with POST.', ['POST']);
  }
  if (exchange.method !== 'GET' && exchange.method !== 'HEAD')
    throw new MethodNotAllowed('Pages under /_pay are read with GET.', ['GET', 'HEAD']);
  if (kind === 'balance' && id === undefined) return await balance(parts, exchange);
  if (kind === 'usage' && id === undefined) return await answerUsage(parts, exchange);
  if (kind !== 'payments' || id === undefined) throw unknown;
  const payment = await parts.ledger.findPayment(id);
  if (!payment) throw new RouteNotFound('No payment has this id.');
  if (what === undefined) return jsonAnswer(200, receiptOf(payment));
  if (what === 'answer') return await storedAnswer(parts, payment, exchange);
  throw unknown;
}

/** The stored answer, for whoever holds the credential that paid for it. */
async function storedAnswer(
  parts: RequestParts,
  payment: Payment,
  exchange: Exchange,
): Promise<Answer> {
  const rail = parts.rails.find((one) => one.name === payment.rail);
  if (!rail || !(await isPayer(parts, rail, payment, exchange)))
    throw new KeyUnknown('This answer belongs to the credential that paid for it; send that one.');
  if (payment.state === 'captured' || payment.state === 'settlement_unknown')
    await rail.resolve(payment);
  const now = (await parts.ledger.findPayment(payment.id)) ?? payment;
  if (now.state === 'captured' || now.state === 'settlement_unknown')
    throw new SettlementPending('The payment is not confirmed yet; the answer is kept.', now.id);
  const stored = now.state === 'settled' ? await parts.ledger.findAnswer(payment.id) : null;
  if (!stored) throw new AnswerGone(`The payment is ${now.state}; there is no answer to fetch.`);
  const headers = withGatewayHeaders(stored.headers, receiptHeaders(rail, now));
  return { status: stored.status, headers, body: stored.body };
}

/** A key pays many requests, so the key itself is the proof; a one-time credential must be the very same. */
async function isPayer(
  parts: RequestParts,
  rail: Rail,
  payment: Payment,
  exchange: Exchange,
): Promise<boolean> {
  if (payment.payer.startsWith('key:'))
    return payment.payer === `key:${(await parts.keyOf(exchange))?.id}`;
  const presented = rail.recognise(exchange);
  return presented?.oneTime === true && sameHash(presented.credentialHash, payment.credentialHash);
}

async function balance(parts: RequestParts, exchange: Exchange): Promise<Answer> {
  const key = await parts.keyOf(exchange);
  if (!key) throw new KeyUnknown('Send the API key whose balance you ask for.');
  return jsonAnswer(200, {
    key: key.prefix,
    balance: formatDecimal(key.balance, USD.decimals),
    currency: USD.symbol,
    perDay: key.perDay === null ? null : formatDecimal(key.perDay, USD.decimals),
    routes: key.routes,
  });
}

function sameHash(a: string, b: string): boolean {
  const [left, right] = [a, b].map((text) => createHash('sha256').update(text).digest());
  return timingSafeEqual(left as Buffer, right as Buffer);
}
