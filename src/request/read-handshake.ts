/** The WebSocket handshake (RFC 6455 §4): what of the client's goes on, and whether the upstream's answer fits. */

import { createHash } from 'node:crypto';
import { CoinslotError, RequestMalformed, UpstreamFailed } from '../core/errors.ts';
import { type Exchange, filterHeaders, findHeader, type HeaderList } from '../core/exchange.ts';
import type { UpstreamAnswer } from '../core/ports/upstream.ts';

/** The client speaks another version of WebSocket. */
export class WebSocketVersion extends CoinslotError {
  readonly code = 'websocket_version';
  readonly status = 426;
  readonly hint = 'Send Sec-WebSocket-Version: 13.';
  override readonly headers = ['Sec-WebSocket-Version', '13', 'Upgrade', 'websocket'];
}

export interface Handshake {
  readonly key: string;
  /** What the client offers and the upstream may see, in order. */
  readonly protocols: readonly string[];
}

const KEY = /^[+/0-9A-Za-z]{21}[AQgw]==$/;
/** RFC 9110 §5.6.2. */
const TOKEN = /^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,512}$/;
/**
 * Credentials that travel as subprotocols, where a browser cannot set headers: OpenAI's, and keys of ours that were
 * put there. They pay nothing here, and an upstream would be told somebody's secret.
 */
const SECRET = /^openai-(?:insecure-api-key|organization|project)\.|cs_(?:live|test)_/i;
const GUID = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11';

/** Throws RequestMalformed, which names the header, and WebSocketVersion. */
export function readHandshake(exchange: Exchange): Handshake {
  if (exchange.method !== 'GET')
    throw new RequestMalformed('A WebSocket handshake is a GET request.');
  // Bytes behind the head would be a body to one reader and frames, or another request, to the next.
  for (const name of ['content-length', 'transfer-encoding'])
    if (exchange.header(name) !== undefined)
      throw new RequestMalformed(`A WebSocket handshake has no body, and so no ${name}.`);
  if (exchange.header('sec-websocket-version') !== '13')
    throw new WebSocketVersion('Only version 13 of WebSocket is served.');
  const key = exchange.header('sec-websocket-key') ?? '';
  if (!KEY.test(key))
    throw new RequestMalformed('Sec-WebSocket-Key is not one value of 16 bytes in base 64.');
  return { key, protocols: protocolsOf(exchange.header('sec-websocket-protocol')) };
}

function protocolsOf(header: string | undefined): string[] {
  if (header === undefined) return [];
  const offered = header.split(',').map((protocol) => protocol.trim());
  if (!offered.every((protocol) => TOKEN.test(protocol)) || new Set(offered).size < offered.length)
    throw new RequestMalformed('Sec-WebSocket-Protocol is not a list of different tokens.');
  return offered.filter((protocol) => !SECRET.test(protocol));
}

/** The headers of the handshake that goes upstream: no extension, since compressed frames could not be metered. */
export function handshakeHeaders(headers: HeaderList, { key, protocols }: Handshake): string[] {
  const kept = filterHeaders(headers, (name) => !name.startsWith('sec-websocket-'));
  kept.push('sec-websocket-key', key, 'sec-websocket-version', '13');
  if (protocols.length > 0) kept.push('sec-websocket-protocol', protocols.join(', '));
  return kept;
}

/** The upstream's 101 as it may go to the client. Throws UpstreamFailed for one that answers another handshake. */
export function switchHeaders({ headers }: UpstreamAnswer, handshake: Handshake): string[] {
  const accept = createHash('sha1').update(handshake.key + GUID);
  if (findHeader(headers, 'sec-websocket-accept') !== accept.digest('base64'))
    throw new UpstreamFailed('The upstream switched without accepting this handshake.');
  if (findHeader(headers, 'sec-websocket-extensions') !== undefined)
    throw new UpstreamFailed('The upstream chose a WebSocket extension that was not offered.');
  const protocol = findHeader(headers, 'sec-websocket-protocol');
  if (protocol !== undefined && !handshake.protocols.includes(protocol))
    throw new UpstreamFailed('The upstream chose a subprotocol that was not offered.');
  return filterHeaders(headers, (name) => name !== 'content-length');
}
