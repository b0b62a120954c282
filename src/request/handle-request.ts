/**
 * One paid request, from top to bottom. Each step is a file of this folder; a step that cannot go on
 * throws a CoinslotError, which becomes the answer.
 */

import type { Answer, Exchange } from '../core/exchange.ts';
import { authorize } from './authorize.ts';
import { captureOrRelease } from './capture-or-release.ts';
import { choosePayment } from './choose-payment.ts';
import type { RequestParts } from './parts.ts';
import { passFree } from './pass-free.ts';
import { passShadow } from './pass-shadow.ts';
import { passUpgrade, readUpgrade } from './pass-upgrade.ts';
import { proxyUpstream } from './proxy-upstream.ts';
import { readPayerFacts } from './read-payer-facts.ts';
import { readRequest } from './read-request.ts';
import { readWork, refuseProbe } from './read-work.ts';
import { replayAnswer } from './replay-answer.ts';
import { requirePayment } from './require-payment.ts';
import { sellRoute } from './sell-route.ts';

/** Throws CoinslotErrors; `answerExchange` turns them into answers. */
export async function handleRequest(parts: RequestParts, exchange: Exchange): Promise<Answer> {
  const matched = parts.matchRoute(exchange.method, exchange.target);
  const upgrade = readUpgrade(parts, matched, exchange);
  if (matched.route.price.kind === 'free' || (matched.route.shadow && upgrade !== null))
    return await passFree(parts, matched, exchange, upgrade);
  if (matched.route.shadow) return await passShadow(parts, matched, exchange);

  const chosen = choosePayment(parts.rails, matched.route, exchange);
  const shown = chosen.map(({ presented }) => presented);
  const { body, digest, credential } = await readRequest(parts, exchange, matched, chosen);
  const reading = readWork(parts, matched, exchange, body);
  const match = await sellRoute(parts, matched, exchange, reading, body, shown);
  const { route } = match;
  // The time counts from here: a slowly sent body must not make a payment look valid for longer than it is.
  const nowMs = parts.clock.now();
  const quote = parts.quotes.quoteFor(route, reading.work, shown, nowMs);
  const demand = { route, quote, digest, exchange, owner: parts.owner, nowMs };

  return await parts.inFlight.runOrJoin(credential, digest, async () => {
    const authorized = refuseProbe(reading, chosen) ?? (await authorize(parts, chosen, demand));
    if (authorized.outcome === 'unpaid') return await requirePayment(parts, demand, authorized);
    if (authorized.outcome === 'exists') return await replayAnswer(parts, demand, authorized);

    const payerFacts = await readPayerFacts(parts, quote.price, authorized.payment);
    const paid = { ...authorized, parts, match, demand, credential, reading, payerFacts };
    if (upgrade !== null) return await passUpgrade(paid, upgrade);
    const outcome = await proxyUpstream(parts, match, paid.payment, exchange, reading);
    return await captureOrRelease(paid, outcome);
  });
}
