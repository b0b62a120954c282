import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { type Command, type CommanderError, Option } from 'commander';
import {
  PayError,
  type PaymentEvent,
  payFetch,
  privateKeyWallet,
  type Wallet,
} from '../client/index.ts';
import { formatUsd, parseUsd } from '../core/money.ts';
import { USDC } from '../rails/x402/protocol.ts';
import { CommandFailed } from './command-failed.ts';
import { EXIT } from './exit-codes.ts';
import { usdOption, withJson } from './options.ts';
import {
  PAY_EXIT_HELP,
  type PayResult,
  payLines,
  resultOfAnswer,
  resultOfError,
  withBrokenAnswer,
} from './pay-result.ts';
import { keyBalance, type PayerBalance, walletBalance } from './payer-balance.ts';
import {
  causeOf,
  type RequestArguments,
  type RequestFlags,
  readRequestArguments,
  unreachable,
  withRequestOptions,
} from './request-arguments.ts';

interface PayFlags extends RequestFlags {
  readonly max: bigint;
  readonly perDay?: bigint;
  readonly walletKey: string;
  readonly apiKey?: string;
  readonly rpc?: string;
  readonly journal?: string;
  readonly json?: boolean;
}

const DEFAULT_MAX = parseUsd('$0.01');

/** Adds `coinslot pay`: one request, paid if it has a price. */
export function registerPay(program: Command): void {
  const command = program
    .command('pay')
    .description('send a request and pay for it if it has a price: a curl that pays')
    .argument('<target...>', '[METHOD] URL');
  withRequestOptions(command)
    .addOption(
      new Option('--max <usd>', "the most to pay, such as '$0.01'")
        .argParser(usdOption)
        .default(DEFAULT_MAX, formatUsd(DEFAULT_MAX)),
    )
    .option('--per-day <usd>', 'the most to pay in one UTC day; counts in --journal', usdOption)
    .option(
      '--wallet-key <name>',
      "environment variable with the wallet's private key",
      'WALLET_KEY',
    )
    .option('--api-key <key>', 'prepaid key; default: the environment variable COINSLOT_API_KEY')
    .option('--rpc <url>', 'node that is asked for the balance of the wallet afterwards')
    .option('--journal <file>', 'remembers what was paid, for --per-day and repeated commands')
    .addHelpText('after', PAY_EXIT_HELP);
  withJson(command).action(pay);
  exitWithFailedOnUsage(command);
}

/** In this command 2 says that the price is too high, so wrong usage must end with 1. */
function exitWithFailedOnUsage(command: Command): void {
  command
    .showHelpAfterError(false)
    .configureOutput({ outputError: () => {} })
    .exitOverride((error: CommanderError) => {
      if (error.exitCode === 0) throw error;
      const message = error.message.replace(/^error: /, '');
      throw new CommandFailed('usage', message, 'See coinslot pay --help.', EXIT.failed);
    });
}

async function pay(words: readonly string[], flags: PayFlags): Promise<void> {
  const request = await readRequestArguments(words, flags, EXIT.failed);
  const wallet = readWallet(flags.walletKey);
  const apiKey = flags.apiKey ?? (process.env.COINSLOT_API_KEY || undefined);
  const events: PaymentEvent[] = [];
  const fetch402 = payFetch(fetch, {
    wallet,
    apiKey,
    budget: {
      perCall: formatUsd(flags.max),
      ...(flags.perDay === undefined ? {} : { perDay: formatUsd(flags.perDay) }),
    },
    journal: flags.journal,
    onPayment: (event) => events.push(event),
  });
  const response = await send(fetch402, request);
  if (response instanceof PayError) return finish(flags, resultOfError(response), null);

  const answer = flags.json ? await readAnswer(response) : await printAnswer(response);
  const payer = { hasWallet: wallet !== undefined, hasKey: apiKey !== undefined };
  const judged = resultOfAnswer(response, events.at(-1) ?? null, payer);
  const result = answer.brokeOff === null ? judged : withBrokenAnswer(judged, answer.brokeOff);
  const balance = await balanceOf(flags, request, result, wallet, apiKey);
  finish(flags, result, balance, answer.body);
}

function readWallet(name: string): Wallet | undefined {
  // A key on the command line would stand in the process list and the shell's history.
  if (!/^[A-Za-z_][A-Za-z0-9_]*$/.test(name))
    throw new CommandFailed(
      'usage',
      '--wallet-key takes the name of an environment variable, not the key itself.',
      'export WALLET_KEY=0x…, then leave --wallet-key out.',
      EXIT.failed,
    );
  const key = process.env[name];
  return key === undefined || key === '' ? undefined : privateKeyWallet(key);
}

async function send(
  fetch402: typeof fetch,
  { method, url, headers, body }: RequestArguments,
): Promise<Response | PayError> {
  try {
    return await fetch402(url, { method, headers, body });
  } catch (error) {
    if (error instanceof PayError) return error;
    throw unreachable(url, error);
  }
}

interface ReadAnswer {
  /** The whole body, where it is part of the result. */
  readonly body?: unknown;
  /** Why the answer ended early. */
  readonly brokeOff: string | null;
}

async function printAnswer(response: Response): Promise<ReadAnswer> {
  if (response.body === null) return { brokeOff: null };
  try {
    const body = Readable.fromWeb(response.body);
    await pipeline(body, endingTheLine, process.stdout, { end: false });
    return { brokeOff: null };
  } catch (error) {
    // The reader of our output went away (`| head`): that is no failure.
    const isOurs = (error as NodeJS.ErrnoException).code === 'EPIPE';
    return { brokeOff: isOurs ? null : causeOf(error) };
  }
}

/** The body stays as it is; the lines about the payment, on stderr, still begin on a line of their own. */
async function* endingTheLine(body: AsyncIterable<Uint8Array>): AsyncIterable<Uint8Array> {
  let last: number | undefined;
  for await (const chunk of body) {
    last = chunk.at(-1) ?? last;
    yield chunk;
  }
  if (last !== undefined && last !== 0x0a) process.stderr.write('\n');
}

async function readAnswer(response: Response): Promise<ReadAnswer> {
  try {
    const text = await response.text();
    const isJson = /json/i.test(response.headers.get('content-type') ?? '');
    return { body: isJson ? parseOr(text) : text, brokeOff: null };
  } catch (error) {
    return { brokeOff: causeOf(error) };
  }
}

function parseOr(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

async function balanceOf(
  { rpc }: PayFlags,
  { url }: RequestArguments,
  result: PayResult,
  wallet: Wallet | undefined,
  apiKey: string | undefined,
): Promise<PayerBalance | null> {
  if (result.rail === 'prepaid' && apiKey !== undefined) return await keyBalance(url, apiKey);
  const token = USDC.get(result.network ?? '');
  if (rpc === undefined || wallet === undefined || token === undefined) return null;
  return await walletBalance(rpc, token.asset, wallet.address);
}

function finish(
  { json }: PayFlags,
  { exitCode, ...result }: PayResult,
  balance: PayerBalance | null,
  body?: unknown,
): void {
  process.exitCode = exitCode;
  const lines = payLines({ exitCode, ...result }, balance);
  if (lines.length > 0) process.stderr.write(`${lines.join('\n')}\n`);
  if (!json) return;
  const { status, cost, currency, rail, network, transaction, paymentId, ...rest } = result;
  const first = { status, cost, currency, rail, network, transaction, paymentId };
  const shown = {
    ...first,
    balance: balance?.balance ?? null,
    ...rest,
    ...(body === undefined ? {} : { body }),
  };
  process.stdout.write(`${JSON.stringify(shown)}\n`);
}
