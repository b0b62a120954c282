/**
 * The payment payload with every hostile value in every field, in v2 and v1. Always 400, 402, 413 or 431 in words;
 * nothing is claimed, nothing runs, no balance moves; and the payment that was disfigured is served afterwards.
 *
 * The values are in support/hostile-values. More of them: rails/x402-protocol and rails/x402-recognise (the parsers
 * alone, fuzzed), chains/evm-recover (signatures alone), test/fuzz with its corpus.
 */

import assert from 'node:assert/strict';
import { generateKeyPairSync, sign as signBytes } from 'node:crypto';
import { after, before, test } from 'node:test';
import { p256 } from '@noble/curves/nist.js';
import type { Hex } from '../../src/chains/evm/sign.ts';
import { type EvmDevnet, startEvmDevnet } from '../../src/devnet/start-evm-devnet.ts';
import { type SignedPayment, type Signing, signOffer } from '../rails/x402-fixture.ts';
import {
  type Answered,
  PRICE,
  sharedGateway,
  type Visitor,
  v2,
} from '../support/attacked-gateway.ts';
import { hostileFields, hostileJson, type PaymentJson } from '../support/hostile-values.ts';
import { exchangeRaw } from './fixture.ts';

const LIMITS = {
  limits: {
    bodyBytes: '1MiB',
    unpaidPerMinute: 1_000_000,
    requestsPerMinute: { ip: 1_000_000, key: 1_000_000, wallet: 1_000_000 },
  },
} as const;

let chain: EvmDevnet;
before(async () => {
  chain = await startEvmDevnet({ accountsCount: 30 });
});
const visitor = sharedGateway(() => chain, { over: LIMITS });
after(() => chain.close());

const base64 = (text: string): string => Buffer.from(text).toString('base64');
const read = (header: string): PaymentJson => JSON.parse(Buffer.from(header, 'base64').toString());

function assertRefused({ status, text, code, headers }: Answered, name: string): void {
  assert.ok([400, 402, 413, 431].includes(status), `${name}: ${status} ${text}`);
  assert.match(code ?? '', /^[a-z0-9_]+$/, `${name}: ${text}`);
  const { detail, error } = JSON.parse(text) as { detail?: string; error?: string };
  const words = detail ?? error ?? '';
  assert.ok(words.length > 10 && words.length < 1_000, `${name}: ${words}`);
  assert.doesNotMatch(words, /undefined|NaN|\[object|TypeError|BigInt/, name);
  assert.equal(headers.get('x-payment-id'), null, name);
}

async function assertUntouched(s: Visitor): Promise<void> {
  assert.deepEqual(await s.payments(), []);
  assert.equal(s.upstream.calls('/echo'), 0);
  assert.equal(await s.received(), 0n);
  assert.deepEqual(await s.gateway.ledger.audit(), []);
}

async function assertStillGood(s: Visitor, signed: SignedPayment): Promise<void> {
  assert.equal((await s.call('/echo', v2(signed))).status, 200);
  assert.equal(await s.received(), PRICE);
}

for (const [version, header] of [
  ['v2', 'payment-signature'],
  ['v1', 'x-payment'],
] as const)
  test(`${version}: every field with every hostile value is refused in words, and the payment itself stays good`, async () => {
    const s = await visitor();
    const signed = await s.sign('/echo');
    const good = read(signed[version]);
    let count = 0;
    for (const { name, json } of [...hostileFields(good), ...hostileJson(good)]) {
      count += 1;
      assertRefused(await s.call('/echo', { [header]: base64(json) }), name);
    }
    assert.ok(count > 400, `${count} values`);
    await assertUntouched(s);
    await assertStillGood(s, signed);
  });

test('a header that is not exactly base64 of one JSON object is refused in words', async () => {
  const s = await visitor();
  const signed = await s.sign('/echo');
  const good = signed.v2;
  const latin = Buffer.from([0x7b, 0xff, 0xfe, 0x7d]).toString('base64');
  const wrong: readonly string[] = [
    ...['', '=', '====', '!', 'e30', 'e30=', '{}', JSON.stringify(read(good)), `Bearer ${good}`],
    ...[
      `${good}=`,
      `=${good}`,
      `${good.slice(0, 40)} ${good.slice(40)}`,
      `"${good}"`,
      good.slice(1),
    ],
    ...[good.slice(0, -9), `${good}${good}`, `${good}, ${good}`, `${good};`, latin, '-'.repeat(40)],
    ...[base64('\u0000'), base64('[]'), base64('"'), 'A'.repeat(8_192), 'A'.repeat(8_193)],
  ];
  for (const text of wrong)
    for (const name of ['payment-signature', 'x-payment'])
      assertRefused(await s.call('/echo', { [name]: text }), `${name}: ${text.slice(0, 40)}`);
  const [one, other] = [signed.v2, (await s.sign('/echo')).v2];
  assertRefused(await s.call('/echo', { 'payment-signature': one, 'x-payment': other }), 'two');
  await assertUntouched(s);
  await assertStillGood(s, signed);
});

const ORDER = 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141n;
const word = (value: bigint): string => value.toString(16).padStart(64, '0');

/** The parts of a signature, and ways to put them together that the token would not take, or not from this payer. */
function hostileSignatures(signature: Hex): Record<string, string> {
  const r = signature.slice(2, 66);
  const s = signature.slice(66, 130);
  const v = Number.parseInt(signature.slice(130), 16);
  const high = word(ORDER - BigInt(`0x${s}`));
  const other = v === 27 ? '1c' : '1b';
  const compact = word(BigInt(`0x${s}`) | (v === 28 ? 1n << 255n : 0n));
  const secret = p256.utils.randomSecretKey();
  const nist = Buffer.from(p256.sign(Buffer.from(r, 'hex'), secret)).toString('hex');
  const { privateKey } = generateKeyPairSync('ed25519');
  const edwards = signBytes(null, Buffer.from(r, 'hex'), privateKey).toString('hex');
  return {
    'EIP-2098, 64 bytes': `0x${r}${compact}`,
    'r and s alone': `0x${r}${s}`,
    'v = 0 or 1': `0x${r}${s}${v === 27 ? '00' : '01'}`,
    'v = 35': `0x${r}${s}23`,
    'v = 255': `0x${r}${s}ff`,
    'the other v': `0x${r}${s}${other}`,
    'high s': `0x${r}${high}${other}`,
    'high s, same v': `0x${r}${high}${signature.slice(130)}`,
    'r and s swapped': `0x${s}${r}${signature.slice(130)}`,
    'r = 0': `0x${word(0n)}${s}1b`,
    's = 0': `0x${r}${word(0n)}1b`,
    'r = n': `0x${word(ORDER)}${s}1b`,
    's = n': `0x${r}${word(ORDER)}1b`,
    'r = n + 1': `0x${word(ORDER + 1n)}${s}1b`,
    'all ones': `0x${'ff'.repeat(65)}`,
    'all zeros': `0x${'00'.repeat(65)}`,
    'one byte more': `${signature}00`,
    'the same twice': `${signature}${signature.slice(2)}`,
    'two kilobytes': `0x${'ab'.repeat(2_048)}`,
    'more than two kilobytes': `0x${'ab'.repeat(2_049)}`,
    'a wrapped wallet (ERC-6492)': `0x${r}${s}${'6492'.repeat(16)}`,
    'P-256': `0x${nist}1b`,
    Ed25519: `0x${edwards}`,
    'Ed25519 and v': `0x${edwards}1b`,
    'one bit off': `0x${word(BigInt(`0x${r}`) ^ 1n)}${s}${signature.slice(130)}`,
  };
}

test('a signature that is not the payer’s own over these very words is refused in words', async () => {
  const s = await visitor();
  const signed = await s.sign('/echo');
  for (const [name, signature] of Object.entries(hostileSignatures(signed.signature)))
    for (const [header, json] of [
      ['payment-signature', read(signed.v2)],
      ['x-payment', read(signed.v1)],
    ] as const) {
      (json.payload as PaymentJson).signature = signature;
      const seen = await s.call('/echo', { [header]: base64(JSON.stringify(json)) });
      assertRefused(seen, name);
    }
  await assertUntouched(s);
  await assertStillGood(s, signed);
});

test('a good signature over anything but this offer is refused in words: chain, token, payee, payer, amount, time', async () => {
  const s = await visitor();
  const second = BigInt(Math.floor(Date.now() / 1000));
  const wrong: Readonly<Record<string, Signing>> = {
    'for another chain': { chainId: 84_532n },
    'for another token': { asset: '0x036CbD53842c5426634e7929541eC2318f3dCF7e' },
    'to another payee': { to: '0x000000000000000000000000000000000000dEaD' },
    'to nobody': { to: `0x${'0'.repeat(40)}` },
    'to himself': { to: s.payer.address },
    'in the name of another': { from: chain.accounts[29]?.address ?? '0x' },
    'in the name of the operator’s own key': { from: s.settler.address },
    'of more': { value: PRICE + 1n },
    'of less': { value: PRICE - 1n },
    'of nothing': { value: 0n },
    'of everything': { value: (1n << 256n) - 1n },
    'that has expired': { validBefore: second - 1n },
    'that expires too soon': { validBefore: second + 5n },
    'that is not valid yet': { validAfter: second + 60n },
    'that is valid for a day': { validBefore: second + 86_400n },
    'that is valid for ever': { validBefore: (1n << 256n) - 1n },
  };
  const offer = await s.offer('/echo');
  for (const [name, signing] of Object.entries(wrong)) {
    const signed = signOffer(offer, s.payer, signing);
    for (const [header, text] of [
      ['payment-signature', signed.v2],
      ['x-payment', signed.v1],
    ] as const) {
      const seen = await s.call('/echo', { [header]: text });
      assertRefused(seen, name);
      assert.equal(seen.status, 402, name);
    }
  }
  await assertUntouched(s);
});

test('upper case, lower case and checksums of hexadecimal are one and the same', async () => {
  const s = await visitor();
  const upper = (text: string): string => text.toUpperCase().replace('0X', '0x');
  const lower = (text: string): string => text.toLowerCase();
  for (const spell of [upper, lower]) {
    const message = read((await s.sign('/echo')).v2);
    const { accepted, payload } = message as Record<string, Record<string, unknown>>;
    assert.ok(accepted && payload);
    const authorization = payload.authorization as Record<string, string>;
    for (const name of ['from', 'to', 'nonce'])
      authorization[name] = spell(String(authorization[name]));
    for (const name of ['asset', 'payTo']) accepted[name] = spell(String(accepted[name]));
    payload.signature = spell(String(payload.signature));
    const header = base64(JSON.stringify(message));
    assert.equal((await s.call('/echo', { 'payment-signature': header })).status, 200);
  }
  assert.equal(await s.received(), 2n * PRICE);
  assert.equal(new Set((await s.payments()).map(({ payer }) => payer)).size, 1, 'one payer');
});

test('headers and bodies without measure are refused before anything is read, claimed or run', async (t) => {
  const s = await visitor();
  const { v2: header } = await s.sign('/echo');
  const head = `POST /echo HTTP/1.1\r\nHost: a\r\nConnection: close\r\n`;
  const lines: readonly (readonly [name: string, text: string, status: number])[] = [
    ['a payment of 1 MB', `${head}PAYMENT-SIGNATURE: ${'A'.repeat(1_000_000)}\r\n\r\n`, 431],
    ['a payment of 9 KB', `${head}PAYMENT-SIGNATURE: ${'A'.repeat(9_000)}\r\n\r\n`, 431],
    ['two thousand headers', `${head}${'X-A: b\r\n'.repeat(2_000)}\r\n`, 431],
    ['a target of 100 KB', `GET /${'a'.repeat(100_000)} HTTP/1.1\r\nHost: a\r\n\r\n`, 431],
    [
      'a body of 10 MB',
      `${head}PAYMENT-SIGNATURE: ${header}\r\nContent-Length: 10000000\r\n\r\n`,
      413,
    ],
    [
      'a body of 10^15',
      `${head}PAYMENT-SIGNATURE: ${header}\r\nContent-Length: 999999999999999\r\n\r\n`,
      413,
    ],
  ];
  for (const [name, text, status] of lines) {
    // Whoever is still sending when he is refused may see his connection reset instead.
    const answer = await exchangeRaw(t, s.gateway.url, text).catch(() => null);
    if (answer === null) assert.ok(text.length > 50_000, name);
    else
      assert.match(
        answer,
        new RegExp(`^HTTP/1\\.1 ${status} `),
        `${name}: ${answer.slice(0, 200)}`,
      );
  }
  const body = 'x'.repeat(10_000_000);
  const seen = await s
    .call('/echo', { 'payment-signature': header }, { method: 'POST', body })
    .catch(() => null);
  assert.ok(seen === null || seen.status === 413);
  await assertUntouched(s);
  assert.equal((await s.call('/echo', { 'payment-signature': header })).status, 200);
});
