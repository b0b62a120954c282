/**
 * One paid request, from top to bottom. Each step is a file of this folder; a step that cannot go on
 * throws a CoinslotError, which becomes the answer.
 */

import { PaymentRefused } from '../core/errors.ts';
import type { Answer, Exchange } from '../core/exchange.ts';
import type { Quote } from '../core/quote.ts';
import { authorize } from './authorize.ts';
import { captureOrRelease } from './capture-or-release.ts';
import { type Chosen, choosePayment, hasCredential } from './choose-payment.ts';
import type { Match } from './match-route.ts';
import type { RequestParts } from './parts.ts';
import { passFree } from './pass-free.ts';
import { proxyUpstream } from './proxy-upstream.ts';
import { boundBody, digestOf, readBody } from './read-request.ts';
import { replayAnswer } from './replay-answer.ts';
import { requirePayment } from './require-payment.ts';

/** Answers one exchange. Throws CoinslotErrors; `answerExchange` turns them into answers. */
export async function handleRequest(parts: RequestParts, exchange: Exchange): Promise<Answer> {
  const match = parts.matchRoute(exchange.method, exchange.target);
  if (match.route.price.kind === 'free') return await passFree(parts, match, exchange);

  const quote = parts.quotes.issue(match.route, parts.clock.now());
  const chosen = choosePayment(parts.rails, match.route, exchange);
  const bytesMax = parts.limits.bodyBytes;
  if (!hasCredential(chosen)) return await pay(parts, match, quote, chosen, exchange, '', null);

  const body = await readBody(exchange, bytesMax);
  const digest = digestOf(exchange, match, body);
  const credential = oneTimeCredential(chosen);
  const work = () => pay(parts, match, quote, chosen, exchange, digest, body);
  return credential === ''
    ? await work()
    : await parts.inFlight.runOrJoin(credential, digest, work);
}

/** The straight line itself: authorize → proxy → meter → capture or release, with the receipt. */
async function pay(
  parts: RequestParts,
  match: Match,
  quote: Quote,
  chosen: readonly Chosen[],
  exchange: Exchange,
  digest: string,
  body: Uint8Array | null,
): Promise<Answer> {
  const { owner } = parts;
  const demand = { route: match.route, quote, digest, exchange, owner, nowMs: quote.issuedAtMs };
  try {
    const authorized = await authorize(parts, chosen, demand);
    if (authorized.outcome === 'unpaid')
      return await requirePayment(parts, match.route, quote, exchange, authorized);
    if (authorized.outcome === 'exists') {
      const { rail, payment, presented } = authorized;
      return await replayAnswer(parts, rail, payment, presented, demand);
    }
    const credential = oneTimeCredential(chosen);
    const paid = { ...authorized, parts, match, quote, exchange, credential };
    const sent = body ?? boundBody(exchange, parts.limits.bodyBytes);
    return await captureOrRelease(
      paid,
      await proxyUpstream(parts, match, paid.payment, exchange, sent),
    );
  } catch (error) {
    if (!(error instanceof PaymentRefused)) throw error;
    return await requirePayment(parts, match.route, quote, exchange, error);
  }
}

function oneTimeCredential(chosen: readonly Chosen[]): string {
  return chosen
    .filter(({ presented }) => presented.oneTime)
    .map(({ presented }) => `${presented.rail}:${presented.credentialHash}`)
    .join(' ');
}
