/**
 * Many providers behind one upstream: the model that a request names decides who is asked, and in which
 * order the others are when one is busy or broken. It stops at the first byte of a good answer, so that
 * one payment gets one answer; what failed before costs the payer nothing.
 */

import { type CoinslotError, Overloaded, UpstreamFailed, UpstreamTimeout } from '../core/errors.ts';
import { type Body, filterHeaders, findHeader, isStream } from '../core/exchange.ts';
import type { Log } from '../core/log.ts';
import type { Upstream, UpstreamAnswer, UpstreamRequest } from '../core/ports/upstream.ts';
import { ProviderState } from './provider-state.ts';

export interface ModelProvider {
  readonly name: string;
  readonly upstream: Upstream;
  /** Requests at the same time; a full provider gives way to the next candidate. */
  readonly concurrency: number;
}

/** One way to serve a request. */
export interface Candidate {
  /** Name of a provider. */
  readonly provider: string;
  /** The model as that provider calls it. */
  readonly model: string;
}

export interface ModelsOptions {
  readonly providers: readonly ModelProvider[];
  /** In the order in which they are tried; empty when nobody serves that model on that path. */
  readonly candidatesOf: (model: string, path: string) => readonly Candidate[];
  /** The same request body with another model in it, as it was read for that candidate. */
  readonly renameModel: (body: Uint8Array, model: string, candidate: Candidate) => Uint8Array;
  readonly nowMs: () => number;
  readonly log: Log;
}

/** Who pays is no business of a provider, neither is where from, and what a client shows is meant for the gateway. */
const NOT_FOR_PROVIDERS =
  /^(?:x-payment-|x-forwarded-|origin$|referer$|cookie$|authorization$|(?:x-)?api-key$|openai-(?:organization|project)$|idempotency-key$)/;
/** The operator's account and what is left of its limits. */
const NOT_FOR_CLIENTS =
  /^(?:set-cookie$|openai-(?:organization|project)$|anthropic-organization-id$|(?:x|anthropic)-ratelimit-|x-should-retry$)/;

export function modelUpstream(options: ModelsOptions): Upstream {
  const providers = new Map(
    options.providers.map((one) => [
      one.name,
      { ...one, state: new ProviderState(one.concurrency) },
    ]),
  );
  return {
    async send(request) {
      const deadlineMs = options.nowMs() + request.timeoutMs;
      let last: Failure | null = null;
      for (const { provider, model } of inOrder(options, providers, request)) {
        const result = await attempt(options, provider, model, request, deadlineMs);
        if (last?.answer) discard(last.answer);
        if ('status' in result) return result;
        options.log.warn(
          { provider: provider.name, model, error: result.error },
          'a provider gave way',
        );
        last = result;
        if (options.nowMs() >= deadlineMs) break;
      }
      if (last === null)
        throw new UpstreamFailed(`No provider serves the model "${request.model}".`);
      if (last.answer !== null) discard(last.answer);
      if (last.answer !== null && isPublic(last.answer.status)) return lastWord(last.answer);
      throw last.error;
    },
    async close() {
      for (const { upstream } of providers.values()) await upstream.close();
    },
  };
}

interface Provider extends ModelProvider {
  readonly state: ProviderState;
}

/** The healthy ones first, each group in its given order: one that just failed is a last resort. */
function inOrder(
  { candidatesOf, nowMs }: ModelsOptions,
  providers: ReadonlyMap<string, Provider>,
  { model, path }: UpstreamRequest,
): { readonly provider: Provider; readonly model: string }[] {
  const known = candidatesOf(model ?? '', path.split('?')[0] ?? '').flatMap((candidate) => {
    const provider = providers.get(candidate.provider);
    return provider === undefined ? [] : [{ provider, model: candidate.model }];
  });
  const now = nowMs();
  const isWell = (one: (typeof known)[number]): boolean => one.provider.state.isWell(now);
  return [...known.filter(isWell), ...known.filter((one) => !isWell(one))];
}

async function attempt(
  options: ModelsOptions,
  { name, upstream, state }: Provider,
  model: string,
  request: UpstreamRequest,
  deadlineMs: number,
): Promise<UpstreamAnswer | Failure> {
  if (!state.enter()) return BUSY;
  let answer: UpstreamAnswer;
  try {
    answer = await upstream.send({
      ...request,
      headers: filterHeaders(request.headers, (header) => !NOT_FOR_PROVIDERS.test(header)),
      body: renamed(options, request, { provider: name, model }),
      timeoutMs: Math.max(1, deadlineMs - options.nowMs()),
    });
  } catch (error) {
    state.leave();
    if (!isFailure(error)) throw error;
    state.failed(options.nowMs());
    return { error, answer: null };
  }
  if (givesWay(answer.status)) {
    state.leave();
    state.failed(options.nowMs());
    return { error: new UpstreamFailed(`The provider answered ${answer.status}.`), answer };
  }
  state.succeeded();
  const headers = filterHeaders(answer.headers, (header) => !NOT_FOR_CLIENTS.test(header));
  const ran = { provider: name, model };
  return { ...answer, headers, body: leaving(answer.body, state), ran };
}

interface Failure {
  readonly error: CoinslotError;
  /** What the provider said, unless it said nothing. */
  readonly answer: UpstreamAnswer | null;
}

const BUSY: Failure = {
  error: new Overloaded('Every provider of this model is busy.', 1),
  answer: null,
};

function isFailure(error: unknown): error is CoinslotError {
  return error instanceof UpstreamFailed || error instanceof UpstreamTimeout;
}

/** Busy, broken, gone elsewhere, or refusing the operator's own credentials: another provider may do better. */
function givesWay(status: number): boolean {
  return status >= 500 || status < 200 || isRedirect(status) || OPERATORS.includes(status);
}

const OPERATORS: readonly number[] = [401, 402, 403, 408, 429];

function isRedirect(status: number): boolean {
  return status >= 300 && status < 400;
}

/** A refused credential of the operator would read as the payer's own. */
function isPublic(status: number): boolean {
  return status >= 500 || status === 408 || status === 429;
}

/** Its status, and when to come back; what a provider says to the operator is not for the client. */
function lastWord({ status, headers }: UpstreamAnswer): UpstreamAnswer {
  const retryAfter = findHeader(headers, 'retry-after');
  const type = status === 429 ? 'rate_limit_error' : 'api_error';
  const message = `The model's provider answered ${status}. Nothing was charged.`;
  const error = { message, type, param: null, code: 'provider_failed' };
  return {
    status,
    headers: [
      ...['content-type', 'application/json'],
      ...(retryAfter === undefined ? [] : ['retry-after', retryAfter]),
    ],
    body: Buffer.from(JSON.stringify({ type: 'error', error })),
  };
}

function renamed(
  { renameModel }: ModelsOptions,
  { body, model }: UpstreamRequest,
  candidate: Candidate,
): UpstreamRequest['body'] {
  return body instanceof Uint8Array && model !== candidate.model
    ? renameModel(body, candidate.model, candidate)
    : body;
}

function leaving(body: UpstreamAnswer['body'], state: ProviderState): UpstreamAnswer['body'] {
  if (isStream(body)) return passThen(body, () => state.leave());
  state.leave();
  return body;
}

/** The same stream; `done` runs once, when it ends, breaks or is given up, also before its first chunk. */
function passThen(body: Body, done: () => void): Body {
  const chunks = body[Symbol.asyncIterator]();
  let isDone = false;
  const finish = (): void => {
    if (isDone) return;
    isDone = true;
    done();
  };
  const reader: AsyncIterator<Uint8Array> = {
    async next() {
      try {
        const next = await chunks.next();
        if (next.done === true) finish();
        return next;
      } catch (error) {
        finish();
        throw error;
      }
    },
    async return() {
      finish();
      await chunks.return?.();
      return { done: true, value: undefined };
    },
  };
  return { [Symbol.asyncIterator]: () => reader };
}

function discard({ body }: UpstreamAnswer): void {
  if (isStream(body)) void body[Symbol.asyncIterator]().return?.();
}
