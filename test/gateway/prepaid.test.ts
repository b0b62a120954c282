import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { type TestContext, test } from 'node:test';
import { parseUsd } from '../../src/core/money.ts';
import { newApiKey } from '../../src/rails/prepaid/protocol.ts';
import { startGateway, type TestConfig, type TestGateway } from '../support/start-gateway.ts';
import { startUpstream, type TestUpstream } from '../support/start-upstream.ts';

const PATHS = [
  ...['echo', 'status/:code', 'empty', 'large/:bytes', 'redirect', 'reset', 'half', 'hang', 'gate'],
  ...['sse', 'sse-gate', 'sse-half'],
];

function configFor(upstream: TestUpstream, over: Partial<TestConfig> = {}): TestConfig {
  const route = { upstream: 'api', price: '$0.01', timeout: '2s', free: false };
  return {
    upstreams: { api: { url: upstream.url, headers: { authorization: 'Bearer upstream-secret' } } },
    payments: { prepaid: {}, free: { callsPerDay: 10 } },
    routes: Object.fromEntries(PATHS.map((path) => [`* /${path}`, route])),
    ...over,
  };
}

async function stage(t: TestContext, over: Partial<TestConfig> = {}): Promise<Stage> {
  const upstream = await startUpstream(t);
  const gateway = await startGateway(t, configFor(upstream, over));
  return { upstream, gateway, key: await createKey(gateway) };
}
interface Stage {
  readonly upstream: TestUpstream;
  readonly gateway: TestGateway;
  readonly key: TestKey;
}
interface TestKey {
  readonly id: string;
  readonly key: string;
}

async function createKey(
  { ledger }: TestGateway,
  over: { topUp?: bigint; perDay?: bigint; routes?: string[] } = {},
): Promise<TestKey> {
  const { id, key, prefix, secretHash } = newApiKey('live', randomBytes);
  await ledger.createKey({
    ...{ id, prefix, secretHash, mode: 'live', name: null, nowMs: Date.now() },
    topUp: over.topUp ?? parseUsd('$1'),
    perDay: over.perDay ?? null,
    routes: over.routes ?? null,
  });
  return { id, key };
}

const balanceOf = async ({ gateway, key }: Stage): Promise<bigint | undefined> =>
  (await gateway.ledger.findKey(key.id))?.balance;

async function call(stage: Stage, path: string, init: RequestInit = {}): Promise<Response> {
  const headers = { 'x-api-key': stage.key.key, ...(init.headers as Record<string, string>) };
  return await fetch(stage.gateway.url + path, { ...init, headers });
}

test('a key pays exactly the price, and the answer carries id, cost and state', async (t) => {
  const s = await stage(t);
  const response = await call(s, '/echo?a=1', { method: 'POST', body: '{"x":1}' });
  assert.equal(response.status, 200);
  const seen = (await response.json()) as {
    url: string;
    body: string;
    headers: Record<string, string>;
  };
  assert.equal(seen.url, '/echo?a=1');
  assert.equal(seen.body, '{"x":1}');
  assert.equal(seen.headers.authorization, 'Bearer upstream-secret');
  assert.equal(seen.headers['x-api-key'], undefined, 'the key must not reach the upstream');
  assert.equal(response.headers.get('x-payment-cost'), '0.01');
  assert.equal(response.headers.get('x-payment-state'), 'settled');
  assert.equal(response.headers.get('cache-control'), 'private');
  assert.equal(await balanceOf(s), parseUsd('$0.99'));
  const id = response.headers.get('x-payment-id');
  const receipt = (await (await fetch(`${s.gateway.url}/_pay/payments/${id}`)).json()) as Record<
    string,
    unknown
  >;
  assert.equal(receipt.state, 'settled');
  assert.equal(receipt.cost, '0.01');
  assert.equal(receipt.route, '* /echo');
});

test('Authorization: Bearer works like x-api-key, and two different keys are a conflict', async (t) => {
  const s = await stage(t);
  const bearer = await fetch(`${s.gateway.url}/echo`, {
    headers: { authorization: `Bearer ${s.key.key}` },
  });
  assert.equal(bearer.status, 200);
  const placeholder = await call(s, '/echo', { headers: { authorization: 'Bearer unused' } });
  assert.equal(placeholder.status, 200);
  const conflict = await call(s, '/echo', {
    headers: { authorization: 'Bearer cs_live_other_key' },
  });
  assert.equal(conflict.status, 400);
  await bearer.body?.cancel();
});

test('an unknown key is 401, a placeholder key is 402, an empty balance is 402 with a top-up offer', async (t) => {
  const s = await stage(t);
  const unknown = await fetch(`${s.gateway.url}/echo`, {
    headers: { 'x-api-key': 'cs_live_nobody_knows' },
  });
  assert.equal(unknown.status, 401);
  assert.ok(unknown.headers.get('www-authenticate'));
  const wrongSecret = `${s.key.key.slice(0, -1)}${s.key.key.endsWith('1') ? '2' : '1'}`;
  assert.equal(
    (await fetch(`${s.gateway.url}/echo`, { headers: { 'x-api-key': wrongSecret } })).status,
    401,
  );
  for (const placeholder of ['x402', 'unused', 'none', '']) {
    const response = await fetch(`${s.gateway.url}/echo`, {
      headers: { authorization: `Bearer ${placeholder}` },
    });
    assert.equal(response.status, 402, placeholder);
  }
  const poor = await createKey(s.gateway, { topUp: parseUsd('$0.009') });
  const response = await fetch(`${s.gateway.url}/echo`, { headers: { 'x-api-key': poor.key } });
  assert.equal(response.status, 402);
  const body = (await response.json()) as Record<string, unknown>;
  assert.equal(body.code, 'insufficient_balance');
  assert.match(String(body.error), /\$0\.009 left.*\$0\.01/);
  assert.ok(body.topUp);
  assert.equal(s.upstream.calls('/echo'), 0);
});

test('an empty key is never given the free tier', async (t) => {
  const upstream = await startUpstream(t);
  const gateway = await startGateway(
    t,
    configFor(upstream, { routes: { 'GET /echo': { upstream: 'api', price: '$0.01' } } }),
  );
  const { key } = await createKey(gateway, { topUp: 0n });
  assert.equal((await fetch(`${gateway.url}/echo`, { headers: { 'x-api-key': key } })).status, 402);
  assert.equal((await fetch(`${gateway.url}/echo`)).status, 200);
});

for (const [path, status, reason] of [
  ['/status/500', 500, 'upstream_status_500'],
  ['/status/503', 503, 'upstream_status_503'],
  ['/status/408', 408, 'upstream_status_408'],
  ['/status/429', 429, 'upstream_status_429'],
  ['/status/404', 404, 'upstream_status_404'],
  ['/redirect', 302, 'upstream_status_302'],
  ['/empty', 200, 'upstream_empty'],
  ['/status/402', 502, 'upstream_failed'],
  ['/reset', 502, 'upstream_failed'],
  ['/half', 502, 'upstream_failed'],
  ['/hang', 504, 'upstream_timeout'],
] as const)
  test(`an upstream that does ${path} costs nothing and the answer says so`, async (t) => {
    const s = await stage(t);
    const response = await call(s, path, { redirect: 'manual' });
    assert.equal(response.status, status);
    assert.equal(response.headers.get('x-payment-state'), 'released');
    assert.equal(response.headers.get('x-payment-cost'), '0');
    const payment = await s.gateway.ledger.findPayment(response.headers.get('x-payment-id') ?? '');
    assert.equal(payment?.state, 'released');
    assert.equal(payment?.reason, reason);
    assert.equal(await balanceOf(s), parseUsd('$1'));
    await response.body?.cancel();
  });

test('a 404 that the route sells is charged', async (t) => {
  const route = { upstream: 'api', price: '$0.01', chargeOn: [404] };
  const s = await stage(t, { routes: { 'GET /status/:code': route } });
  assert.equal((await call(s, '/status/404')).headers.get('x-payment-state'), 'settled');
  assert.equal((await call(s, '/status/400')).headers.get('x-payment-state'), 'released');
  assert.equal(await balanceOf(s), parseUsd('$0.99'));
});

test('204 and HEAD have no body and are charged', async (t) => {
  const s = await stage(t);
  assert.equal((await call(s, '/status/204')).headers.get('x-payment-state'), 'settled');
  assert.equal(
    (await call(s, '/echo', { method: 'HEAD' })).headers.get('x-payment-state'),
    'settled',
  );
});

test('a hundred concurrent calls on a balance for seven are served seven times', async (t) => {
  const s = await stage(t);
  const { id, key } = await createKey(s.gateway, { topUp: parseUsd('$0.07') });
  const responses = await Promise.all(
    Array.from({ length: 100 }, () =>
      fetch(`${s.gateway.url}/echo`, { headers: { 'x-api-key': key } }),
    ),
  );
  const statuses = responses.map((response) => response.status);
  assert.equal(statuses.filter((status) => status === 200).length, 7);
  assert.equal(statuses.filter((status) => status === 402).length, 93);
  assert.equal(s.upstream.calls('/echo'), 7);
  assert.equal((await s.gateway.ledger.findKey(id))?.balance, 0n);
});

test('a key is kept to its routes and to its daily cap', async (t) => {
  const s = await stage(t);
  const narrow = await createKey(s.gateway, { routes: ['* /echo'], perDay: parseUsd('$0.02') });
  const headers = { 'x-api-key': narrow.key };
  assert.equal((await fetch(`${s.gateway.url}/sse`, { headers })).status, 403);
  const statuses = [];
  for (let i = 0; i < 3; i++)
    statuses.push((await fetch(`${s.gateway.url}/echo`, { headers })).status);
  assert.deepEqual(statuses, [200, 200, 403]);
});

test('a rotated key stops working at once and its successor has the balance; a revoked one is 401', async (t) => {
  const s = await stage(t);
  const next = newApiKey('live', randomBytes);
  const rotated = await s.gateway.ledger.rotateKey(s.key.id, next.prefix, next.secretHash);
  assert.equal(rotated?.balance, parseUsd('$1'));
  assert.equal((await call(s, '/echo')).status, 401);
  await s.gateway.ledger.revokeKey(s.key.id, Date.now());
  assert.equal((await call(s, '/echo')).status, 401);
});

test('one Idempotency-Key pays once: the same request replays, another is refused, another payer is not affected', async (t) => {
  const s = await stage(t);
  const headers = { 'idempotency-key': 'order-1' };
  const first = await call(s, '/echo', { method: 'POST', body: 'a', headers });
  const again = await call(s, '/echo', { method: 'POST', body: 'a', headers });
  assert.equal(again.status, 200);
  assert.equal(await again.text(), await first.text());
  assert.equal(again.headers.get('x-payment-id'), first.headers.get('x-payment-id'));
  assert.equal((await call(s, '/echo', { method: 'POST', body: 'b', headers })).status, 409);
  const other = await createKey(s.gateway);
  const theirs = await fetch(`${s.gateway.url}/echo`, {
    ...{ method: 'POST', body: 'b' },
    headers: { ...headers, 'x-api-key': other.key },
  });
  assert.equal(theirs.status, 200);
  assert.equal(s.upstream.calls('/echo'), 2);
  assert.equal(await balanceOf(s), parseUsd('$0.99'));
});

test('concurrent requests with one Idempotency-Key run once and share the answer', async (t) => {
  const s = await stage(t);
  const headers = { 'idempotency-key': 'order-1' };
  const calls = Array.from({ length: 20 }, () => call(s, '/gate', { headers }));
  await s.upstream.seen('/gate', 1);
  s.upstream.open();
  const ids = new Set(
    (await Promise.all(calls)).map((response) => response.headers.get('x-payment-id')),
  );
  assert.equal(ids.size, 1);
  assert.equal(s.upstream.calls('/gate'), 1);
});

test('a stream reaches the client before it is complete, and is captured when it ends', async (t) => {
  const s = await stage(t);
  const response = await call(s, '/sse-gate');
  const id = response.headers.get('x-payment-id') ?? '';
  const reader = response.body?.getReader();
  const first = await reader?.read();
  assert.equal(Buffer.from(first?.value ?? []).toString(), 'data: 1\n\n');
  assert.equal((await s.gateway.ledger.findPayment(id))?.state, 'running');
  s.upstream.open();
  while (!(await reader?.read())?.done);
  assert.equal((await s.gateway.ledger.findPayment(id))?.state, 'settled');
  assert.equal(await balanceOf(s), parseUsd('$0.99'));
});

test('a stream that the upstream breaks off is released and the client sees it cut', async (t) => {
  const s = await stage(t);
  const response = await call(s, '/sse-half');
  const id = response.headers.get('x-payment-id') ?? '';
  await assert.rejects(response.text());
  assert.equal((await s.gateway.ledger.findPayment(id))?.state, 'released');
  assert.equal(await balanceOf(s), parseUsd('$1'));
});

test('a client that leaves before the answer begins aborts the upstream and holds nothing', async (t) => {
  const s = await stage(t);
  const abort = new AbortController();
  const gone = call(s, '/hang', { signal: abort.signal });
  await s.upstream.seen('/hang', 1);
  abort.abort();
  await assert.rejects(gone);
  await s.upstream.aborted(1);
  await s.gateway.close();
});

test('an answer can be fetched again by its payment id, only with the key that paid', async (t) => {
  const s = await stage(t);
  const response = await call(s, '/echo', { method: 'POST', body: 'mine' });
  const url = `${s.gateway.url}/_pay/payments/${response.headers.get('x-payment-id')}/answer`;
  const again = await fetch(url, { headers: { 'x-api-key': s.key.key } });
  assert.equal(await again.text(), await response.text());
  const stranger = await createKey(s.gateway);
  assert.equal((await fetch(url, { headers: { 'x-api-key': stranger.key } })).status, 401);
  assert.equal((await fetch(url)).status, 401);
});

test('the balance of a key can be asked for', async (t) => {
  const s = await stage(t);
  await call(s, '/echo');
  const response = await fetch(`${s.gateway.url}/_pay/balance`, {
    headers: { 'x-api-key': s.key.key },
  });
  const body = (await response.json()) as Record<string, unknown>;
  assert.equal(body.balance, '0.99');
  assert.equal((await fetch(`${s.gateway.url}/_pay/balance`)).status, 401);
});

test('a body past the limit is 413, declared or not, and costs nothing', async (t) => {
  const s = await stage(t, { limits: { bodyBytes: '1KiB' } });
  const declared = await call(s, '/echo', { method: 'POST', body: 'x'.repeat(1025) });
  assert.equal(declared.status, 413);
  const stream = ReadableStream.from([Buffer.alloc(1000), Buffer.alloc(1000)]);
  const init = { method: 'POST', body: stream, duplex: 'half' } as unknown as RequestInit;
  assert.equal((await call(s, '/echo', init)).status, 413);
  assert.equal(s.upstream.calls('/echo'), 0);
  assert.equal(await balanceOf(s), parseUsd('$1'));
});
