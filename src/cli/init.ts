import { access, mkdir, writeFile } from 'node:fs/promises';
import { join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Command } from 'commander';
import { CommandFailed } from './command-failed.ts';
import { withJson } from './options.ts';
import { report } from './report.ts';

interface InitOptions {
  readonly testnet?: boolean;
  readonly force?: boolean;
  readonly dir: string;
  readonly json?: boolean;
}

/** Adds `coinslot init`: a config to start from, never over an existing one. */
export function registerInit(program: Command): void {
  withJson(program.command('init'))
    .description('write coinslot.yaml and .env.example to start from')
    .option('--testnet', 'take test money on Base Sepolia instead of USDC on Base')
    .option('--force', 'write over files that exist')
    .option('--dir <folder>', 'where to write', '.')
    .action(writeConfig);
}

async function writeConfig(options: InitOptions): Promise<void> {
  const folder = resolve(options.dir);
  const testnet = options.testnet === true;
  const files = [
    { path: join(folder, 'coinslot.yaml'), text: configText(testnet, schemaPath(folder)) },
    { path: join(folder, '.env.example'), text: envText(testnet) },
  ];
  if (options.force !== true) await refuseExisting(files.map(({ path }) => path));
  await mkdir(folder, { recursive: true });
  for (const { path, text } of files) await writeFile(path, text);
  const written = files.map(({ path }) => path);
  report(options.json === true, { files: written, network: networkOf(testnet) }, () =>
    [
      ...written.map((path) => `wrote ${relative(process.cwd(), path) || path}`),
      '',
      'Next:',
      '  1. Put your API under upstreams and your prices under routes, in coinslot.yaml.',
      '  2. Copy .env.example to .env and fill it in. Keep .env out of version control.',
      '  3. coinslot start',
      "  4. coinslot keys create --topup '$5'",
    ].join('\n'),
  );
}

async function refuseExisting(paths: readonly string[]): Promise<void> {
  for (const path of paths) {
    const exists = await access(path).then(
      () => true,
      () => false,
    );
    if (exists)
      throw new CommandFailed(
        'file_exists',
        `${relative(process.cwd(), path) || path} exists already`,
        'Use --force to write over it, or --dir for another folder.',
      );
  }
}

function networkOf(testnet: boolean): string {
  return testnet ? 'eip155:84532' : 'eip155:8453';
}

/** From the config's folder to the schema, so that editors complete and check the file. */
function schemaPath(folder: string): string {
  const schema = fileURLToPath(new URL('../../schema/coinslot.schema.json', import.meta.url));
  const path = relative(folder, schema).replaceAll('\\', '/');
  return path.startsWith('..')
    ? './node_modules/coinslot/schema/coinslot.schema.json'
    : `./${path}`;
}

function envReference(name: string): string {
  return `\${${name}}`;
}

function configText(testnet: boolean, schema: string): string {
  const network = testnet
    ? `      eip155:84532:                        # Base Sepolia: USDC that is worth nothing
        rpc: https://sepolia.base.org
        facilitator: https://x402.org/facilitator`
    : `      eip155:8453:                         # Base: USDC
        rpc: https://mainnet.base.org      # public and slow; use one of your own in production
        settleWith: "${envReference('SETTLEMENT_KEY')}"    # pays gas; needs a little ETH on Base`;
  return `# yaml-language-server: $schema=${schema}

# Coinslot sells the routes below. ${envReference('NAME')} is read from the environment or from .env.
listen: 127.0.0.1:4020
database: sqlite:${testnet ? 'coinslot-test' : 'coinslot'}.db

# The API behind the gateway. These headers replace what the caller sent.
upstreams:
  models:
    url: https://api.openai.com
    headers:
      authorization: "Bearer ${envReference('OPENAI_API_KEY')}"

# How callers can pay. A rail left out is off.
payments:
  free: { callsPerDay: 10, per: ip, perDayTotal: $20 }
  prepaid: {}                              # API keys: coinslot keys create
  x402:
    payTo:
      eip155: "${envReference('PAY_TO')}"                  # your address
    networks:
${network}

# The price list. What is not listed is 404.
routes:
  GET /v1/models:
    upstream: models
    price: free
  POST /v1/chat/completions:
    upstream: models
    price: $0.01
    description: One chat completion
`;
}

function envText(testnet: boolean): string {
  const settlement = testnet
    ? ''
    : `
# Private key (0x and 64 hex digits) that sends settlements and pays their gas. Use a key of its own.
SETTLEMENT_KEY=
`;
  return `# Copy to .env beside coinslot.yaml and fill in. Keep .env out of version control.

# Key of the API behind the gateway.
OPENAI_API_KEY=

# Address (0x and 40 hex digits) that receives the payments.
PAY_TO=
${settlement}`;
}
