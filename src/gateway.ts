/** The composition root: a config in, a running gateway out. Nothing else knows all the parts. */

import { randomBytes, randomFillSync } from 'node:crypto';
import type { Config } from './config.ts';
import { type Clock, systemClock } from './core/clock.ts';
import { CoinslotError, KeyUnknown } from './core/errors.ts';
import type { Exchange } from './core/exchange.ts';
import { newId, type Random } from './core/id.ts';
import { type Log, silentLog } from './core/log.ts';
import type { Dialect } from './core/ports/dialect.ts';
import type { ApiKey, Ledger, Mode } from './core/ports/ledger.ts';
import type { Rail } from './core/ports/rail.ts';
import type { Upstream } from './core/ports/upstream.ts';
import { openLedger } from './ledger/open-ledger.ts';
import { fixedRates } from './pricing/next-rate.ts';
import { createRails } from './rails/index.ts';
import { readApiKey } from './rails/prepaid/server.ts';
import { type AnswerExchange, createAnswerExchange } from './request/answer-exchange.ts';
import { InFlight } from './request/in-flight.ts';
import { compileRoutes } from './request/match-route.ts';
import type { RequestParts } from './request/parts.ts';
import { PriceHistory } from './request/price-history.ts';
import { withheldHeaders } from './request/proxy-upstream.ts';
import { createQuotes } from './request/quote-price.ts';
import { createRateLimits } from './request/rate-limits.ts';
import { Running } from './request/running.ts';
import { type WebSource, webHandler } from './serve/web.ts';
import { createRecovery } from './settlement/recovery.ts';
import { httpUpstream } from './upstreams/http.ts';
import { dialectFor, dialectKindOf } from './upstreams/index.ts';
import { loadTokenizer, type Tokenizer } from './upstreams/tokens.ts';

export interface Gateway {
  /** Test or live money; never both on one database. */
  readonly mode: Mode;
  /** Answers one exchange; never throws. */
  readonly handle: AnswerExchange;
  /** The web-standard form of `handle`. */
  fetch(request: Request, source?: WebSource): Promise<Response>;
  /**
   * Takes no new requests and lets the running ones end, their money included, for at most `graceMs` (30 s by
   * default); then closes upstreams, rails and ledger.
   */
  close(graceMs?: number): Promise<void>;
}

export interface GatewayOptions {
  readonly clock?: Clock;
  readonly random?: Random;
  readonly log?: Log;
  /** A ledger that is open already, instead of the config's database; it is closed with the gateway. */
  readonly ledger?: Ledger;
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
/** Running requests may end within this time after `close`. */
const GRACE_MS = 30_000;
/** The end of a request that was cut off is written within this time. */
const ENDING_MS = 2_000;
/** A hold outlives its route's time by this much before it is given back. */
const HOLD_MARGIN_MS = 60_000;

/** Opens the ledger, recovers what an earlier process left, and serves. Rejects on a database in use or of the other mode. */
export async function createGateway(
  config: Config,
  options: GatewayOptions = {},
): Promise<Gateway> {
  const { clock = systemClock, random = pooledRandom(), log = silentLog } = options;
  const onFatal = options.onFatal ?? ((error: Error) => log.error({ error }, 'the ledger died'));
  const ledger =
    options.ledger ?? (await openLedger({ url: config.database, clock, exclusive: true, onFatal }));
  try {
    await checkMode(ledger, config.mode);
    const secret =
      config.secret ?? (await ledger.sharedSecret('quotes', randomBytes(32).toString('base64url')));
    const rates = fixedRates(config.rates);
    const running = new Running(config.limits.concurrency);
    const { ttlMs, graceMs } = config.quotes;
    const quotes = createQuotes({
      ...{ secret, ttlMs, graceMs, random },
      history: new PriceHistory(ttlMs + graceMs),
      load: () => running.load(),
      rates: () => rates,
    });
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
      running,
      clock,
      log,
      owner: newId('proc', random),
      withheldHeaders: withheldHeaders(credentialHeaders(config)),
      withheldFromMeters: withheldHeaders([...credentialHeaders(config), 'accept-encoding']),
      dialectOf: compileDialects(config, await tokenizerOf(config, log)),
      limits: {
        bodyBytes: config.limits.bodyBytes,
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
    async close(graceMs = GRACE_MS) {
      // Until then the lease is renewed: what still runs is ours.
      await parts.running.stop(graceMs);
      await recovery.stop();
      // What is cut off here fails, and gives its hold back.
      for (const upstream of upstreams.values()) await upstream.close();
      for (const rail of rails) await rail.close();
      await parts.running.stop(ENDING_MS);
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

/** Only who sells tokens needs to count them; without the package a token is bounded by its bytes. */
async function tokenizerOf({ routes }: Config, log: Log): Promise<Tokenizer | null> {
  if (!routes.some(({ price }) => price.kind === 'metered')) return null;
  try {
    return await loadTokenizer();
  } catch {
    log.warn(
      { install: 'npm install gpt-tokenizer' },
      'gpt-tokenizer is not installed: quotes of metered routes are bounded by bytes and higher than they need be',
    );
    return null;
  }
}

/** An upstream of a plain kind has no dialect; any other is recognised by the path of each request. */
function compileDialects(
  { upstreams }: Config,
  tokenizer: Tokenizer | null,
): RequestParts['dialectOf'] {
  const known = new Map<string, Dialect>();
  return ({ id, upstream, units }, path) => {
    const kind = upstreams[upstream]?.kind === 'http' ? 'generic' : dialectKindOf(path);
    const name = `${id} ${kind}`;
    const dialect = known.get(name) ?? dialectFor(path, kind, { units, tokenizer });
    known.set(name, dialect);
    return dialect;
  };
}

/** With API keys on, their headers are ours alone; otherwise they belong to the upstream. */
function credentialHeaders(config: Config): readonly string[] {
  const keys = config.payments.prepaid !== null || config.payments.free?.per === 'key';
  return keys ? ['x-api-key', 'authorization'] : [];
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
