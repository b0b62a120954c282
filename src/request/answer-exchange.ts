/** The door: limits first, then the gateway's own pages or the paid request; every error becomes an answer. */

import { CoinslotError } from '../core/errors.ts';
import { type Answer, type Body, type Exchange, isStream } from '../core/exchange.ts';
import { forOrigin, preflightAnswer, problemAnswer } from './answers.ts';
import { handleRequest } from './handle-request.ts';
import { answerOwnRoute, isOwnRoute } from './own-routes.ts';
import type { RequestParts } from './parts.ts';
import type { Running } from './running.ts';
import { watchBody } from './watch-body.ts';

export type AnswerExchange = (exchange: Exchange) => Promise<Answer>;

/** Counts what runs; `enter` throws Overloaded, and whatever entered leaves exactly once. */
export type Places = Pick<Running, 'enter' | 'leave'>;

/** Never throws. Counts what runs, until the last byte of a stream. */
export function createAnswerExchange(
  parts: RequestParts,
  running: Places = parts.running,
): AnswerExchange {
  return async (exchange) => {
    try {
      running.enter();
    } catch (error) {
      return problemAnswer(error);
    }
    let streams = false;
    try {
      const answer = forOrigin(await dispatch(parts, exchange), parts.corsOrigins, exchange);
      if (!isStream(answer.body)) return answer;
      streams = true;
      return { ...answer, body: untilRead(answer.body, running) };
    } catch (error) {
      if (!(error instanceof CoinslotError))
        parts.log.error(
          { error, method: exchange.method, target: exchange.target },
          'the gateway failed',
        );
      return forOrigin(problemAnswer(error), parts.corsOrigins, exchange);
    } finally {
      if (!streams) running.leave();
    }
  };
}

/** Throws at once, or rejects. */
function dispatch(parts: RequestParts, exchange: Exchange): Promise<Answer> | Answer {
  parts.rateLimits.request(exchange.remote.address);
  if (
    exchange.method === 'OPTIONS' &&
    exchange.header('access-control-request-method') !== undefined
  )
    return preflightAnswer(exchange.header('access-control-request-headers'));
  if (isOwnRoute(exchange.target)) return answerOwnRoute(parts, exchange);
  return handleRequest(parts, exchange);
}

function untilRead(body: Body, running: Places): Body {
  return watchBody(body, async (_how, rest) => {
    try {
      await rest.return?.();
    } finally {
      running.leave();
    }
  });
}
