/** The composition root: a config in, a running gateway out. Nothing else knows all the parts. */

import { randomBytes } from 'node:crypto';
import { listCostOf } from './config/list-cost.ts';
import { modelEntries } from './config/model-list.ts';
import { MODEL_LIST_UPSTREAM, MODELS_UPSTREAM } from './config/model-routes.ts';
import { needsRestart, RestartNeeded } from './config/needs-restart.ts';
import { type PricedConfig, priceModels } from './config/price-models.ts';
import type { Config } from './config.ts';
import { type Clock, systemClock } from './core/clock.ts';
import { CoinslotError, KeyUnknown, Overloaded } from './core/errors.ts';
import type { Exchange } from './core/exchange.ts';
import { newId, type Random } from './core/id.ts';
import { type Log, silentLog } from './core/log.ts';
import type { ApiKey, Ledger, Mode } from './core/ports/ledger.ts';
import type { Upstream } from './core/ports/upstream.ts';
import type { Route } from './core/route.ts';
import { openLedger } from './ledger/open-ledger.ts';
import { createRails } from './rails/index.ts';
import { readApiKey } from './rails/prepaid/server.ts';
import type { AnswerExchange } from './request/answer-exchange.ts';
import { fetchLate } from './request/fetch-json.ts';
import { Generations } from './request/generations.ts';
import { InFlight } from './request/in-flight.ts';
import { compileRoutes } from './request/match-route.ts';
import type { RequestParts } from './request/parts.ts';
import { pooledRandom } from './request/pooled-random.ts';
import { PriceHistory } from './request/price-history.ts';
import { withheldHeaders } from './request/proxy-upstream.ts';
import { createQuotes } from './request/quote-price.ts';
import { createRateLimits, RateCounts } from './request/rate-limits.ts';
import { RateReadings } from './request/rate-readings.ts';
import { Running } from './request/running.ts';
import { ServicePrices } from './request/service-prices.ts';
import { ShadowCounts } from './request/shadow-counts.ts';
import { type WebSource, webHandler } from './serve/web.ts';
import { createRecovery } from './settlement/recovery.ts';
import { compileDialects } from './upstreams/compile-dialects.ts';
import { httpUpstream } from './upstreams/http.ts';
import { type ModelGateway, openModelGateway } from './upstreams/model-gateway.ts';
import { tokenizerOrNull } from './upstreams/tokenizer-or-null.ts';
import type { Tokenizer } from './upstreams/tokens.ts';

export interface Gateway {
  /** Test or live money; never both on one database. */
  readonly mode: Mode;
  /** Answers one exchange; never throws. */
  readonly handle: AnswerExchange;
  /** The web-standard form of `handle`. */
  fetch(request: Request, source?: WebSource): Promise<Response>;
  /**
   * Serves by another config from now on: routes, prices, upstreams, rates and limits. Running requests keep what they
   * came in by. Rejects with RestartNeeded, and changes nothing, where the config differs in what can't be swapped.
   */
  reload(config: Config): Promise<void>;
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
  /** Asks the services that rates and prices come from. */
  readonly fetch?: typeof fetch;
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
    const running = new Running(config.limits.concurrency);
    const { ttlMs, graceMs } = config.quotes;
    const keepMs = ttlMs + graceMs;
    const history = new PriceHistory(keepMs);
    const asking = { keepMs, log, fetch: options.fetch ?? fetchLate };
    const readings = new RateReadings({ ...asking, sources: config.rates, clock });
    const quotes = createQuotes({
      ...{ secret, ttlMs, graceMs, random, history },
      load: () => running.load(),
      rates: (atMs) => readings.at(atMs),
    });
    const rails = createRails({
      ...{ ledger, clock, random, log },
      payments: config.payments,
      confirmations: config.confirmations,
      settleMs: config.timeouts.settleMs,
      marginMs: HOLD_MARGIN_MS,
      verifyQuote: quotes.verify,
    });
    const lasting: LastingParts = {
      ...{ quotes, rails, ledger, running, clock, log },
      inFlight: new InFlight(),
      owner: newId('proc', random),
      withheldHeaders: withheldHeaders(credentialHeaders(config)),
      withheldFromMeters: withheldHeaders([...credentialHeaders(config), 'accept-encoding']),
      keyOf: (exchange) => authenticateKey(ledger, exchange),
      orphans: new Map(),
      servicePrices: new ServicePrices({ ...asking, quotes }),
      shadow: new ShadowCounts(ledger, clock, log),
      rateCounts: new RateCounts(clock),
      ...{ history, readings },
    };
    await readings.start();
    return await run(await priceModels(config, clock.now(), log), lasting).catch(
      async (error: unknown) => {
        await readings.close();
        throw error;
      },
    );
  } catch (error) {
    await ledger.close();
    throw error;
  }
}

/** What is the same under every config that the process runs. */
interface LastingParts extends Omit<RequestParts, keyof ConfiguredParts> {
  readonly rateCounts: RateCounts;
  readonly history: PriceHistory;
  readonly readings: RateReadings;
}

type ConfiguredParts = Pick<
  RequestParts,
  | 'matchRoute'
  | 'upstreams'
  | 'rateLimits'
  | 'dialectOf'
  | 'limits'
  | 'exposure'
  | 'corsOrigins'
  | 'listCost'
>;

/** The request line of one config. */
async function partsOf(config: PricedConfig, lasting: LastingParts): Promise<RequestParts> {
  const { clock, log, rateCounts } = lasting;
  const isMetered = config.routes.some(({ price }) => price.kind === 'metered');
  const tokenizer = isMetered ? await tokenizerOrNull(log) : null;
  const models = openModels(config, tokenizer, lasting);
  return {
    ...lasting,
    matchRoute: compileRoutes(routesOf(config)),
    rateLimits: createRateLimits(config.limits, clock, rateCounts),
    dialectOf: compileDialects(config, tokenizer, models),
    limits: {
      bodyBytes: config.limits.bodyBytes,
      bufferBytes: config.exact.bufferBytes,
      replayBytes: config.replay.maxBytes,
    },
    exposure: config.exposure,
    listCost: await listCostOf(config, clock.now()),
    corsOrigins: config.cors.origins.includes('*') ? null : new Set(config.cors.origins),
    upstreams: new Map([...openUpstreams(config), ...(models?.upstreams ?? [])]),
  };
}

function openModels(
  { models, catalogue, timeouts }: PricedConfig,
  tokenizer: Tokenizer | null,
  { clock, log }: LastingParts,
): ModelGateway | null {
  if (models === null || catalogue === null) return null;
  return openModelGateway({
    ...{ providers: models.providers, catalogue, timeouts, log },
    dialect: { ...models.reading, tokenizer },
    upstreamNames: { models: MODELS_UPSTREAM, list: MODEL_LIST_UPSTREAM },
    entries: modelEntries(catalogue, clock.now()),
  });
}

function routesOf({ routes }: Config): readonly Route[] {
  return routes;
}

async function run(first: PricedConfig, lasting: LastingParts): Promise<Gateway> {
  const { ledger, rails, clock, log, owner, orphans, running, readings } = lasting;
  const generations = new Generations(await partsOf(first, lasting));
  let config = first;
  const recovery = createRecovery({
    ...{ ledger, rails, owner, clock, log, orphans },
    leaseMs: LEASE_MS,
    everyMs: RECOVERY_EVERY_MS,
    get replayTtlMs() {
      return config.replay.ttlMs;
    },
  });
  // The lease stands before the first request, or a neighbour could take our first payment for a dead one's.
  await ledger.heartbeat(owner, clock.now() + LEASE_MS);
  recovery.start();
  const swapTo = async (given: Config): Promise<void> => {
    if (isClosing) throw new Overloaded('The gateway is stopping.', 1);
    const fixed = needsRestart(config, given);
    if (fixed.length > 0) throw new RestartNeeded(fixed);
    const next = await priceModels(given, clock.now(), log);
    // What the old routes need goes on until the new ones are there.
    await readings.use({ ...config.rates, ...next.rates });
    const parts = await partsOf(next, lasting);
    const kept = new Set(routesOf(next).map(({ id, priceVersion }) => `${priceVersion} ${id}`));
    const replaced = routesOf(config).filter(
      ({ id, priceVersion }) => !kept.has(`${priceVersion} ${id}`),
    );
    lasting.history.retire(replaced, clock.now());
    running.limit(next.limits.concurrency);
    generations.swap(parts);
    config = next;
    await readings.use(next.rates);
  };
  let reloading: Promise<void> = Promise.resolve();
  let isClosing = false;
  return {
    mode: config.mode,
    handle: generations.answer,
    fetch: webHandler(generations.answer, config),
    reload(next) {
      const reloaded = reloading.then(() => swapTo(next));
      reloading = reloaded.catch(() => {});
      return reloaded;
    },
    async close(graceMs = GRACE_MS) {
      isClosing = true;
      // Until then the lease is renewed: what still runs is ours.
      await running.stop(graceMs);
      await recovery.stop();
      await reloading;
      await readings.close();
      // What is cut off here fails, and gives its hold back.
      await generations.close();
      for (const rail of rails) await rail.close();
      await running.stop(ENDING_MS);
      await lasting.shadow.close();
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
