import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { readOffers } from '../../src/client/read-offers.ts';
import { receiptOf } from '../../src/client/receipt.ts';
import { payabilityOf } from '../../src/rails/x402/client.ts';
import { encodeHeader } from '../../src/rails/x402/protocol.ts';
import { offer, requiredV2 } from './servers.ts';

const headerText = fc.oneof(
  fc.string({ unit: 'binary' }).map((text) => Buffer.from(text).toString('base64')),
  fc
    .string({ unit: fc.constantFrom(...'{}[]":,\\\u0000aA0') })
    .map((text) => Buffer.from(text).toString('base64')),
  fc.base64String(),
);

const anyOffer = fc
  .dictionary(
    fc.constantFrom(
      'scheme',
      'network',
      'amount',
      'maxAmountRequired',
      'asset',
      'payTo',
      'maxTimeoutSeconds',
      'extra',
      'contract',
      'address',
    ),
    fc.oneof(
      fc.jsonValue({ maxDepth: 2 }),
      fc.constantFrom('exact', 'eip155:84532', 'base', '6000'),
    ),
  )
  .chain((change) => fc.constantFrom({ ...offer(), ...change }, change));

const anyMessage = fc
  .record(
    {
      x402Version: fc.constantFrom(1, 2, 3, '2'),
      resource: fc.oneof(fc.constant({ url: 'http://x/' }), fc.jsonValue()),
      accepts: fc.oneof(fc.array(anyOffer), fc.jsonValue()),
      extensions: fc.jsonValue(),
      error: fc.jsonValue(),
      x402: fc.oneof(fc.record({ networks: fc.array(anyOffer) }), fc.jsonValue()),
    },
    { requiredKeys: [] },
  )
  .map((message) => JSON.parse(JSON.stringify(message)));

const anyResponse = fc
  .record({
    header: fc.oneof(fc.constant(null), headerText, anyMessage.map(encodeHeader)),
    body: fc.oneof(
      fc.string(),
      fc.json(),
      anyMessage.map((message) => JSON.stringify(message)),
    ),
    settlement: fc.oneof(
      fc.constant(null),
      headerText,
      fc.jsonValue().map((value) => encodeHeader({ value })),
    ),
    json: fc.boolean(),
  })
  .map(({ header, body, settlement, json }) => {
    const headers = new Headers(json ? { 'content-type': 'application/json' } : {});
    if (header !== null) headers.set('payment-required', header);
    if (settlement !== null) headers.set('payment-response', settlement);
    return { body, response: new Response(body, { status: 402, headers }) };
  });

test('fuzz: whatever a 402 contains, reading it throws nothing and leaves its body whole', async () => {
  await fc.assert(
    fc.asyncProperty(anyResponse, async ({ body, response }) => {
      const read = await readOffers(response);
      for (const one of read?.offers ?? []) {
        assert.equal(typeof one.amount, 'bigint');
        payabilityOf(one);
        encodeHeader(one.credential({}, 'pay_0123456789abcdef'));
      }
      receiptOf(response);
      // A byte order mark is dropped by text() itself.
      assert.equal(await response.text(), body.replace(/^\ufeff/, ''));
    }),
    { numRuns: 3000 },
  );
});

test('a body that nests deeper than any offer is left alone', async () => {
  const body = `{"x402Version":2,"accepts":${'['.repeat(100_000)}${']'.repeat(100_000)}}`;
  const response = new Response(body, {
    status: 402,
    headers: { 'content-type': 'application/json' },
  });
  assert.equal(await readOffers(response), null);
  assert.equal((await response.text()).length, body.length);
});

test('a broken header does not hide good offers in the body', async () => {
  const accepts = [offer({ network: 'eip155:84532' })];
  const response = new Response(
    JSON.stringify({ x402Version: 2, resource: { url: 'http://x/' }, accepts }),
    { status: 402, headers: { 'content-type': 'application/json', 'payment-required': 'broken!' } },
  );
  const read = await readOffers(response);
  assert.deepEqual([read?.source, read?.offers.length, read?.unreadable.length], ['v2-body', 1, 1]);
});

test('offers that did not fit into the header are found in the body', async () => {
  const v1 = {
    scheme: 'exact',
    network: 'base-sepolia',
    maxAmountRequired: '6000',
    asset: offer().asset,
    payTo: offer().payTo,
    maxTimeoutSeconds: 60,
  };
  const body = JSON.stringify({ x402Version: 1, accepts: [v1] });
  const header = requiredV2([offer({ network: 'solana:mainnet' })]);
  const headers = { 'content-type': 'application/json', 'payment-required': header };
  const read = await readOffers(new Response(body, { status: 402, headers }));
  assert.deepEqual(
    read?.offers.map((one) => [one.version, payabilityOf(one).payable]),
    [
      [2, false],
      [1, true],
    ],
  );
});
