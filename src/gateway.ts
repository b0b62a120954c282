/** The composition root: a config in, a running gateway out. Nothing else knows all the parts. */

import { randomBytes, randomFillSync } from 'node:crypto';
import type { Config } from './config.ts';
import { type Clock, systemClock } from './core/clock.ts';
import { CoinslotError, KeyUnknown } from './core/errors.ts';
import type { Exchange } from './core/exchange.ts';
import { newId, type Random } from './core/id.ts';
import { type Log, silentLog } from './core/log.ts';
import type { ApiKey, Ledger, Mode } from './core/ports/ledger.ts';
import type { Rail } from './core/ports/rail.ts';
import type { Upstream } from './core/ports/upstream.ts';
import { openLedger } from './ledger/open-ledger.ts';
import { createRails } from './rails/index.ts';
import { readApiKey } from './rails/prepaid/server.ts';
import { type AnswerExchange, createAnswerExchange } from './request/answer-exchange.ts';
import { InFlight } from './request/in-flight.ts';
import { compileRoutes } from './request/match-route.ts';
import type { RequestParts } from './request/parts.ts';
import { createQuotes } from './request/quote-price.ts';
import { createRateLimits } from './request/rate-limits.ts';
import { type WebSource, webHandler } from './serve/web.ts';
import { createRecovery } from './settlement/recovery.ts';
import { httpUpstream } from './upstreams/http.ts';

export interface Gateway {
  /** Test or live money; never both on one database. */
  readonly mode: Mode;
  /** Answers one exchange; never throws. */
  readonly handle: AnswerExchange;
  /** The web-standard form of `handle`. */
  fetch(request: Request, source?: WebSource): Promise<Response>;
  /** Finishes the recovery round that runs, closes upstreams, rails and ledger. */
  close(): Promise<void>;
}

export interface GatewayOptions {
  readonly clock?: Clock;
  readonly random?: Random;
  readonly log?: Log;
  /** Called when the ledger's thread died; the process should end. */
  readonly onFatal?: (error: Error) => void;
}

/** The database holds money of the other mode. */
export class ModeMismatch extends CoinslotError {
  readonly code = 'mode_mismatch';
  readonly status = 500;
  readonly hint = 'Use another database: test and live money never share one.';
}

const LEASE_MS = 15_000;
const RECOVERY_EVERY_MS = 1_000;
/** A hold outlives its route's time by this much before it is given back. */
const HOLD_MARGIN_MS = 60_000;

/** Opens the ledger, recovers what an earlier process left, and serves. Rejects on a database in use or of the other mode. */
export async function createGateway(
  config: Config,
  options: GatewayOptions = {},
): Promise<Gateway> {
  const { clock = systemClock, random = pooledRandom(), log = silentLog } = options;
  const onFatal = options.onFatal ?? ((error: Error) => log.error({ error }, 'the ledger died'));
  const ledger = await openLedger({ url: config.database, clock, exclusive: true, onFatal });
  try {
    await checkMode(ledger, config.mode);
    const secret =
      config.secret ?? (await ledger.sharedSecret('quotes', randomBytes(32).toString('base64url')));
    const quotes = createQuotes(secret, config.quotes.ttlMs, random);
    const rails = createRails({
      ...{ ledger, clock, random, log },
      payments: config.payments,
      confirmations: config.confirmations,
      settleMs: config.timeouts.settleMs,
      marginMs: HOLD_MARGIN_MS,
      verifyQuote: quotes.verify,
    });
    const upstreams = openUpstreams(config);
    const parts: RequestParts = {
      matchRoute: compileRoutes(config.routes),
      quotes,
      rails,
      upstreams,
      ledger,
      rateLimits: createRateLimits(config.limits, clock),
      inFlight: new InFlight(),
      clock,
      log,
      owner: newId('proc', random),
      credentialHeaders: credentialHeaders(config),
      limits: {
        bodyBytes: config.limits.bodyBytes,
        concurrency: config.limits.concurrency,
        bufferBytes: config.exact.bufferBytes,
        replayBytes: config.replay.maxBytes,
      },
      exposure: config.exposure,
      corsOrigins: config.cors.origins.includes('*') ? null : new Set(config.cors.origins),
      keyOf: (exchange) => authenticateKey(ledger, exchange),
      orphans: new Map(),
    };
    return await run(config, parts, rails, upstreams);
  } catch (error) {
    await ledger.close();
    throw error;
  }
}

async function run(
  config: Config,
  parts: RequestParts,
  rails: readonly Rail[],
  upstreams: ReadonlyMap<string, Upstream>,
): Promise<Gateway> {
  const { ledger, clock, log, owner, orphans } = parts;
  const recovery = createRecovery({
    ...{ ledger, rails, owner, clock, log, orphans },
    leaseMs: LEASE_MS,
    everyMs: RECOVERY_EVERY_MS,
    replayTtlMs: config.replay.ttlMs,
  });
  // The lease stands before the first request, or a neighbour could take our first payment for a dead one's.
  await ledger.heartbeat(owner, clock.now() + LEASE_MS);
  recovery.start();
  const handle = createAnswerExchange(parts);
  const web = webHandler(handle, config);
  return {
    mode: config.mode,
    handle,
    fetch: web,
    async close() {
      await recovery.stop();
      for (const rail of rails) await rail.close();
      for (const upstream of upstreams.values()) await upstream.close();
      await ledger.close();
    },
  };
}

async function checkMode(ledger: Ledger, mode: Mode): Promise<void> {
  const stamped = await ledger.stampMode(mode);
  if (stamped !== mode)
    throw new ModeMismatch(
      `The database holds ${stamped} money and the config is for ${mode} money.`,
    );
}

function openUpstreams(config: Config): ReadonlyMap<string, Upstream> {
  const { connectMs, headMs, idleMs } = config.timeouts;
  return new Map(
    Object.entries(config.upstreams).map(([name, upstream]) => [
      name,
      httpUpstream({ ...upstream, connectMs, headMs, idleMs }),
    ]),
  );
}

/** With API keys on, their headers are ours alone; otherwise they belong to the upstream. */
function credentialHeaders(config: Config): ReadonlySet<string> {
  const keys = config.payments.prepaid !== null || config.payments.free?.per === 'key';
  return new Set(keys ? ['x-api-key', 'authorization'] : []);
}

async function authenticateKey(ledger: Ledger, exchange: Exchange): Promise<ApiKey | null> {
  const shown = readApiKey(exchange);
  if (shown === null) return null;
  const key = shown === 'unknown' ? null : await ledger.authenticateKey(shown.id, shown.secretHash);
  if (!key) throw new KeyUnknown('This API key is not known or was revoked.');
  return key;
}

/** One call to the system's generator serves hundreds of ids; no byte is handed out twice. */
function pooledRandom(): Random {
  const pool = Buffer.alloc(8_192);
  let used = pool.length;
  return (bytes) => {
    if (bytes > pool.length) return randomBytes(bytes);
    if (used + bytes > pool.length) {
      randomFillSync(pool);
      used = 0;
    }
    used += bytes;
    // A copy: what is handed out must not change when the pool is filled anew.
    return Uint8Array.prototype.slice.call(pool, used - bytes, used);
  };
}
