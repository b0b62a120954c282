/**
 * Step 6 of a WebSocket handshake, in place of the proxy: the upstream switches, then frames pass both ways and are
 * metered until one side, the route's time or the hold ends them. The money ends with the last of them, as a stream's.
 */

import { randomBytes } from 'node:crypto';
import { CoinslotError, RequestMalformed, UpstreamFailed } from '../core/errors.ts';
import { type Answer, type Exchange, isStream, type Upgrade } from '../core/exchange.ts';
import type { Payment } from '../core/payment.ts';
import type { UpstreamAnswer } from '../core/ports/upstream.ts';
import type { Measured } from '../core/work.ts';
import { FLAT_WORK } from '../pricing/flat-work.ts';
import { uncappedCost } from '../pricing/uncapped-cost.ts';
import { withGatewayHeaders } from './answers.ts';
import { capturePassing, giveBack } from './capture-or-release.ts';
import { Conversation } from './conversation.ts';
import { judgeAnswer } from './judge-answer.ts';
import type { Match } from './match-route.ts';
import { ConnectionMeter } from './meter-connection.ts';
import { meterConnection } from './meter-usage.ts';
import type { PaidRequest } from './paid-request.ts';
import type { RequestParts } from './parts.ts';
import { proxyUpstream, type UpstreamOutcome } from './proxy-upstream.ts';
import type { PricedQuote } from './quote-price.ts';
import { type Handshake, readHandshake, switchHeaders } from './read-handshake.ts';

export interface UpgradeRequest {
  readonly upgrade: Upgrade;
  readonly handshake: Handshake;
}

/** Null for a request that asks for no switch. Throws RequestMalformed and WebSocketVersion, before anybody pays. */
export function readUpgrade(
  parts: RequestParts,
  { route }: Match,
  exchange: Exchange,
): UpgradeRequest | null {
  const { upgrade } = exchange;
  if (upgrade === undefined) return null;
  const handshake = readHandshake(exchange);
  if (parts.upstreams.get(route.upstream)?.connect === undefined)
    throw new RequestMalformed('This route takes no WebSocket connections.');
  return { upgrade, handshake };
}

/** A paid connection: what passed is captured when it ends. */
export async function passUpgrade(paid: PaidRequest, request: UpgradeRequest): Promise<Answer> {
  const { parts, match, payment, demand, reading } = paid;
  const { exchange, quote } = demand;
  const isMetered = reading.meter !== null;
  const meter = new ConnectionMeter({
    messages: reading.messages?.() ?? null,
    fits: isMetered ? (measured) => fits(quote, measured) : () => true,
    isComplete: match.route.units.length === 0,
    nowMs: () => performance.now(),
  });
  const outcome = await connect(parts, match, payment, exchange, request, meter, isMetered);
  if (outcome.kind === 'failed') return await giveBack(paid, outcome.error.code, outcome.error);
  const { answer } = outcome;
  if (answer.status === 101)
    return await capturePassing(paid, meterConnection(paid, answer, isMetered ? meter : null));
  const verdict = judgeAnswer(match.route, exchange.method, answer);
  if (!verdict.charge) return await giveBack(paid, verdict.reason, answer);
  // A handshake would get for nothing what the same request pays for.
  const error = noSwitch();
  return await giveBack(paid, error.code, error, answer);
}

/** A connection that costs nothing. Throws what the upstream's failure was. */
export async function passFreeUpgrade(
  parts: RequestParts,
  match: Match,
  exchange: Exchange,
  request: UpgradeRequest,
): Promise<Answer> {
  const meter = new ConnectionMeter({
    ...{ messages: null, fits: () => true, isComplete: true, nowMs: () => performance.now() },
  });
  const outcome = await connect(parts, match, null, exchange, request, meter, false);
  if (outcome.kind === 'failed') throw outcome.error;
  const { status, headers, body } = outcome.answer;
  return { status, headers: withGatewayHeaders(headers, []), body };
}

/** What was quoted is an upper bound of what one connection may use; what would pass it does not leave. */
function fits({ price, work, terms, max }: PricedQuote, measured: Measured): boolean {
  return (uncappedCost(price, work, terms, measured) ?? 0n) <= max;
}

/** Never throws for what the upstream does. */
async function connect(
  parts: RequestParts,
  match: Match,
  payment: Payment | null,
  exchange: Exchange,
  { upgrade, handshake }: UpgradeRequest,
  meter: ConnectionMeter,
  isPriced: boolean,
): Promise<UpstreamOutcome> {
  const conversation = new Conversation({
    ...{ frames: upgrade.frames, meter, isPriced },
    messageBytesMax: parts.limits.bodyBytes,
    timeoutMs: match.route.timeoutMs,
    idleMs: parts.upstreams.get(match.route.upstream)?.idleMs ?? null,
    stopping: [upgrade.stopping, parts.running.stopping],
    breakOff: () => upgrade.breakOff(),
    mask: () => randomBytes(4),
    nowMs: () => performance.now(),
  });
  const work = { body: conversation.toUpstream, work: FLAT_WORK, meter: null };
  const outcome = await proxyUpstream(parts, match, payment, exchange, work, handshake);
  if (outcome.kind === 'failed' || outcome.answer.status !== 101) return outcome;
  const { answer } = outcome;
  try {
    if (!isStream(answer.body)) throw noSwitch();
    const headers = switchHeaders(answer, handshake);
    const body = conversation.toClient(answer.body);
    return { ...outcome, answer: { ...answer, headers, body } };
  } catch (error) {
    discard(answer);
    if (!(error instanceof CoinslotError)) throw error;
    return { kind: 'failed', error };
  }
}

function noSwitch(): UpstreamFailed {
  return new UpstreamFailed('The upstream answered a WebSocket handshake as any other request.');
}

function discard({ body }: UpstreamAnswer): void {
  if (isStream(body)) void body[Symbol.asyncIterator]().return?.();
}
