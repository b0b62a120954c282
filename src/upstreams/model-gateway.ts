/** The model gateway's part behind the request line: who is asked, and how requests and answers are read. */

import type { Log } from '../core/log.ts';
import type { Dialect } from '../core/ports/dialect.ts';
import type { Upstream } from '../core/ports/upstream.ts';
import { CandidateBodies } from './candidate-bodies.ts';
import type { DialectOptions } from './dialect-options.ts';
import { type HttpUpstreamOptions, httpUpstream } from './http.ts';
import { type DialectKind, dialectKindOf } from './index.ts';
import { modelDialect, renameModel } from './model-dialect.ts';
import { modelListUpstream } from './model-list.ts';
import { type Candidate, modelUpstream } from './models.ts';

export interface ModelGatewayOptions {
  readonly providers: Readonly<Record<string, ModelPlace>>;
  readonly catalogue: Catalogue;
  /** Times of connections. */
  readonly timeouts: Pick<HttpUpstreamOptions, 'connectMs' | 'headMs' | 'idleMs'>;
  readonly dialect: Partial<DialectOptions>;
  /** What `GET /v1/models` lists. */
  readonly entries: Parameters<typeof modelListUpstream>[0];
  readonly upstreamNames: { readonly models: string; readonly list: string };
  readonly log: Log;
}

/** Who may run a model on a path; `resolve` throws what a client is told where nobody may. */
interface Catalogue {
  resolve(model: string, path: string): readonly Candidate[];
  candidatesOf(model: string, path: string): readonly Candidate[];
  contextTokensOf(candidate: Candidate): number | null;
}

interface ModelPlace {
  readonly kind: 'openai' | 'anthropic';
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly concurrency: number;
}

export interface ModelGateway {
  /** By the names that its routes have for them. */
  readonly upstreams: ReadonlyMap<string, Upstream>;
  readonly dialectOf: (path: string) => Dialect;
}

export function openModelGateway(options: ModelGatewayOptions): ModelGateway {
  const { providers, catalogue, timeouts, upstreamNames, log } = options;
  const bodies = new CandidateBodies();
  const models = modelUpstream({
    providers: Object.entries(providers).map(([name, place]) => ({
      ...{ name, concurrency: place.concurrency },
      upstream: upstreamOf(place, timeouts),
    })),
    candidatesOf: (model, path) => catalogue.candidatesOf(model, path),
    renameModel: (body, model, candidate) =>
      bodies.bodyFor(body, candidate) ?? renameModel(body, model),
    nowMs: () => performance.now(),
    log,
  });
  const dialects = new Map<DialectKind, Dialect>();
  return {
    upstreams: new Map([
      [upstreamNames.models, models],
      [upstreamNames.list, modelListUpstream(options.entries)],
    ]),
    dialectOf(path) {
      const kind = dialectKindOf(path);
      const dialect =
        dialects.get(kind) ??
        modelDialect(kind, {
          resolve: (model, on) => catalogue.resolve(model, on),
          contextTokensOf: (candidate) => catalogue.contextTokensOf(candidate),
          ...{ options: options.dialect, bodies },
        });
      dialects.set(kind, dialect);
      return dialect;
    },
  };
}

/** A version in the URL, as in the base URLs of official clients, stands for the one of the path. */
const VERSION = /\/v\d[a-z0-9]*(?:\/|$)/;

function upstreamOf(place: ModelPlace, timeouts: ModelGatewayOptions['timeouts']): Upstream {
  const hasVersion = VERSION.test(new URL(place.url).pathname);
  const open = (headers: ModelPlace['headers']): Upstream =>
    httpUpstream({ url: place.url, headers, connections: place.concurrency, ...timeouts });
  const usual = open(place.headers);
  const chat = place.kind === 'anthropic' ? open(bearerOf(place.headers)) : usual;
  return {
    send(request) {
      const path = hasVersion ? request.path.replace(/^\/v1(?=\/)/, '') : request.path;
      const isChat = dialectKindOf(request.path.split('?')[0] ?? '') === 'openai-chat';
      return (isChat ? chat : usual).send({ ...request, path });
    },
    async close() {
      await usual.close();
      if (chat !== usual) await chat.close();
    },
  };
}

/** Where Anthropic speaks like OpenAI, it reads the key where OpenAI's clients put it. */
function bearerOf(headers: ModelPlace['headers']): ModelPlace['headers'] {
  const entries = Object.entries(headers);
  const key = entries.find(([name]) => name.toLowerCase() === 'x-api-key')?.[1];
  if (key === undefined || entries.some(([name]) => name.toLowerCase() === 'authorization'))
    return headers;
  const others = entries.filter(([name]) => name.toLowerCase() !== 'x-api-key');
  return Object.fromEntries([...others, ['authorization', `Bearer ${key}`]]);
}
