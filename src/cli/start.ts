import { type Command, Option } from 'commander';
import type { Config } from '../config.ts';
import { createGateway, type Gateway } from '../gateway.ts';
import { formatPrice } from '../pricing/format-price.ts';
import { type RunningServer, serveNode } from '../serve/node.ts';
import { createLog, hideSecretsOf } from './create-log.ts';
import { EXIT } from './exit-codes.ts';
import { giveBackMemory } from './give-back-memory.ts';
import { type CommonOptions, loadConfigOf, withCommonOptions } from './options.ts';
import { reloadRequests } from './reload-requests.ts';
import { report, table } from './report.ts';

interface StartOptions extends CommonOptions {
  readonly logLevel: string;
  readonly watch?: boolean;
}

/** Running requests may end within this time after a signal to stop. */
const GRACE_MS = 30_000;
/** What still holds the process after everything was closed does not hold it for longer. */
const LINGER_MS = 5_000;

/** Adds `coinslot start`: the gateway, until SIGTERM or SIGINT. */
export function registerStart(program: Command): void {
  withCommonOptions(program.command('start'))
    .description('run the gateway until SIGTERM or Ctrl-C')
    .addOption(
      new Option('--log-level <level>', 'what is logged on stderr')
        .choices(['debug', 'info', 'warn', 'error', 'silent'])
        .default('info'),
    )
    .option('--watch', 'reload the config when its file changes; SIGHUP does it at any time')
    .action(start);
}

async function start(options: StartOptions): Promise<void> {
  const config = await loadConfigOf(options);
  const log = createLog(config, options.logLevel);
  const stopped = stopSignal();
  const reloads = reloadRequests(options);
  const gateway = await createGateway(config, {
    log,
    onFatal: (error) => {
      // Without the ledger no hold can be captured or given back: the next start finishes what runs now.
      log.error({ error }, 'the ledger died; the gateway ends');
      process.stderr.write('coinslot: the ledger died\n  Start the gateway again; it recovers.\n');
      process.exit(EXIT.failed);
    },
  });
  const server = await serve(gateway, config);
  if (config.operator !== null)
    log.warn({}, 'operator is configured, but this version serves no operator pages');
  report(
    options.json === true,
    { url: server.url, mode: gateway.mode, routes: config.routes.length },
    () => banner(server.url, config),
  );
  await giveBackMemory();
  reloads.answer(async () => {
    const next = await loadConfigOf(options);
    hideSecretsOf(log, next);
    await gateway.reload(next);
    return next;
  }, log);
  const signal = await stopped;
  log.info({ signal }, 'stopping: no new requests; running ones may end');
  reloads.stop();
  const deadlineMs = performance.now() + GRACE_MS;
  await server.close(GRACE_MS);
  await gateway.close(Math.max(0, deadlineMs - performance.now()));
  log.info({}, 'stopped');
  setTimeout(() => process.exit(), LINGER_MS).unref();
}

async function serve(gateway: Gateway, config: Config): Promise<RunningServer> {
  try {
    return await serveNode(gateway, {
      ...config.listen,
      publicUrl: config.publicUrl,
      trustProxy: config.trustProxy,
      headerBytes: config.limits.headerBytes,
      requestMs: config.timeouts.requestMs,
    });
  } catch (error) {
    await gateway.close();
    throw error;
  }
}

/** Resolves at the first signal to stop; a second one ends the process at once. */
function stopSignal(): Promise<NodeJS.Signals> {
  return new Promise((resolve) => {
    let asked = false;
    const onSignal = (signal: NodeJS.Signals): void => {
      if (asked) process.exit(EXIT.failed);
      asked = true;
      resolve(signal);
    };
    process.on('SIGTERM', onSignal);
    process.on('SIGINT', onSignal);
  });
}

function banner(url: string, config: Config): string {
  const { order, x402 } = config.payments;
  const networks = Object.keys(x402?.networks ?? {});
  const rails = order.map((rail) => (rail === 'x402' ? `x402 (${networks.join(', ')})` : rail));
  return [
    `Coinslot sells at ${config.publicUrl ?? url}${config.publicUrl === null ? '' : `, listening on ${url}`}`,
    `Money: ${config.mode}. Rails: ${rails.join(', ') || 'none'}.`,
    '',
    table(
      ['ROUTE', 'PRICE', 'UPSTREAM'],
      config.routes.map((route) => [route.id, formatPrice(route.price), route.upstream]),
    ),
    '',
    'Ctrl-C stops it.',
  ].join('\n');
}
