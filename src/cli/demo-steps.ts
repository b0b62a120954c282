/** The steps of the demo: each does one thing, then proves from chain and ledger that it happened. */

import { randomBytes } from 'node:crypto';
import { payFetch, privateKeyWallet } from '../client/index.ts';
import { formatUsd, parseUsd } from '../core/money.ts';
import { newApiKey } from '../rails/prepaid/protocol.ts';
import type { DemoStage } from './demo-stage.ts';

export interface DemoStep {
  readonly title: string;
  /** Lines to print; throws when something is not as it must be. */
  run(stage: DemoStage): Promise<string[]>;
}

const TEXT = 'Coins went into slots. Then they went into HTTP.';
const PRICE = parseUsd('$0.006');

export const demoSteps: readonly DemoStep[] = [
  { title: 'Ten free calls a day, without key or wallet', run: freeCalls },
  { title: 'The eleventh is a 402 with every way to pay', run: paymentRequired },
  { title: 'A wallet pays it: signed, served, settled on the chain', run: walletPays },
  { title: 'A prepaid key pays from its balance', run: keyPays },
  { title: 'A failing upstream costs nothing', run: failureIsFree },
  { title: 'The ledger is right, and it equals the chain', run: ledgerEqualsChain },
];

async function freeCalls(stage: DemoStage): Promise<string[]> {
  const lines: string[] = [];
  for (let left = 9; left >= 0; left--) {
    const response = await summarize(stage, fetch);
    const remaining = response.headers.get('x-free-calls-remaining');
    check(response.status === 200, `free call answered ${response.status}`);
    check(
      remaining === String(left),
      `expected ${left} free calls left, the gateway says ${remaining}`,
    );
    if (left === 9) lines.push(`POST /summarize → 200 ${await response.text()}`);
    else await response.body?.cancel();
  }
  check(stage.upstream.calls.get('/summarize') === 10, 'the upstream did not see ten calls');
  return [...lines, 'nine more → X-Free-Calls-Remaining: 0'];
}

async function paymentRequired(stage: DemoStage): Promise<string[]> {
  const response = await summarize(stage, fetch);
  const body = (await response.json()) as {
    error: string;
    unlock: string;
    accepts: { maxAmountRequired: string }[];
  };
  check(response.status === 402, `expected 402, got ${response.status}`);
  check(response.headers.has('payment-required'), 'PAYMENT-REQUIRED is missing');
  check(body.accepts[0]?.maxAmountRequired === String(PRICE), 'the offer is not the price');
  return [`POST /summarize → 402 ${body.error}`, body.unlock];
}

async function walletPays(stage: DemoStage): Promise<string[]> {
  const before = await balances(stage);
  const paying = payFetch(fetch, {
    wallet: privateKeyWallet(stage.payer.privateKey),
    budget: { perCall: '$0.01' },
  });
  const response = await summarize(stage, paying);
  const answer = await response.text();
  check(response.status === 200, `expected 200, got ${response.status}: ${answer}`);
  const after = await balances(stage);
  check(before.payer - after.payer === PRICE, 'the wallet did not pay exactly the price');
  check(after.payTo - before.payTo === PRICE, 'the price did not arrive');
  const id = response.headers.get('x-payment-id') ?? '';
  const payment = await stage.ledger.findPayment(id);
  check(payment?.state === 'settled', `the ledger says ${payment?.state}`);
  const receipt = await stage.chain.rpc('eth_getTransactionReceipt', [payment?.transaction]);
  check(
    (receipt as { status?: string } | null)?.status === '0x1',
    'the transaction is not on the chain',
  );
  return [
    `POST /summarize → 200 ${answer}`,
    `payment ${id}, cost ${formatUsd(PRICE)}`,
    `transaction ${payment?.transaction}`,
    `wallet ${formatUsd(before.payer)} → ${formatUsd(after.payer)} USDC, received ${formatUsd(after.payTo - before.payTo)}`,
  ];
}

async function keyPays(stage: DemoStage): Promise<string[]> {
  const { id, key, prefix, secretHash } = newApiKey('live', randomBytes);
  await stage.ledger.createKey({
    ...{ id, prefix, secretHash, mode: 'live', perDay: null, routes: null, name: 'demo' },
    topUp: parseUsd('$1'),
    nowMs: Date.now(),
  });
  const response = await summarize(stage, fetch, { 'x-api-key': key });
  check(
    response.status === 200,
    `expected 200, got ${response.status}: ${await response.clone().text()}`,
  );
  const left = (await stage.ledger.findKey(id))?.balance;
  check(left === parseUsd('$1') - PRICE, `the balance is ${left}`);
  const lines = [`key ${key} with $1`, `POST /summarize → 200 ${await response.text()}`];
  return [...lines, `balance $1 → ${formatUsd(left ?? 0n)}`];
}

async function failureIsFree(stage: DemoStage): Promise<string[]> {
  const before = await balances(stage);
  const paying = payFetch(fetch, {
    wallet: privateKeyWallet(stage.payer.privateKey),
    budget: { perCall: '$0.01' },
  });
  // The last free call was used above, so this one is signed for; the upstream then fails.
  const response = await paying(`${stage.url}/broken`, { method: 'POST', body: '{}' });
  await response.body?.cancel();
  const after = await balances(stage);
  check(response.status === 500, `expected the upstream's 500, got ${response.status}`);
  check(response.headers.get('x-payment-state') === 'released', 'the hold was not released');
  check(before.payer === after.payer && before.payTo === after.payTo, 'money moved');
  return [
    'POST /broken → 500, X-Payment-State: released',
    `wallet stays at ${formatUsd(after.payer)}`,
  ];
}

async function ledgerEqualsChain(stage: DemoStage): Promise<string[]> {
  const differences = await stage.ledger.audit();
  check(differences.length === 0, `the audit found ${JSON.stringify(differences)}`);
  const settled = await stage.ledger.listPayments({ limit: 1000, rail: 'x402', state: 'settled' });
  const ledger = settled.reduce((sum, payment) => sum + payment.amount, 0n);
  const chain = (await balances(stage)).payTo - USDC_AT_START;
  check(ledger === chain, `ledger ${ledger}, chain ${chain}`);
  const open = await stage.ledger.listPayments({ limit: 1000, state: 'running' });
  check(open.length === 0, `${open.length} holds are open`);
  return [
    'audit: no difference, no hold open',
    `ledger ${formatUsd(ledger)} = chain ${formatUsd(chain)}`,
  ];
}

/** Each account of the devnet starts with 10,000 USDC. */
const USDC_AT_START = 10_000_000_000n;

async function balances(stage: DemoStage): Promise<{ payer: bigint; payTo: bigint }> {
  const [payer, payTo] = await Promise.all([
    stage.chain.usdcBalance(stage.payer.address),
    stage.chain.usdcBalance(stage.payTo),
  ]);
  return { payer, payTo };
}

async function summarize(
  stage: DemoStage,
  call: typeof fetch,
  headers: Record<string, string> = {},
): Promise<Response> {
  return await call(`${stage.url}/summarize`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: JSON.stringify({ text: TEXT }),
  });
}

function check(truth: boolean, otherwise: string): asserts truth {
  if (!truth) throw new Error(otherwise);
}
