import type { Mode } from '../core/ports/ledger.ts';
import type { RateSource } from '../pricing/next-rate.ts';
import type { FreeConfig } from '../rails/free/config.ts';
import type { PrepaidConfig } from '../rails/prepaid/config.ts';
import type { X402Config } from '../rails/x402/config.ts';
import { checkAcross, modeOf } from './check-across.ts';
import { modelRoutes } from './model-routes.ts';
import { compileModels, type ModelsConfig } from './models.ts';
import {
  addIssues,
  ConfigError,
  type ConfigProblem,
  type FoundProblem,
  oneLine,
  ProblemList,
} from './problems.ts';
import { type ConfiguredRoute, compileConfiguredRoutes } from './routes.ts';
import type { Listen } from './scalars.ts';
import { configSchema, type ParsedConfig } from './schema.ts';
import { type Env, substitute } from './substitute.ts';

export type ConfiguredRail = 'prepaid' | 'x402' | 'free';

export interface UpstreamConfig {
  /** Without a trailing slash; its path is put before the matched path. */
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly connections: number;
  /** Which API it speaks; left out: recognised by the path of the request. */
  readonly kind?: 'openai' | 'anthropic' | 'http' | undefined;
}

/** The config with every default filled in. Money in USD atoms, times in milliseconds, sizes in bytes. */
export interface Config {
  readonly listen: Listen;
  readonly publicUrl: string | null;
  readonly operator: Listen | null;
  readonly database: string;
  readonly mode: Mode;
  readonly trustProxy: readonly string[];
  readonly upstreams: Readonly<Record<string, UpstreamConfig>>;
  readonly payments: {
    readonly order: readonly ConfiguredRail[];
    readonly free: FreeConfig | null;
    readonly prepaid: PrepaidConfig | null;
    readonly x402: X402Config | null;
  };
  /** In file order, then those of the model gateway. */
  readonly routes: readonly ConfiguredRoute[];
  readonly models: ModelsConfig | null;
  /** Where the values of currencies in prices come from, by symbol. */
  readonly rates: Readonly<Record<string, RateSource>>;
  readonly limits: ParsedConfig['limits'];
  readonly timeouts: {
    readonly connectMs: number;
    readonly headMs: number;
    readonly idleMs: number;
    /** Until the client has sent its whole request. */
    readonly requestMs: number;
    readonly settleMs: number;
  };
  readonly exposure: { readonly perPayer: bigint; readonly perNetwork: bigint };
  readonly quotes: {
    readonly ttlMs: number;
    /** How long after its end a quote is honoured for what was signed in time. */
    readonly graceMs: number;
  };
  readonly replay: { readonly ttlMs: number; readonly maxBytes: number };
  readonly confirmations: number | Readonly<Record<string, number>>;
  readonly exact: { readonly bufferBytes: number };
  /** At least 32 bytes; null: kept in the database. */
  readonly secret: string | null;
  readonly refundWith?: string;
  readonly cors: { readonly origins: readonly string[] };
}

/** Where the problems of a loaded file are, if that is known. */
export interface Source {
  readonly file: string;
  lineOf(at: FoundProblem['at']): number | undefined;
}

/** Checks a config and fills in its defaults; throws ConfigError with every problem at once. */
export function parseConfig(input: unknown, env: Env, source: Source | null = null): Config {
  const problems = new ProblemList();
  const { value, used } = substitute(input, env, problems);
  const parsed = configSchema.safeParse(value, { reportInput: true });
  checkAcross(value, problems);
  if (!parsed.success) addIssues(problems, parsed.error.issues, []);
  if (parsed.success && problems.all.length === 0) return resolve(parsed.data);
  const shown = problems.all.map((found) => toProblem(found, used, source));
  throw new ConfigError(
    shown.sort((a, b) => (a.line ?? 0) - (b.line ?? 0)),
    source?.file ?? null,
  );
}

function toProblem(
  found: FoundProblem,
  used: ReadonlyMap<string, string>,
  source: Source | null,
): ConfigProblem {
  const line = source?.lineOf(found.at);
  return {
    path: oneLine(found.at.join('.')),
    message: oneLine(withoutValues(found.message, used)),
    hint: oneLine(withoutValues(found.hint, used)),
    ...(line === undefined ? {} : { line }),
  };
}

/** A variable put in the wrong place must not show its secret in a log: its name stands for its value. */
function withoutValues(text: string, used: ReadonlyMap<string, string>): string {
  let shown = text;
  for (const [name, value] of used)
    if (value.length >= 4) shown = shown.replaceAll(value, `\${${name}}`);
  return shown;
}

function resolve(parsed: ParsedConfig): Config {
  const { payments, timeouts, quotes, replay } = parsed;
  const defaultOrder: ConfiguredRail[] = ['prepaid', 'x402', 'free'];
  const networks = Object.keys(payments.x402?.networks ?? {});
  const routes = compileConfiguredRoutes(parsed.routes);
  const models = parsed.models === undefined ? null : compileModels(parsed.models);
  return {
    listen: parsed.listen,
    publicUrl: parsed.publicUrl ?? null,
    operator: parsed.operator ?? null,
    database: parsed.database,
    mode: parsed.mode ?? (networks[0] === undefined ? 'live' : modeOf(networks[0])),
    trustProxy: parsed.trustProxy,
    upstreams: parsed.upstreams,
    payments: {
      order: payments.order ?? defaultOrder.filter((rail) => payments[rail] !== undefined),
      free: payments.free ?? null,
      prepaid: payments.prepaid ?? null,
      x402: payments.x402 ?? null,
    },
    routes: models === null ? routes : [...routes, ...modelRoutes(models, routes)],
    models,
    rates: parsed.rates,
    limits: parsed.limits,
    timeouts: {
      connectMs: timeouts.connect,
      headMs: timeouts.head,
      idleMs: timeouts.idle,
      requestMs: timeouts.request,
      settleMs: timeouts.settle,
    },
    exposure: parsed.exposure,
    quotes: { ttlMs: quotes.ttl, graceMs: quotes.grace },
    replay: { ttlMs: replay.ttl, maxBytes: replay.maxBytes },
    confirmations: parsed.confirmations,
    exact: parsed.exact,
    secret: parsed.secret ?? null,
    ...(parsed.refundWith === undefined ? {} : { refundWith: parsed.refundWith }),
    cors: parsed.cors,
  };
}
