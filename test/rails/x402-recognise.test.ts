import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { addressOfPrivateKey } from '../../src/chains/evm/sign.ts';
import {
  CoinslotError,
  CredentialConflict,
  CredentialMalformed,
  HeadersTooLarge,
} from '../../src/core/errors.ts';
import type { DevnetAccount } from '../../src/devnet/start-evm-devnet.ts';
import { recogniseCredential } from '../../src/rails/x402/credential.ts';
import { encodeHeader, type Requirements } from '../../src/rails/x402/protocol.ts';
import { exchangeOf, newKey, PAY_TO, sha256, signOffer } from './x402-fixture.ts';

const OFFER: Requirements = {
  ...{ scheme: 'exact', network: 'eip155:8453', amount: '6000', payTo: PAY_TO },
  ...{ asset: '0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913', maxTimeoutSeconds: 90 },
  extra: { name: 'USD Coin', version: '2', quote: 'q' },
};
const privateKey = newKey();
const PAYER: DevnetAccount = { privateKey, address: addressOfPrivateKey(privateKey) };
const GOOD = signOffer(OFFER, PAYER);

const recognise = (headers: Record<string, string>) => recogniseCredential(exchangeOf(headers));

describe('recognising a payment', () => {
  it('finds nothing without a header', () => {
    assert.equal(recognise({ authorization: 'Bearer x', 'x-api-key': 'x402' }), null);
  });

  for (const header of ['payment-signature', 'x-payment'])
    for (const version of ['v1', 'v2'] as const)
      it(`reads ${version} in ${header}`, () => {
        const found = recognise({ [header]: GOOD[version] });
        assert.equal(found?.payment.x402Version, version === 'v1' ? 1 : 2);
        assert.equal(found?.network, 'eip155:8453');
        assert.equal(found?.credentialHash, sha256(GOOD[version]));
        assert.deepEqual(found?.exact?.authorization, GOOD.authorization);
        assert.equal(found?.signedBy, 'key');
        assert.equal(found?.oneTime, true);
      });

  it('takes the same payment in both headers, and refuses two different ones', () => {
    assert.ok(recognise({ 'payment-signature': GOOD.v2, 'x-payment': GOOD.v2 }));
    assert.throws(
      () => recognise({ 'payment-signature': GOOD.v2, 'x-payment': GOOD.v1 }),
      CredentialConflict,
    );
  });

  it('takes 8 KiB and refuses more', () => {
    const long = 'A'.repeat(8192);
    assert.throws(() => recognise({ 'x-payment': long }), CredentialMalformed);
    assert.throws(() => recognise({ 'x-payment': `${long}A` }), HeadersTooLarge);
  });

  it('leaves other schemes and chains to the refusal with offers', () => {
    const accepted = { ...OFFER, scheme: 'batch-settlement' };
    const payload = { anything: 1 };
    const other = recognise({
      'payment-signature': encodeHeader({ x402Version: 2, accepted, payload }),
    });
    assert.deepEqual([other?.exact, other?.upto], [null, null]);
    const solana = { x402Version: 1, scheme: 'exact', network: 'solana', payload };
    assert.equal(recognise({ 'x-payment': encodeHeader(solana) })?.exact, null);
  });

  const { payload } = JSON.parse(atob(GOOD.v1)) as {
    payload: { signature: string; authorization: Record<string, unknown> };
  };
  const wrong: readonly (readonly [string, string, RegExp])[] = [
    ['an empty header', '', /X-PAYMENT: header/],
    ['no base64', '{"x402Version":1}', /not standard base64/],
    ['no JSON', btoa('not json'), /header is not/],
    ['another version', encodeHeader({ x402Version: 3 }), /x402Version/],
    ['no payload', v1({ payload: undefined }), /payload/],
    [
      'no authorization',
      v1({ payload: { signature: payload.signature } }),
      /payload.authorization/,
    ],
    ['a number as value', field('value', 6000), /authorization.value/],
    ['a negative value', field('value', '-1'), /authorization.value/],
    ['2^256', field('value', (2n ** 256n).toString()), /authorization.value/],
    ['a hexadecimal time', field('validBefore', '0xff'), /authorization.validBefore/],
    ['a short nonce', field('nonce', '0x12'), /authorization.nonce/],
    ['a short address', field('from', '0x12'), /authorization.from/],
    ['a high s', signed((s) => highS(s)), /payload.signature has an s in the upper half/],
    ['64 bytes', signed((s) => s.slice(0, 130)), /payload.signature has 64 bytes/],
    ['v = 0', signed((s) => `${s.slice(0, 130)}00`), /payload.signature has v = 0x00/],
    ['no signature', signed(() => '0x'), /payload.signature/],
  ];
  for (const [name, header, reason] of wrong)
    it(`refuses ${name} and names the field`, () => {
      assert.throws(
        () => recognise({ 'x-payment': header }),
        (error) => error instanceof CredentialMalformed && reason.test(error.message),
      );
    });

  it('throws nothing but its own errors, whatever is in the headers', () => {
    const json = fc.letrec((tie) => ({
      mutated: fc.oneof(
        fc.jsonValue(),
        fc.constantFrom('exact', 'base', 'eip155:8453', '0x00', '6000', 2, 1, null),
        tie('object'),
      ),
      object: fc.dictionary(
        fc.constantFrom(
          ...['x402Version', 'scheme', 'network', 'payload', 'accepted', 'signature', 'extra'],
          ...['authorization', 'from', 'to', 'value', 'validAfter', 'validBefore', 'nonce'],
        ),
        tie('mutated'),
      ),
    })).object;
    const swapped = fc
      .tuple(fc.constantFrom(...paths(JSON.parse(atob(GOOD.v2)))), fc.jsonValue())
      .map(([path, value]) => replaced(JSON.parse(atob(GOOD.v2)), path, value));
    const text = fc.oneof(
      fc.string(),
      fc.base64String(),
      json.map((value) => encodeHeader(value as object)),
      swapped.map((value) => encodeHeader(value)),
    );
    const headers = fc.dictionary(fc.constantFrom('payment-signature', 'x-payment'), text);
    fc.assert(
      fc.property(headers, (given) => {
        try {
          recognise(given);
        } catch (error) {
          assert.ok(error instanceof CoinslotError, String(error));
          assert.ok(error.status === 400 || error.status === 431);
        }
      }),
      { numRuns: 500 },
    );
  });

  function v1(over: object): string {
    return encodeHeader({ x402Version: 1, scheme: 'exact', network: 'base', payload, ...over });
  }
  function field(name: string, value: unknown): string {
    const authorization = { ...payload.authorization, [name]: value };
    return v1({ payload: { ...payload, authorization } });
  }
  function signed(change: (signature: string) => string): string {
    return v1({ payload: { ...payload, signature: change(payload.signature) } });
  }
});

function highS(signature: string): string {
  const order = 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141n;
  const s = (order - BigInt(`0x${signature.slice(66, 130)}`)).toString(16).padStart(64, '0');
  const v = signature.endsWith('1b') ? '1c' : '1b';
  return signature.slice(0, 66) + s + v;
}

type Json = Record<string, unknown>;

function paths(value: Json, base: readonly string[] = []): string[][] {
  return Object.entries(value).flatMap(([key, inner]) => {
    const path = [...base, key];
    return typeof inner === 'object' && inner !== null
      ? [path, ...paths(inner as Json, path)]
      : [path];
  });
}

function replaced(value: Json, [key = '', ...rest]: readonly string[], by: unknown): Json {
  return { ...value, [key]: rest.length === 0 ? by : replaced(value[key] as Json, rest, by) };
}
