/**
 * A thousand random calls of a metered route, and what each must cost, worked out a second time from what the model
 * says it wrote: by arithmetic of its own, rounded up once. The books must agree with the sum, to the atom.
 */

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type IncomingMessage, request } from 'node:http';
import { test } from 'node:test';
import fc from 'fast-check';
import { countTokens } from 'gpt-tokenizer/encoding/o200k_base';
import { parseUsd } from '../../src/core/money.ts';
import type { Receipt } from '../../src/core/receipt.ts';
import { inputTokensOf, writtenFor } from '../support/model-answers.ts';
import type { Conduct } from '../support/model-conduct.ts';
import { type MeteredStage, meteredStage } from './metered-stage.ts';

const RUNS = 1_000;
const AT_ONCE = 16;
/** Billionths of a dollar for a token. */
const NANO: Readonly<Record<string, readonly [input: bigint, output: bigint]>> = {
  'gpt-4o-mini': [150n, 600n],
  'gpt-4o': [2_500n, 10_000n],
  other: [7n, 13n],
};
const MIN_NANO = 3_000n;
const MAX_NANO = 4_000_000n;

const price = (model: string): object => {
  const [input = 0n, output = 0n] = NANO[model] ?? [];
  return {
    per: { inputToken: `$${input}/1000M`, outputToken: `$${output}/1000M` },
    ...{ min: '$0.000003', max: '$0.004' },
  };
};

interface Call {
  readonly model: string;
  readonly streams: boolean;
  readonly words: number;
  readonly maxTokens: number | null;
  readonly n: number;
  readonly usage: 'stated' | 'none' | 'twice';
  readonly prompt: string;
  /** Leaves when that many bytes of a stream have come. */
  readonly leavesAfter: number | null;
  readonly breaksAfter: number | null;
}

function oneIn<T>(times: number, value: fc.Arbitrary<T>): fc.Arbitrary<T | null> {
  const nothing = { weight: times - 1, arbitrary: fc.constant(null) };
  return fc.oneof(nothing, { weight: 1, arbitrary: value });
}

const calls = fc.record<Call>({
  model: fc.constantFrom('gpt-4o-mini', 'gpt-4o', 'some-model'),
  streams: fc.boolean(),
  words: fc.nat(60),
  maxTokens: oneIn(2, fc.integer({ min: 1, max: 120 })),
  n: fc.constantFrom(1, 1, 1, 2, 5),
  usage: fc.constantFrom('stated', 'stated', 'none', 'twice'),
  prompt: fc.string({ minLength: 1, maxLength: 60 }),
  leavesAfter: oneIn(5, fc.integer({ min: 1, max: 9_000 })),
  breaksAfter: oneIn(8, fc.nat(20)),
});

interface Outcome {
  readonly call: Call;
  readonly receipt: Receipt;
  /** What the client got. */
  readonly text: string;
  readonly isWhole: boolean;
}

function bodyOf({ model, streams, maxTokens, n, prompt }: Call): Record<string, unknown> {
  return {
    ...{ model, n, messages: [{ role: 'user', content: prompt }] },
    ...(streams ? { stream: true } : {}),
    ...(maxTokens === null ? {} : { max_tokens: maxTokens }),
  };
}

async function run(s: MeteredStage, call: Call): Promise<Outcome> {
  const { words, usage, breaksAfter, streams, leavesAfter } = call;
  const conduct: Conduct = {
    words,
    ...(usage === 'stated' ? {} : { usage }),
    ...(breaksAfter === null ? {} : { cutAfterEvents: breaksAfter }),
  };
  const sent = request(`${s.gateway.url}/v1/chat/completions`, {
    method: 'POST',
    headers: {
      ...{ 'content-type': 'application/json', 'x-api-key': s.key },
      'x-test-conduct': JSON.stringify(conduct),
    },
  });
  sent.on('error', () => {}).end(JSON.stringify(bodyOf(call)));
  const [response] = (await once(sent, 'response')) as [IncomingMessage];
  const chunks: Buffer[] = [];
  let bytes = 0;
  response
    .on('error', () => {})
    .on('data', (chunk: Buffer) => {
      chunks.push(chunk);
      bytes += chunk.length;
      if (streams && leavesAfter !== null && bytes >= leavesAfter) sent.destroy();
    });
  await new Promise((resolve) => response.on('close', resolve));
  const id = String(response.headers['x-payment-id']);
  const text = Buffer.concat(chunks).toString();
  let receipt = await s.receipt(id);
  while (receipt.state === 'running') receipt = await s.receipt(id);
  return { call, receipt, text, isWhole: response.complete };
}

/** Atoms for these tokens: min and max, then rounded up, once. */
function atomsFor(model: string, input: number, output: number): bigint {
  const [inputNano = 0n, outputNano = 0n] = NANO[model] ?? NANO.other ?? [];
  let nano = BigInt(input) * inputNano + BigInt(output) * outputNano;
  if (nano < MIN_NANO) nano = MIN_NANO;
  if (nano > MAX_NANO) nano = MAX_NANO;
  return (nano + 999n) / 1_000n;
}

/** The text that reached the client, of all choices. */
function textIn({ text, call }: Outcome): string {
  if (!call.streams) {
    const { choices = [] } = JSON.parse(text) as { choices?: { message: { content: string } }[] };
    return choices.map(({ message }) => message.content).join('');
  }
  const deltas = text.matchAll(/"delta":\{[^}]*"content":"([^"]*)"/g);
  return [...deltas].map(([, content]) => content).join('');
}

/** What the call must have cost; a range where the client cannot know what passed behind it. */
function mustCost(outcome: Outcome): readonly [least: bigint, most: bigint] {
  const { call, receipt, isWhole } = outcome;
  const limit = call.maxTokens ?? 4_096;
  const body = { ...bodyOf(call), max_tokens: limit };
  const written = writtenFor(body, { words: call.words }, limit);
  const input = inputTokensOf(body);
  const stated = atomsFor(call.model, input, written.outputTokens * call.n);
  const counts = Object.fromEntries(receipt.usage.map(({ unit, count }) => [unit, count]));
  const counted = counts.inputTokens ?? 0;
  // The model has said 1 and 1 and could not correct itself.
  if (!isWhole && call.usage === 'twice' && counted === 1) {
    const low = atomsFor(call.model, 1, 1);
    return [low, low];
  }
  if (isWhole && call.usage !== 'none') return [stated, stated];
  // The input is counted by the gateway; it is near what the tokenizer says.
  assert.ok(Math.abs(counted - countTokens(call.prompt)) <= 20, `${counted} input tokens`);
  const bound = limit * call.n;
  const got = atomsFor(call.model, counted, Math.min(bound, countTokens(textIn(outcome))));
  if (isWhole) return [got, got];
  // More may have passed the gateway than reached a client that left: at most all of it.
  const all = written.pieces.join('').repeat(call.n);
  const most = atomsFor(call.model, counted, Math.min(bound, countTokens(all) + call.n));
  return [got < stated ? got : stated, most > stated ? most : stated];
}

test('a thousand random calls cost what an oracle says, and the books agree with their sum', async (t) => {
  const s = await meteredStage(t, {
    routes: {
      'POST /v1/chat/completions': {
        upstream: 'models',
        onBreak: 'capture-measured',
        price: {
          by: {
            model: {
              'gpt-4o-mini': price('gpt-4o-mini'),
              'gpt-4o': price('gpt-4o'),
              '*': price('other'),
            },
          },
        } as never,
      },
    },
    limits: { requestsPerMinute: { ip: 1e9, key: 1e9 }, failuresPerMinute: 1e9 },
  });
  const seed = Date.now() & 0x7fff_ffff;
  const waiting = fc.sample(calls, { numRuns: RUNS, seed });
  const outcomes: Outcome[] = [];
  const worker = async (): Promise<void> => {
    for (let call = waiting.pop(); call; call = waiting.pop()) outcomes.push(await run(s, call));
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));

  let sum = 0n;
  const seen = { exact: 0, between: 0, released: 0 };
  for (const outcome of outcomes) {
    const { call, receipt } = outcome;
    const cost = parseUsd(`$${receipt.cost}`);
    const told = `seed ${seed}: ${JSON.stringify({ call, receipt })}`;
    sum += cost;
    assert.ok(cost <= parseUsd(`$${receipt.quote.max}`), told);
    if (receipt.state === 'released') {
      assert.equal(cost, 0n, told);
      // Nothing but an answer that broke off before it began, or that could not be given whole, is free.
      assert.ok(call.breaksAfter !== null, told);
      seen.released++;
      continue;
    }
    const [least, most] = mustCost(outcome);
    assert.ok(cost >= least && cost <= most, `${least} to ${most}, ${told}`);
    seen[least === most ? 'exact' : 'between']++;
  }
  assert.ok(seen.exact > RUNS / 2, JSON.stringify(seen));
  assert.ok(seen.between > 20 && seen.released > 5, JSON.stringify(seen));

  assert.equal(parseUsd('$10') - (await s.balance()), sum);
  const balances = await s.gateway.ledger.balances();
  const revenue = balances.filter(({ account }) => account.startsWith('revenue'));
  assert.equal(
    revenue.reduce((all, { balance }) => all + balance, 0n),
    sum,
  );
  assert.deepEqual(await s.gateway.ledger.audit(), []);
  assert.equal((await s.gateway.ledger.listPayments({ limit: 1, state: 'running' })).length, 0);
  t.diagnostic(`${JSON.stringify(seen)}, ${sum} atoms`);
});
