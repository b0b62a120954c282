/** The door: limits first, then the gateway's own pages or the paid request; every error becomes an answer. */

import { CoinslotError, Overloaded } from '../core/errors.ts';
import { type Answer, type Body, type Exchange, isStream } from '../core/exchange.ts';
import { forOrigin, preflightAnswer, problemAnswer } from './answers.ts';
import { handleRequest } from './handle-request.ts';
import { answerOwnRoute, isOwnRoute } from './own-routes.ts';
import type { RequestParts } from './parts.ts';
import { watchBody } from './watch-body.ts';

export type AnswerExchange = (exchange: Exchange) => Promise<Answer>;

/** Never throws. Counts what runs, until the last byte of a stream. */
export function createAnswerExchange(parts: RequestParts): AnswerExchange {
  let running = 0;
  return async (exchange) => {
    if (running >= parts.limits.concurrency)
      return problemAnswer(new Overloaded('Too many requests are running.', 1));
    running += 1;
    let leave = (): void => {
      running -= 1;
      leave = () => {};
    };
    try {
      const answer = forOrigin(await dispatch(parts, exchange), parts.corsOrigins, exchange);
      if (!isStream(answer.body)) return answer;
      const body = untilRead(answer.body, leave);
      leave = () => {};
      return { ...answer, body };
    } catch (error) {
      if (!(error instanceof CoinslotError))
        parts.log.error(
          { error, method: exchange.method, target: exchange.target },
          'the gateway failed',
        );
      return forOrigin(problemAnswer(error), parts.corsOrigins, exchange);
    } finally {
      leave();
    }
  };
}

async function dispatch(parts: RequestParts, exchange: Exchange): Promise<Answer> {
  parts.rateLimits.request(exchange.remote.address);
  if (
    exchange.method === 'OPTIONS' &&
    exchange.header('access-control-request-method') !== undefined
  )
    return preflightAnswer(exchange.header('access-control-request-headers'));
  if (isOwnRoute(exchange.target)) return await answerOwnRoute(parts, exchange);
  return await handleRequest(parts, exchange);
}

function untilRead(body: Body, leave: () => void): Body {
  return watchBody(body, async (_how, rest) => {
    try {
      await rest.return?.();
    } finally {
      leave();
    }
  });
}
