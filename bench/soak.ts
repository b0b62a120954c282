/**
 * `npm run soak [-- --minutes N] [-- --pace N]`: free, prepaid and x402 requests at a fixed pace against a
 * gateway on the devnet, for a long time. Watches memory and latency; ends with the ledger's audit and
 * a look at the chain. Exits 1 when anything was not as it must be.
 */

import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { systemClock } from '../src/core/clock.ts';
import { type EvmDevnet, startEvmDevnet } from '../src/devnet/start-evm-devnet.ts';
import { openLedger } from '../src/ledger/open-ledger.ts';
import { decodePaymentRequired, type Requirements } from '../src/rails/x402/protocol.ts';
import { type PacedRequest, runPacedLoad } from './load/paced-load.ts';
import { PaymentSigner } from './sign-payments.ts';
import { openStage, type Stage } from './stage.ts';
import { type ServerProcess, startProcess } from './start-process.ts';

/** Of 100 requests, this many are of each kind, mixed evenly. */
const MIX = [
  { kind: 'prepaid', share: 60 },
  { kind: 'free', share: 35 },
  { kind: 'x402', share: 5 },
] as const;
type Kind = (typeof MIX)[number]['kind'];

const WINDOW_SECONDS = 10;
const CONNECTIONS = 32;
const ROUTES = { prepaid: '/prepaid', free: '/free', x402: '/x402' } as const;
const X402_ATOMS = 1_000n;
const BODY = JSON.stringify({ text: 'It was a dark and stormy night.' });
/** Memory may grow by this much after the first minute: room for V8 and the page cache. A leak grows without end. */
const GROWTH_MAX_MB = 150;

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '10' },
    pace: { type: 'string', default: '200' },
  },
});
const perSecond = Number(values.pace);
const windows = Math.max(1, Math.round((Number(values.minutes) * 60) / WINDOW_SECONDS));
const problems: string[] = [];

const devnet = await startEvmDevnet({ chainId: 84532, blockTimeSeconds: 3 });
let isOver = false;
void devnet.ended.then(() => {
  if (isOver) return;
  console.error('problem: the devnet ended by itself');
  process.exit(1);
});
const stage = await openStage();
const database = `sqlite:${join(stage.folder, 'soak.db')}`;
const payee = accountOf(devnet, 11);
const gateway = await startGateway(devnet, stage, database, payee.address);
const paidBefore = await devnet.usdcBalance(payee.address);
const sent = await soak(gateway);
await gateway.close();
await checkEnd(sent);
await stage.close();
isOver = true;
await devnet.close();
for (const problem of problems) console.error(`problem: ${problem}`);
console.log(problems.length === 0 ? 'soak: all well' : `soak: ${problems.length} problems`);
process.exit(problems.length === 0 ? 0 : 1);

function accountOf(chain: EvmDevnet, index: number) {
  const account = chain.accounts[index];
  if (account === undefined) throw new Error('the devnet has too few accounts');
  return account;
}

function startGateway(
  chain: EvmDevnet,
  { upstream }: Stage,
  url: string,
  payTo: string,
): Promise<ServerProcess> {
  const most = 1_000_000_000;
  const config = {
    database: url,
    mode: 'test',
    upstreams: { api: { url: upstream.url } },
    payments: {
      prepaid: {},
      x402: {
        payTo: { eip155: payTo },
        networks: {
          [chain.network]: { rpc: chain.rpcUrl, settleWith: '${SETTLEMENT_KEY}', pollMs: 20 },
        },
      },
    },
    routes: {
      [`POST ${ROUTES.prepaid}`]: { upstream: 'api', price: '$0.006' },
      [`POST ${ROUTES.free}`]: { upstream: 'api', price: 'free' },
      [`POST ${ROUTES.x402}`]: { upstream: 'api', price: '$0.001' },
    },
    limits: { requestsPerMinute: { ip: most, key: most, wallet: most } },
  };
  const env = { SETTLEMENT_KEY: accountOf(chain, 0).privateKey };
  return startProcess('gateway.ts', { config, env });
}

/** How many of each kind were sent. */
async function soak(server: ServerProcess): Promise<Readonly<Record<Kind, number>>> {
  const counts = { prepaid: 0, free: 0, x402: 0 };
  const signer = new PaymentSigner(devnet.accounts.slice(1, 11));
  const { apiKey = '' } = server.details;
  let firstRssMb = 0;
  let at = 0;
  console.log(`${perSecond} requests/s: ${MIX.map((m) => `${m.share} % ${m.kind}`).join(', ')}\n`);
  console.log('  time  requests  p50 ms  p99 ms  RSS MB  CPU ms per 1,000');
  for (let window = 1; window <= windows; window++) {
    const offer = await freshOffer(server.url);
    const before = await server.usage();
    const next = (): PacedRequest => {
      const kind = kindOf(at++);
      counts[kind] += 1;
      return requestOf(kind, apiKey, () => signer.header(offer));
    };
    const result = await runPacedLoad({
      ...{ url: server.url, connections: CONNECTIONS, perSecond, seconds: WINDOW_SECONDS },
      ...{ expectedStatus: 200, next },
    });
    const after = await server.usage();
    const rssMb = after.rssBytes / 1e6;
    if (window * WINDOW_SECONDS === 60) firstRssMb = rssMb;
    if (firstRssMb > 0 && rssMb > firstRssMb + GROWTH_MAX_MB)
      problems.push(`memory grew from ${firstRssMb.toFixed(0)} to ${rssMb.toFixed(0)} MB`);
    problems.push(...result.unexpected.slice(0, 5));
    const cpuMs = ((after.cpuMs - before.cpuMs) * 1000) / result.requests;
    console.log(
      `${`${window * WINDOW_SECONDS}s`.padStart(6)} ${String(result.requests).padStart(9)} ` +
        `${result.p50Ms.toFixed(2).padStart(7)} ${result.p99Ms.toFixed(2).padStart(7)} ` +
        `${rssMb.toFixed(0).padStart(7)} ${cpuMs.toFixed(0).padStart(17)}`,
    );
    if (problems.length > 20) break;
  }
  return counts;
}

/** The same mix in every hundred: x402 and free spread among prepaid. */
function kindOf(at: number): Kind {
  const place = (at * 37) % 100;
  let until = 0;
  for (const { kind, share } of MIX) {
    until += share;
    if (place < until) return kind;
  }
  return 'prepaid';
}

function requestOf(kind: Kind, apiKey: string, sign: () => string): PacedRequest {
  const headers: Record<string, string> =
    kind === 'prepaid'
      ? { 'X-API-Key': apiKey }
      : kind === 'x402'
        ? { 'PAYMENT-SIGNATURE': sign() }
        : {};
  return { path: ROUTES[kind], body: BODY, headers };
}

async function freshOffer(url: string): Promise<Requirements> {
  const response = await fetch(url + ROUTES.x402, { method: 'POST', body: BODY });
  await response.arrayBuffer();
  const [offer] = decodePaymentRequired(response.headers.get('payment-required') ?? '').accepts;
  if (offer === undefined) throw new Error(`an unpaid request got ${response.status}`);
  return offer;
}

/** Ledger against itself, ledger against what was sent, and chain against ledger. */
async function checkEnd(counts: Readonly<Record<Kind, number>>): Promise<void> {
  const ledger = await openLedger({
    url: database,
    clock: systemClock,
    exclusive: true,
    onFatal: (error) => problems.push(error.message),
  });
  const differences = await ledger.audit();
  const payments = await ledger.listPayments({ limit: 1_000_000 });
  await ledger.close();
  for (const { kind, subject, expected, found } of differences)
    problems.push(`audit: ${kind} of ${subject} is ${found}, expected ${expected}`);
  const settled = (rail: Kind): number =>
    payments.filter((one) => one.rail === rail && one.state === 'settled').length;
  const received = (await devnet.usdcBalance(payee.address)) - paidBefore;
  console.log(
    `\nsent ${JSON.stringify(counts)}; settled ${settled('prepaid')} prepaid and ${settled('x402')} x402; ` +
      `${received} USDC atoms on the chain; audit: ${differences.length} differences`,
  );
  const open = payments.filter((one) => one.state !== 'settled');
  if (open.length > 0) problems.push(`${open.length} payments are not settled: ${open[0]?.state}`);
  if (received !== BigInt(settled('x402')) * X402_ATOMS)
    problems.push(`${received} atoms came for ${settled('x402')} settled payments`);
}
