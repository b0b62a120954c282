import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type TestContext, test } from 'node:test';
import { Overloaded, UpstreamFailed } from '../../src/core/errors.ts';
import { collectBody, isStream } from '../../src/core/exchange.ts';
import { silentLog } from '../../src/core/log.ts';
import type { Upstream, UpstreamAnswer, UpstreamRequest } from '../../src/core/ports/upstream.ts';
import { httpUpstream } from '../../src/upstreams/http.ts';
import { type Candidate, modelUpstream } from '../../src/upstreams/models.ts';

type Serve = (request: IncomingMessage, response: ServerResponse) => void;

interface Seen {
  readonly calls: Record<string, number>;
  readonly headers: IncomingMessage['headers'][];
  readonly bodies: string[];
}

interface Stage extends Seen {
  readonly upstream: Upstream;
  readonly clock: { ms: number };
}

async function stage(
  t: TestContext,
  serve: Readonly<Record<string, Serve>>,
  candidates: readonly Candidate[],
  concurrency = 8,
): Promise<Stage> {
  const seen: Seen = { calls: {}, headers: [], bodies: [] };
  const clock = { ms: 1_000_000 };
  const providers = [];
  for (const [name, answer] of Object.entries(serve)) {
    const server = createServer(async (request, response) => {
      seen.calls[name] = (seen.calls[name] ?? 0) + 1;
      seen.headers.push(request.headers);
      seen.bodies.push(Buffer.from((await collectBody(request, 1e6)) ?? []).toString());
      answer(request, response);
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    t.after(() => {
      server.closeAllConnections();
      server.close();
    });
    providers.push({
      name,
      concurrency,
      upstream: httpUpstream({
        url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
        headers: { authorization: `Bearer ${name}` },
        ...{ connections: 8, connectMs: 1_000, headMs: 400, idleMs: 1_000 },
      }),
    });
  }
  const upstream = modelUpstream({
    providers,
    candidatesOf: (model) => (model === 'fast' ? candidates : []),
    renameModel: (body, model) =>
      Buffer.from(Buffer.from(body).toString().replace('"fast"', `"${model}"`)),
    nowMs: () => clock.ms,
    log: silentLog,
  });
  t.after(() => upstream.close());
  return { ...seen, upstream, clock };
}

function requestFor(over: Partial<UpstreamRequest> = {}): UpstreamRequest {
  return {
    method: 'POST',
    path: '/v1/chat/completions',
    headers: ['content-type', 'application/json', 'x-payment-payer', 'key:1', 'x-a', '1'],
    body: Buffer.from('{"model":"fast"}'),
    model: 'fast',
    signal: new AbortController().signal,
    bufferBytes: 1_000,
    timeoutMs: 5_000,
    ...over,
  };
}

const ORDER: readonly Candidate[] = [
  { provider: 'one', model: 'a-1' },
  { provider: 'two', model: 'b-2' },
];

const good: Serve = (_request, response) => response.end('{"ok":true}');
const status =
  (code: number): Serve =>
  (_request, response) =>
    response.writeHead(code).end('{"error":"no"}');

async function textOf({ body }: UpstreamAnswer): Promise<string> {
  const whole = isStream(body) ? await collectBody(body, 1e6) : body;
  return Buffer.from(whole ?? []).toString();
}

for (const [how, serve] of [
  ['is rate limited', status(429)],
  ['has an error', status(503)],
  ["refuses the operator's key", status(401)],
  ['closes the connection', (request: IncomingMessage) => request.socket.destroy()],
  ['does not answer in time', () => {}],
] as const)
  test(`a provider that ${how} gives way to the next one, which is named as the one that ran`, async (t) => {
    const s = await stage(t, { one: serve, two: good }, ORDER);
    const answer = await s.upstream.send(requestFor());
    assert.equal(answer.status, 200);
    assert.deepEqual(answer.ran, { provider: 'two', model: 'b-2' });
    assert.deepEqual(s.calls, { one: 1, two: 1 });
    assert.deepEqual(s.bodies, ['{"model":"a-1"}', '{"model":"b-2"}']);
  });

test('a request that the model refuses is not tried elsewhere', async (t) => {
  const s = await stage(t, { one: status(400), two: good }, ORDER);
  assert.equal((await s.upstream.send(requestFor())).status, 400);
  assert.deepEqual(s.calls, { one: 1 });
});

test('providers learn neither who pays nor where the request came from', async (t) => {
  const s = await stage(t, { one: good }, ORDER);
  await s.upstream.send(requestFor());
  const [headers] = s.headers;
  assert.equal(headers?.['x-payment-payer'], undefined);
  assert.equal(headers?.['x-a'], '1');
  assert.equal(headers?.authorization, 'Bearer one');
});

test('when all give way, the last word is a status of the upstream, never its refusal of our key', async (t) => {
  const busy = await stage(t, { one: status(503), two: status(429) }, ORDER);
  assert.equal((await busy.upstream.send(requestFor())).status, 429);
  const locked = await stage(t, { one: status(503), two: status(401) }, ORDER);
  await assert.rejects(locked.upstream.send(requestFor()), UpstreamFailed);
});

test('a model that nobody serves fails without a call', async (t) => {
  const s = await stage(t, { one: good }, ORDER);
  await assert.rejects(s.upstream.send(requestFor({ model: 'other' })), UpstreamFailed);
  assert.deepEqual(s.calls, {});
});

test('a full provider gives way, and its place is free again once its stream has ended', async (t) => {
  const endings: (() => void)[] = [];
  const slow: Serve = (_request, response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' }).write('data: 1\n\n');
    endings.push(() => response.end());
  };
  const s = await stage(t, { one: slow }, ORDER.slice(0, 1), 1);
  const first = await s.upstream.send(requestFor());
  await assert.rejects(s.upstream.send(requestFor()), Overloaded);
  endings[0]?.();
  await textOf(first);
  const second = await s.upstream.send(requestFor());
  endings[1]?.();
  await textOf(second);
  assert.deepEqual(s.calls, { one: 2 });
});

test('a stream that is given up before its first byte was read gives its place back', async (t) => {
  const open: Serve = (_request, response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' }).write('data: 1\n\n');
  };
  const s = await stage(t, { one: open }, ORDER.slice(0, 1), 1);
  for (let i = 0; i < 3; i++) {
    const { body } = await s.upstream.send(requestFor());
    assert.ok(isStream(body));
    await body[Symbol.asyncIterator]().return?.();
  }
  assert.deepEqual(s.calls, { one: 3 });
});

test('after three failures in a row a provider rests, and is asked again when it has rested', async (t) => {
  const s = await stage(t, { one: status(500), two: good }, ORDER);
  for (let i = 0; i < 5; i++) await s.upstream.send(requestFor());
  assert.deepEqual(s.calls, { one: 3, two: 5 });
  s.clock.ms += 10_000;
  await s.upstream.send(requestFor());
  assert.deepEqual(s.calls, { one: 4, two: 6 });
});
