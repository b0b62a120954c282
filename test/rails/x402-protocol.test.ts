import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  decodePaymentRequiredHeader,
  decodePaymentSignatureHeader,
  encodePaymentRequiredHeader,
  encodePaymentSignatureHeader,
} from '@x402/core/http';
import fc from 'fast-check';
import {
  canonicalNetwork,
  decodeExactEvmPayload,
  decodePaymentHeader,
  decodePaymentRequired,
  decodePaymentRequiredBody,
  decodeSettleResponse,
  encodeExactEvmPayload,
  encodeHeader,
  networkOfV1Name,
  USDC,
  v1NameOf,
  X402FormatError,
} from '../../src/rails/x402/protocol.ts';

const ADDRESS = '0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913';
const NONCE = `0x${'ab'.repeat(32)}`;

const authorization = {
  from: ADDRESS,
  to: ADDRESS,
  value: '6000',
  validAfter: '0',
  validBefore: '1800000000',
  nonce: NONCE,
};
const payload = { signature: `0x${'11'.repeat(65)}`, authorization };
const requirements = {
  scheme: 'exact',
  network: 'eip155:84532',
  amount: '6000',
  asset: ADDRESS,
  payTo: ADDRESS,
  maxTimeoutSeconds: 60,
  extra: { name: 'USDC', version: '2', quote: 'qéé' },
  vendorField: [1, { two: null }],
};
const resource = { url: 'https://api.example.com/summarize' };
const credential = { x402Version: 2, resource, accepted: requirements, payload };
const required = { x402Version: 2, resource, accepts: [requirements] };

const base64 = (text: string) => Buffer.from(text, 'utf8').toString('base64');
const field = (expected: string) => (error: unknown) => {
  assert.ok(error instanceof X402FormatError, String(error));
  assert.equal(error.field, expected);
  assert.ok(error.message.startsWith(expected));
  return true;
};

test('a v2 credential is read, and what was accepted keeps its unknown fields', () => {
  const read = decodePaymentHeader(encodeHeader(credential));
  assert.deepEqual(read, credential);
});

test('our headers and those of the official library are read by each other', () => {
  assert.deepEqual(
    decodePaymentRequiredHeader(encodeHeader(required)) as object,
    decodePaymentRequired(encodeHeader(required)),
  );
  assert.deepEqual(decodePaymentSignatureHeader(encodeHeader(credential)) as object, credential);
  assert.deepEqual(
    decodePaymentRequired(encodePaymentRequiredHeader(required as never)),
    required as never,
  );
  assert.deepEqual(
    decodePaymentHeader(encodePaymentSignatureHeader(credential as never)),
    credential as never,
  );
});

test('a v1 credential is read by the version inside it', () => {
  const v1 = { x402Version: 1, scheme: 'exact', network: 'base-sepolia', payload };
  assert.deepEqual(decodePaymentHeader(encodeHeader(v1)), v1);
});

test('an exact payload keeps its numbers exactly, up to the largest uint256', () => {
  const largest = (2n ** 256n - 1n).toString();
  const sent = { ...payload, authorization: { ...authorization, value: largest } };
  const read = decodeExactEvmPayload(sent);
  assert.equal(read.authorization.value, 2n ** 256n - 1n);
  assert.deepEqual(encodeExactEvmPayload(read), sent);
});

test('each wrong field of an exact payload is named', () => {
  const wrong: [string, unknown][] = [
    ['payload', null],
    ['payload', []],
    ['payload.signature', { ...payload, signature: undefined }],
    ['payload.signature', { ...payload, signature: '0x' }],
    ['payload.signature', { ...payload, signature: '0x1' }],
    ['payload.signature', { ...payload, signature: `0x${'1'.repeat(2_000_000)}` }],
    ['payload.authorization', { ...payload, authorization: 'x' }],
  ];
  const values: [keyof typeof authorization, unknown][] = [
    ['from', ADDRESS.slice(0, -1)],
    ['from', `${ADDRESS}00`],
    ['from', ADDRESS.replace('8', '８')],
    ['to', `0X${ADDRESS.slice(2)}`],
    ['to', 7],
    ['value', 6000],
    ['value', '06000'],
    ['value', '-1'],
    ['value', '6e3'],
    ['value', '0x1770'],
    ['value', ' 1'],
    ['value', '٣'],
    ['value', (2n ** 256n).toString()],
    ['value', '1'.repeat(1_000_000)],
    ['validAfter', null],
    ['validBefore', '1.5'],
    ['nonce', `0x${'ab'.repeat(31)}`],
  ];
  for (const [key, value] of values)
    wrong.push([
      `payload.authorization.${key}`,
      { ...payload, authorization: { ...authorization, [key]: value } },
    ]);
  for (const [name, value] of wrong)
    assert.throws(() => decodeExactEvmPayload(value), field(name), `${name} ${String(value)}`);
});

test('each wrong field of a credential and of an offer is named', () => {
  const credentials: [string, object][] = [
    ['x402Version', { ...credential, x402Version: '2' }],
    ['x402Version', { ...credential, x402Version: 3 }],
    ['accepted', { ...credential, accepted: null }],
    ['accepted.amount', { ...credential, accepted: { ...requirements, amount: 6000 } }],
    [
      'accepted.maxTimeoutSeconds',
      { ...credential, accepted: { ...requirements, maxTimeoutSeconds: -1 } },
    ],
    ['accepted.extra', { ...credential, accepted: { ...requirements, extra: 'x' } }],
    ['payload', { ...credential, payload: [] }],
    ['resource.url', { ...credential, resource: {} }],
    ['extensions', { ...credential, extensions: 1 }],
    ['network', { x402Version: 1, scheme: 'exact', payload }],
  ];
  for (const [name, value] of credentials)
    assert.throws(() => decodePaymentHeader(encodeHeader(value)), field(name));
  const offers: [string, object][] = [
    ['accepts', { ...required, accepts: {} }],
    ['accepts', { ...required, accepts: Array(65).fill(requirements) }],
    ['accepts[1].payTo', { ...required, accepts: [requirements, { ...requirements, payTo: 1 }] }],
    ['resource', { ...required, resource: undefined }],
    ['resource.tags', { ...required, resource: { ...resource, tags: [1] } }],
  ];
  for (const [name, value] of offers)
    assert.throws(() => decodePaymentRequired(encodeHeader(value)), field(name));
});

test('an unreadable offer can be skipped, so that it does not hide the others', () => {
  const skipped: string[] = [];
  const read = decodePaymentRequired(
    encodeHeader({ ...required, accepts: [{ scheme: 'new' }, requirements] }),
    (error) => skipped.push(error.field),
  );
  assert.deepEqual(read.accepts, [requirements]);
  assert.deepEqual(skipped, ['accepts[0].network']);
});

test('headers that are not exactly one base64 JSON object are refused', () => {
  const good = encodeHeader(credential);
  for (const text of [
    '',
    '=',
    'e30',
    `${good} `,
    ` ${good}`,
    `${good}\n`,
    good.replaceAll('=', '').slice(0, -1).concat('_'),
    base64('[]'),
    base64('null'),
    base64('"x402Version"'),
    base64('{"x402Version":2}{}'),
    base64('\ufeff{}'),
    Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d]).toString('base64'),
    base64(`{"x402Version":2,"extensions":${'['.repeat(33)}${']'.repeat(33)}}`),
    'A'.repeat(9000),
  ])
    assert.throws(() => decodePaymentHeader(text), X402FormatError, JSON.stringify(text));
});

test('an otherwise good credential is refused for deep nesting and for bytes that are no UTF-8', () => {
  const nested = (depth: number) =>
    JSON.stringify(credential).replace('{"two":null}', `${'['.repeat(depth)}${']'.repeat(depth)}`);
  assert.doesNotThrow(() => decodePaymentHeader(base64(nested(29))));
  assert.throws(() => decodePaymentHeader(base64(nested(30))), /nested more than 32 deep/);
  const bytes = Buffer.from(JSON.stringify(credential));
  bytes[bytes.indexOf('é')] = 0xff;
  assert.throws(() => decodePaymentHeader(bytes.toString('base64')), /is not base64 of UTF-8/);
});

test('security: a key written twice is refused, however it is spelled and wherever it is', () => {
  const json = JSON.stringify(credential);
  const doubled = [
    json.replace('"value":"6000"', '"value":"1","value":"6000"'),
    json.replace('"value":"6000"', '"\\u0076alue":"1","value":"6000"'),
    json.replace('{"x402Version":2', '{"x402Version":1,"x402Version":2'),
    json.replace('{"two":null}', '{"two":null,"two":null}'),
    json.replace('{"two":null}', '{"__proto__":1,"__proto__":null}'),
  ];
  for (const text of doubled) {
    assert.notEqual(text, json);
    assert.throws(() => decodePaymentHeader(base64(text)), /contains the same key twice/);
  }
  const lookalikes = json.replace('{"two":null}', '{"a:b":"\\":{\\\\","__proto__":{"x":1}}');
  assert.notEqual(lookalikes, json);
  assert.doesNotThrow(() => decodePaymentHeader(base64(lookalikes)));
});

test('any JSON object without doubled keys is read back as it was written', () => {
  fc.assert(
    fc.property(
      fc.dictionary(fc.string({ unit: 'binary' }), fc.jsonValue({ maxDepth: 5 })),
      (extensions) => {
        const sent = JSON.parse(JSON.stringify({ ...credential, extensions }));
        assert.deepEqual(decodePaymentHeader(encodeHeader(sent)), sent);
      },
    ),
    { numRuns: 300 },
  );
});

const mangled = fc.oneof(
  fc.string(),
  fc.base64String(),
  fc.string({ unit: 'binary' }).map(base64),
  fc.json({ maxDepth: 4 }).map(base64),
  // Almost right messages: some value somewhere replaced by any JSON.
  fc
    .tuple(
      fc.constantFrom<object>(
        credential,
        required,
        { x402Version: 1, accepts: [requirements] },
        {
          success: true,
          transaction: '0x',
          network: 'base',
        },
      ),
      fc.nat(40),
      fc.jsonValue({ maxDepth: 2 }),
    )
    .map(([message, target, value]) => {
      let index = 0;
      return base64(
        JSON.stringify(message, (_, inner) => (index++ === target ? value : inner)) ?? 'null',
      );
    }),
);

test('fuzz: the decoders throw nothing but X402FormatError', () => {
  const decoders: ((text: string) => unknown)[] = [
    decodePaymentHeader,
    decodePaymentRequired,
    (text) => decodePaymentRequired(text, () => {}),
    decodeSettleResponse,
    (text) => decodePaymentRequiredBody(JSON.parse(Buffer.from(text, 'base64').toString())),
    (text) => decodeExactEvmPayload(decodePaymentHeader(text).payload),
  ];
  fc.assert(
    fc.property(mangled, fc.constantFrom(...decoders), (text, decode) => {
      try {
        decode(text);
      } catch (error) {
        // SyntaxError comes from the JSON.parse of this test alone.
        if (
          error instanceof X402FormatError ||
          (decode === decoders[4] && error instanceof SyntaxError)
        )
          return;
        throw error;
      }
    }),
    { numRuns: 5000 },
  );
});

test('fuzz: a payload of any shape is read or refused by name', () => {
  const near = fc.record(
    {
      signature: fc.oneof(fc.constant(payload.signature), fc.anything()),
      authorization: fc.oneof(
        fc.record(
          Object.fromEntries(
            Object.entries(authorization).map(([key, value]) => [
              key,
              fc.oneof(fc.constant(value), fc.anything()),
            ]),
          ),
          { requiredKeys: [] },
        ),
        fc.anything(),
      ),
    },
    { requiredKeys: [] },
  );
  fc.assert(
    fc.property(fc.oneof(near, fc.anything()), (value) => {
      try {
        decodeExactEvmPayload(value);
      } catch (error) {
        if (!(error instanceof X402FormatError)) throw error;
      }
    }),
    { numRuns: 2000 },
  );
});

test('networks are found by CAIP-2, v1 name and alias, and their USDC domains differ', () => {
  assert.equal(USDC.get('eip155:8453')?.name, 'USD Coin');
  assert.equal(USDC.get('eip155:84532')?.name, 'USDC');
  for (const token of USDC.values()) {
    assert.equal(networkOfV1Name(token.v1Name), token.network);
    assert.equal(v1NameOf(token.network), token.v1Name);
    assert.equal(token.network, `eip155:${token.chainId}`);
  }
  const solana = 'solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp';
  assert.equal(canonicalNetwork('solana:mainnet'), solana);
  assert.equal(canonicalNetwork('solana'), solana);
  assert.equal(v1NameOf('solana:mainnet'), 'solana');
  assert.equal(networkOfV1Name('constructor'), undefined);
  assert.equal(canonicalNetwork('eip155:1'), 'eip155:1');
});

test('a settle response without transaction is read, and one without success is refused', () => {
  assert.deepEqual(
    decodeSettleResponse(encodeHeader({ success: false, errorReason: 'settlement_pending' })),
    { success: false, transaction: '', network: '', errorReason: 'settlement_pending' },
  );
  assert.throws(() => decodeSettleResponse(encodeHeader({ transaction: '0x' })), field('success'));
});
