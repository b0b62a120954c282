import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type IncomingMessage, request, type ServerResponse } from 'node:http';
import { type TestContext, test } from 'node:test';
import { countTokens } from 'gpt-tokenizer/encoding/o200k_base';
import { parseUsd } from '../../src/core/money.ts';
import type { Receipt } from '../../src/core/receipt.ts';
import { type MeteredStage, meteredStage } from './metered-stage.ts';
import {
  CHAT_END,
  chatChunks,
  eventHead,
  type ScriptedModel,
  scriptedModel,
  usageChunk,
} from './scripted-model.ts';

const ASK = {
  ...{ model: 'gpt-4o-mini', stream: true, max_tokens: 400 },
  messages: [{ role: 'user', content: 'Say hello to the whole world, please.' }],
};
const TEXT = 'Hello to the whole wide world, and to everybody else who may be listening.';
const PATH = '/v1/chat/completions';
const PRICE = { per: { inputToken: '$1/1M', outputToken: '$10/1M' }, max: '$0.05' } as const;

type Script = Parameters<typeof scriptedModel>[1];

interface Attack {
  readonly s: MeteredStage;
  readonly model: ScriptedModel;
}

async function attack(t: TestContext, script: Script, route: object = {}): Promise<Attack> {
  const model = await scriptedModel(t, script);
  const s = await meteredStage(t, {
    upstreams: { models: { url: model.url } },
    routes: { [`POST ${PATH}`]: { upstream: 'models', price: PRICE, ...route } },
  });
  return { s, model };
}

/** A chat stream of these pieces, each a write of its own. */
const says =
  (...pieces: readonly (string | Buffer)[]): Script =>
  (response) => {
    eventHead(response);
    for (const piece of pieces) response.write(piece);
    response.end();
  };

/** The only payment of a stage as its receipt, once it has ended. */
async function ended({ gateway, receipt }: MeteredStage): Promise<Receipt> {
  const deadline = performance.now() + 5_000;
  while (performance.now() < deadline) {
    const [payment] = await gateway.ledger.listPayments({ limit: 1 });
    if (payment && payment.state !== 'running') return await receipt(payment.id);
  }
  throw new Error('the payment did not end');
}

function counts({ usage }: Receipt): Record<string, number> {
  return Object.fromEntries(usage.map(({ unit, count }) => [unit, count]));
}

/** What a whole stream of these pieces cost, and how its text looked. */
async function receiptFor(t: TestContext, script: Script, route = {}): Promise<Receipt> {
  const { s } = await attack(t, script, route);
  const response = await s.call(PATH, ASK);
  assert.equal(response.status, 200);
  await response.text().catch(() => '');
  const receipt = await ended(s);
  const cost = parseUsd(`$${receipt.cost}`);
  assert.equal(await s.balance(), parseUsd('$10') - cost);
  assert.ok(cost <= parseUsd(`$${receipt.quote.max}`));
  return receipt;
}

/** Asks, and leaves once it has read what matches. */
async function readThenLeave({ gateway, key }: MeteredStage, pattern: RegExp): Promise<void> {
  const sent = request(gateway.url + PATH, {
    ...{ method: 'POST', headers: { 'x-api-key': key, 'content-type': 'application/json' } },
  });
  sent.on('error', () => {}).end(JSON.stringify(ASK));
  const [response] = (await once(sent, 'response')) as [IncomingMessage];
  response.on('error', () => {}).setEncoding('utf8');
  let text = '';
  while (!pattern.test(text)) text += (await once(response, 'data'))[0];
  sent.destroy();
}

/** Says half, waits until the gate opens, then says the rest and states the usage of all. */
function gated(): { readonly script: Script; open(): void } {
  const gate = Promise.withResolvers<void>();
  const script = async (response: ServerResponse): Promise<void> => {
    eventHead(response);
    response.write(chatChunks(TEXT));
    await gate.promise;
    response.end(chatChunks(TEXT) + usageChunk(20, 77) + CHAT_END);
  };
  return { script, open: gate.resolve };
}

test('who leaves a metered stream pays for what had passed, by count', async (t) => {
  const { script } = gated();
  const { s, model } = await attack(t, script);
  await readThenLeave(s, /listening/);
  const receipt = await ended(s);
  await model.left;
  assert.equal(receipt.state, 'settled');
  const { inputTokens = 0, outputTokens } = counts(receipt);
  assert.equal(outputTokens, countTokens(TEXT));
  assert.ok(inputTokens >= countTokens(ASK.messages[0]?.content ?? '') && inputTokens < 40);
  const cost = BigInt(inputTokens + 10 * countTokens(TEXT));
  assert.equal(await s.balance(), parseUsd('$10') - cost);
});

test('with drain, who leaves a metered stream pays what the upstream states at its end', async (t) => {
  const { script, open } = gated();
  const { s } = await attack(t, script, { onAbort: 'drain' });
  await readThenLeave(s, /listening/);
  open();
  assert.deepEqual(counts(await ended(s)), { inputTokens: 20, outputTokens: 77 });
});

test('with release, who leaves a metered stream gets everything back', async (t) => {
  const { script } = gated();
  const { s, model } = await attack(t, script, { onAbort: 'release' });
  await readThenLeave(s, /listening/);
  await model.left;
  const { state, cost, reason } = await ended(s);
  assert.deepEqual([state, cost, reason], ['released', '0', 'client_gone']);
  assert.equal(await s.balance(), parseUsd('$10'));
});

for (const onAbort of ['capture-measured', 'drain'] as const)
  test(`who leaves before the first byte of a metered stream: ${onAbort}`, async (t) => {
    const gate = Promise.withResolvers<void>();
    const script = async (response: ServerResponse): Promise<void> => {
      await gate.promise;
      says(chatChunks(TEXT), usageChunk(20, 15), CHAT_END)(response, response.req);
    };
    const { s, model } = await attack(t, script, { onAbort });
    const leaving = new AbortController();
    const call = fetch(s.gateway.url + PATH, {
      ...{ method: 'POST', body: JSON.stringify(ASK), signal: leaving.signal },
      headers: { 'x-api-key': s.key, 'content-type': 'application/json' },
    });
    await model.asked;
    leaving.abort();
    await assert.rejects(call);
    if (onAbort === 'capture-measured') await model.left;
    gate.resolve();
    const { state, cost } = await ended(s);
    assert.deepEqual(
      [state, cost],
      onAbort === 'drain' ? ['settled', '0.00017'] : ['released', '0'],
    );
  });

for (const onBreak of ['capture-measured', 'release'] as const)
  test(`a metered stream that the upstream breaks off: ${onBreak}`, async (t) => {
    const receipt = await receiptFor(
      t,
      (response) => {
        eventHead(response);
        response.write(chatChunks(TEXT), () => setImmediate(() => response.destroy()));
      },
      { onBreak },
    );
    if (onBreak === 'release') assert.deepEqual([receipt.state, receipt.cost], ['released', '0']);
    else assert.equal(counts(receipt).outputTokens, countTokens(TEXT));
  });

test('text that comes after the usage is counted on top of it', async (t) => {
  const receipt = await receiptFor(
    t,
    says(chatChunks(TEXT), usageChunk(20, 15), chatChunks(TEXT), CHAT_END),
  );
  assert.deepEqual(counts(receipt), { inputTokens: 20, outputTokens: 15 + countTokens(TEXT) });
});

test('of usage that is stated twice the last counts, higher or lower', async (t) => {
  for (const [first, last] of [
    [1, 15],
    [300, 15],
  ]) {
    const script = says(chatChunks(TEXT), usageChunk(9, first), usageChunk(20, last), CHAT_END);
    assert.deepEqual(counts(await receiptFor(t, script)), { inputTokens: 20, outputTokens: 15 });
  }
});

test('usage that no count can be is as good as none', async (t) => {
  const none = (await receiptFor(t, says(chatChunks(TEXT), CHAT_END))).cost;
  assert.ok(Number(none) > 0);
  for (const wrong of [-1, 1.5, '7', '1e3', null, true, [3], { a: 1 }, 1e300, 9e15, 12_000])
    assert.equal(
      (await receiptFor(t, says(chatChunks(TEXT), usageChunk(wrong, wrong), CHAT_END))).cost,
      none,
      JSON.stringify(wrong),
    );
  for (const raw of ['NaN', '0', '-0', '1e999', '"', '{', '18446744073709551616']) {
    const chunk = `data: {"choices":[],"usage":{"prompt_tokens":${raw},"completion_tokens":${raw}}}\n\n`;
    const { cost } = await receiptFor(t, says(chatChunks(TEXT), chunk, CHAT_END));
    assert.equal(cost, none, raw);
  }
});

test('what is stated above its bound costs the bound and never more', async (t) => {
  const receipt = await receiptFor(t, says(chatChunks(TEXT), usageChunk(20, 401), CHAT_END));
  assert.deepEqual(counts(receipt), { inputTokens: 20, outputTokens: 400 });
});

for (const [name, conduct] of [
  ['CRLF', { lineEnd: '\r\n' }],
  ['CR', { lineEnd: '\r' }],
  ['single bytes', { pieceBytes: 1 }],
  ['CRLF in odd pieces', { lineEnd: '\r\n', pieceBytes: 7 }],
  ['gzip', { gzip: true }],
  ['gzip in odd pieces', { gzip: true, pieceBytes: 11 }],
] as const)
  test(`a stream in ${name} costs what it costs in plain`, async (t) => {
    const s = await meteredStage(t);
    const receipts: Receipt[] = [];
    for (const one of [{}, conduct]) {
      const response = await s.call(PATH, ASK, one);
      const text = await response.text();
      const isWhole = 'gzip' in one || /payment-receipt/.test(text);
      assert.ok(isWhole && text.includes('[DONE]'), text);
      receipts.push(await s.receipt(response.headers.get('x-payment-id') ?? ''));
    }
    assert.equal(receipts[1]?.cost, receipts[0]?.cost);
    assert.deepEqual(receipts[1]?.usage, receipts[0]?.usage);
  });

test('an upstream cannot speak of payments, neither in its head nor in its trailers', async (t) => {
  const lies = {
    ...{ 'x-payment-cost': '9', 'x-payment-id': 'pay_evil', 'x-payment-state': 'released' },
    ...{ 'payment-response': 'e30=', 'x-payment-response': 'e30=', 'payment-required': 'e30=' },
    ...{ 'settlement-overrides': '{"amount":"1"}', 'x-settlement-overrides': '{"amount":"1"}' },
  };
  const { s } = await attack(t, (response) => {
    eventHead(response, { ...lies, trailer: Object.keys(lies).join(', ') });
    response.write(chatChunks(TEXT) + usageChunk(20, 15) + CHAT_END);
    response.addTrailers(lies);
    response.end();
  });
  const sent = request(s.gateway.url + PATH, {
    ...{ method: 'POST', headers: { 'x-api-key': s.key, 'content-type': 'application/json' } },
  });
  sent.end(JSON.stringify(ASK));
  const [response] = (await once(sent, 'response')) as [IncomingMessage];
  await response.resume().once('end', () => {});
  await once(response, 'close');
  const { id, cost } = await ended(s);
  assert.equal(cost, '0.00017');
  assert.equal(response.headers['x-payment-id'], id);
  for (const name of Object.keys(lies).filter((one) => one !== 'x-payment-id'))
    assert.equal(response.headers[name], undefined, name);
  assert.deepEqual(
    { ...response.trailers },
    { 'x-payment-cost': cost, 'x-payment-state': 'settled' },
  );
});

test('a stream that ends within an event keeps its end as it is, and is paid for', async (t) => {
  for (const end of ['data: {"choices":[{"del', 'data: [DONE]\n', 'data: [DONE]']) {
    const { s } = await attack(t, says(chatChunks(TEXT), usageChunk(20, 15), end));
    const text = await (await s.call(PATH, ASK)).text();
    assert.ok(text.endsWith(end), text.slice(-80));
    assert.equal((await ended(s)).cost, '0.00017');
  }
});

test('an event stream of a stated length reaches the client whole, although an event is taken out and one is added', async (t) => {
  const body = chatChunks(TEXT) + usageChunk(20, 15) + CHAT_END;
  const { s } = await attack(t, (response) => {
    eventHead(response, { 'content-length': Buffer.byteLength(body) });
    response.end(body);
  });
  const response = await s.call(PATH, ASK);
  assert.equal(response.headers.get('content-length'), null);
  const text = await response.text();
  assert.match(text, /\[DONE\]\n\nevent: payment-receipt\n/);
  assert.doesNotMatch(text, /prompt_tokens/);
});
