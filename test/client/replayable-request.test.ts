import assert from 'node:assert/strict';
import { test } from 'node:test';
import { payFetch, privateKeyWallet } from '../../src/client/index.ts';
import { readRequest } from '../../src/client/replayable-request.ts';
import { PRIVATE_KEY, type Received, servePaid } from './servers.ts';

const wallet = privateKeyWallet(PRIVATE_KEY);
const budget = { perCall: '$0.05' };

const chunks = () =>
  new ReadableStream({
    start(controller) {
      controller.enqueue(new TextEncoder().encode('first '));
      controller.enqueue(new TextEncoder().encode('second'));
      controller.close();
    },
  });

const form = () => {
  const data = new FormData();
  data.set('field', 'value');
  data.set('file', new Blob(['content'], { type: 'text/plain' }), 'a.txt');
  return data;
};

const calls: [string, (url: string) => [string | URL | Request, RequestInit?], string | RegExp][] =
  [
    ['a string', (url) => [url, { method: 'POST', body: 'text' }], 'text'],
    ['bytes', (url) => [new URL(url), { method: 'PUT', body: new Uint8Array([97, 98]) }], 'ab'],
    [
      'form fields',
      (url) => [url, { method: 'POST', body: new URLSearchParams({ a: 'b' }) }],
      'a=b',
    ],
    [
      'a multipart form',
      (url) => [url, { method: 'POST', body: form() }],
      /name="file"; filename="a\.txt"[\s\S]*content/,
    ],
    [
      'a blob',
      (url) => [url, { method: 'POST', body: new Blob(['blob'], { type: 'image/png' }) }],
      'blob',
    ],
    [
      'a stream',
      (url) => [url, { method: 'POST', body: chunks(), duplex: 'half' }],
      'first second',
    ],
    [
      'a Request with a stream',
      (url) => [
        new Request(url, {
          method: 'POST',
          body: chunks(),
          duplex: 'half',
          headers: { 'x-a': 'b' },
        }),
      ],
      'first second',
    ],
    [
      'a Request changed by init',
      (url) => [
        new Request(url, { method: 'POST', body: 'old', headers: { 'x-a': 'old' } }),
        { body: 'new', headers: { 'x-a': 'b' } },
      ],
      'new',
    ],
    ['a Request without body', (url) => [new Request(url, { headers: { 'x-a': 'b' } })], ''],
    [
      'a Request with body and a null in init',
      (url) => [new Request(url, { method: 'POST', body: 'kept' }), { body: null }],
      'kept',
    ],
  ];

for (const [kind, call, expected] of calls)
  test(`the paid request is identical to the first one: ${kind}`, async () => {
    await using server = await servePaid();
    const [input, init] = call(server.url);
    const response = await payFetch(fetch, { wallet, budget })(input, init);
    assert.equal(response.status, 200);
    const [first, second] = server.received;
    if (typeof expected === 'string') assert.equal(first?.body, expected);
    else assert.match(first?.body ?? '', expected);
    const { 'payment-signature': _, ...headers } = second?.headers ?? {};
    const same = (one?: Received) => [one?.method, one?.path, one?.body];
    assert.deepEqual(same(second), same(first));
    assert.deepEqual(headers, first?.headers);
  });

test('a call is the same call when method, URL without fragment, and body are the same', async () => {
  const key = async (input: string | Request, init?: RequestInit) =>
    (await readRequest(input, init)).key();
  const base = await key('http://a/x?y=1#z', { method: 'POST', body: 'é' });
  const bytes = new TextEncoder().encode('é');
  assert.equal(await key('http://a/x?y=1', { method: 'POST', body: bytes }), base);
  assert.equal(await key(new Request('http://a/x?y=1', { method: 'POST', body: bytes })), base);
  for (const [url, init] of [
    ['http://a/x?y=2', { method: 'POST', body: 'é' }],
    ['http://a/x?y=1', { method: 'PUT', body: 'é' }],
    ['http://a/x?y=1', { method: 'POST', body: 'e' }],
    ['http://a/x?y=1', { method: 'POST' }],
  ] as const)
    assert.notEqual(await key(url, init), base);
});

test('a body changed by the caller after the call does not change what is paid for', async () => {
  await using server = await servePaid();
  const body = new TextEncoder().encode('original');
  const call = payFetch(fetch, { wallet, budget })(server.url, { method: 'POST', body });
  body.fill(120);
  await call;
  const sent = server.received.map((one) => one.body);
  assert.deepEqual(sent, ['original', 'original']);
});

test('errors of fetch itself stay what they are', async () => {
  const fetch402 = payFetch(fetch, { wallet, budget });
  await assert.rejects(fetch402('http://127.0.0.1:1/'), TypeError);
  await assert.rejects(fetch402('not a url'), TypeError);
  await assert.rejects(
    fetch402('http://a/', { signal: AbortSignal.abort(new Error('early')) }),
    /early/,
  );
});
