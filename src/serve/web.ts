/** The web-standard form: a Request in, a Response out, over the very same line. */

import { type Answer, type Body, collectBody, type Exchange, isStream } from '../core/exchange.ts';
import type { AnswerExchange } from '../request/answer-exchange.ts';
import { compileRemoteOf, type RemoteOptions } from './remote-of.ts';

/** What a Request does not say about its sender. */
export interface WebSource {
  /** Address of the client or of the proxy in front; `0.0.0.0` when the runtime does not know it. */
  readonly remoteAddress?: string;
}

export function webHandler(
  handle: AnswerExchange,
  options: RemoteOptions,
): (request: Request, source?: WebSource) => Promise<Response> {
  const remoteOf = compileRemoteOf(options);
  return async (request, source = {}) => {
    const url = new URL(request.url);
    const header = (name: string): string | undefined => request.headers.get(name) ?? undefined;
    const body = request.body as Body | null;
    const exchange: Exchange = {
      method: request.method,
      // URL parsing has already resolved dot segments; the rest is normalised like any other target.
      target: url.pathname + url.search,
      headers: [...request.headers].flat(),
      header,
      body,
      collect: (bytesMax) => collectBody(body, bytesMax),
      remote: remoteOf({
        socketAddress: source.remoteAddress ?? '0.0.0.0',
        encrypted: url.protocol === 'https:',
        header: (name) => header(name) ?? (name === 'host' ? url.host : undefined),
      }),
      signal: request.signal,
    };
    return toResponse(await handle(exchange));
  };
}

function toResponse({ status, headers, body }: Answer): Response {
  const list = new Headers();
  for (let i = 0; i + 1 < headers.length; i += 2)
    list.append(headers[i] as string, headers[i + 1] as string);
  const bodyless = status === 204 || status === 205 || status === 304;
  const content = bodyless
    ? null
    : isStream(body)
      ? ReadableStream.from(body)
      : (body as Uint8Array<ArrayBuffer> | null);
  return new Response(content, { status, headers: list });
}
