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
import { proxyUpstream } from './proxy-upstream.ts';
import { readRequest } from './read-request.ts';
import { readWork, refuseProbe } from './read-work.ts';
import { replayAnswer } from './replay-answer.ts';
import { requirePayment } from './require-payment.ts';

/** Throws CoinslotErrors; `answerExchange` turns them into answers. */
export async function handleRequest(parts: RequestParts, exchange: Exchange): Promise<Answer> {
  const match = parts.matchRoute(exchange.method, exchange.target);
  const { route } = match;
  if (route.price.kind === 'free') return await passFree(parts, match, exchange);

  const chosen = choosePayment(parts.rails, route, exchange);
  const { body, digest, credential } = await readRequest(parts, exchange, match, chosen);
  const reading = readWork(parts, match, exchange, body);
  // The time counts from here: a slowly sent body must not make a payment look valid for longer than it is.
  const nowMs = parts.clock.now();
  const quote = parts.quotes.quoteFor(
    route,
    reading.work,
    chosen.map((one) => one.presented),
    nowMs,
  );
  const demand = { route, quote, digest, exchange, owner: parts.owner, nowMs };

  return await parts.inFlight.runOrJoin(credential, digest, async () => {
    const authorized = refuseProbe(reading, chosen) ?? (await authorize(parts, chosen, demand));
    if (authorized.outcome === 'unpaid') return await requirePayment(parts, demand, authorized);
    if (authorized.outcome === 'exists') return await replayAnswer(parts, demand, authorized);

    const paid = { ...authorized, parts, match, demand, credential, reading };
    const outcome = await proxyUpstream(parts, match, paid.payment, exchange, reading);
    return await captureOrRelease(paid, outcome);
  });
}
