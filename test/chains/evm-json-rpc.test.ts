import assert from 'node:assert/strict';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { describe, it, type TestContext } from 'node:test';
import {
  type JsonRpc,
  openJsonRpc,
  RpcRefused,
  RpcUnavailable,
} from '../../src/chains/evm/json-rpc.ts';

interface Call {
  readonly id: number;
  readonly method: string;
}

interface TestNode {
  readonly url: string;
  /** Bodies of the requests, parsed. */
  readonly requests: unknown[];
}

type Reply = { readonly status?: number; readonly body: unknown } | 'hang';

async function node(t: TestContext, reply: (body: unknown) => Reply): Promise<TestNode> {
  const requests: unknown[] = [];
  const server: Server = createServer(async (request, response) => {
    let text = '';
    for await (const chunk of request) text += chunk;
    const body: unknown = JSON.parse(text);
    requests.push(body);
    const answer = reply(body);
    if (answer === 'hang') return;
    response.writeHead(answer.status ?? 200, { 'content-type': 'application/json' });
    response.end(typeof answer.body === 'string' ? answer.body : JSON.stringify(answer.body));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => {
    server.closeAllConnections();
    return new Promise((resolve) => server.close(resolve));
  });
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/secret`, requests };
}

function rpc(t: TestContext, urls: readonly string[], timeoutMs = 2_000): JsonRpc {
  const opened = openJsonRpc({ urls, timeoutMs });
  t.after(() => opened.close());
  return opened;
}

const each = (body: unknown, answer: (call: Call) => object): Reply => ({
  body: Array.isArray(body)
    ? body.map((call: Call) => ({ jsonrpc: '2.0', id: call.id, ...answer(call) })).reverse()
    : { jsonrpc: '2.0', id: (body as Call).id, ...answer(body as Call) },
});
const echo = (body: unknown): Reply => each(body, (call) => ({ result: call.method }));

describe('JSON-RPC over several nodes', () => {
  it('sends calls made together in one request and gives each its own answer', async (t) => {
    const good = await node(t, echo);
    const client = rpc(t, [good.url]);
    const answers = await Promise.all(['a', 'b', 'c'].map((method) => client.call(method, [])));
    assert.deepEqual(answers, ['a', 'b', 'c']);
    assert.equal(good.requests.length, 1);
  });

  it('splits more calls than one request may carry', async (t) => {
    const good = await node(t, echo);
    const client = rpc(t, [good.url]);
    await Promise.all(Array.from({ length: 45 }, (_, i) => client.call(`m${i}`, [])));
    assert.deepEqual(good.requests.map((body) => (body as unknown[]).length).sort(), [20, 20, 5]);
  });

  for (const [name, reply] of [
    ['answers 500', () => ({ status: 500, body: 'oops' })],
    ['answers no JSON', () => ({ body: '<html>' })],
    ['is rate limited', () => ({ status: 429, body: { error: { code: 429 } } })],
    ['has an internal error', (body) => each(body, () => ({ error: { code: -32603 } }))],
    ['answers nothing', () => ({ body: [] })],
    ['hangs', () => 'hang'],
  ] as const satisfies readonly (readonly [string, (body: unknown) => Reply])[])
    it(`asks the next node when one ${name}, and stays with it`, async (t) => {
      const bad = await node(t, reply);
      const good = await node(t, echo);
      const client = rpc(t, [bad.url, good.url], 200);
      assert.equal(await client.call('first', []), 'first');
      assert.equal(await client.call('second', []), 'second');
      assert.equal(bad.requests.length, 1);
      assert.equal(good.requests.length, 2);
    });

  it('tells a refusal of the call from a node that is down, and asks nobody else', async (t) => {
    const reverting = await node(t, (body) =>
      each(body, () => ({ error: { code: 3, message: 'execution reverted', data: '0xabcd' } })),
    );
    const other = await node(t, echo);
    const client = rpc(t, [reverting.url, other.url]);
    await assert.rejects(
      client.call('eth_call', []),
      (error) => error instanceof RpcRefused && error.code === 3 && error.data === '0xabcd',
    );
    assert.equal(other.requests.length, 0);
  });

  it('refuses one call of a request and answers the others', async (t) => {
    const half = await node(t, (body) =>
      each(body, (call) =>
        call.method === 'bad' ? { error: { code: -32000, message: 'no' } } : { result: 1 },
      ),
    );
    const client = rpc(t, [half.url]);
    const [good, bad] = await Promise.allSettled([client.call('good', []), client.call('bad', [])]);
    assert.deepEqual(good, { status: 'fulfilled', value: 1 });
    assert.ok(bad.status === 'rejected' && bad.reason instanceof RpcRefused);
  });

  it('is unavailable when every node is down, and never shows the path of a URL', async (t) => {
    const bad = await node(t, () => ({ status: 503, body: '' }));
    const client = rpc(t, [bad.url, 'http://127.0.0.1:9/api-key']);
    await assert.rejects(
      client.call('eth_call', []),
      (error) => error instanceof RpcUnavailable && !/secret|api-key/.test(error.message),
    );
  });

  it('sends single calls to a node that takes no batches, from then on', async (t) => {
    const single = await node(t, (body) =>
      Array.isArray(body)
        ? { status: 400, body: { error: { code: -32600, message: 'no batches' } } }
        : echo(body),
    );
    const client = rpc(t, [single.url]);
    const both = () => Promise.all([client.call('a', []), client.call('b', [])]);
    assert.deepEqual(await both(), ['a', 'b']);
    assert.deepEqual(await both(), ['a', 'b']);
    assert.equal(single.requests.filter(Array.isArray).length, 1);
  });

  it('rejects calls after it was closed', async (t) => {
    const good = await node(t, echo);
    const client = rpc(t, [good.url]);
    await client.close();
    await assert.rejects(client.call('a', []), RpcUnavailable);
  });
});
