import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { hashDomain, hashTypedData, recoverAddress } from 'viem';
import { privateKeyToAccount } from 'viem/accounts';
import {
  addressOfPrivateKey,
  domainSeparator,
  type Hex,
  hashTransferAuthorization,
  SignInputError,
  signHash,
  toChecksumAddress,
} from '../../src/chains/evm/sign.ts';

const ORDER = 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141n;

const hex = (bytes: number) =>
  fc
    .uint8Array({ minLength: bytes, maxLength: bytes })
    .map((data): Hex => `0x${Buffer.from(data).toString('hex')}`);
const uint256 = fc.oneof(fc.bigInt(0n, 2n ** 256n - 1n), fc.bigInt(0n, 2n ** 64n));
const privateKey = fc
  .bigInt(1n, ORDER - 1n)
  .map((key): Hex => `0x${key.toString(16).padStart(64, '0')}`);
const domain = fc.record({
  name: fc.string({ unit: 'grapheme', maxLength: 40 }),
  version: fc.string({ maxLength: 4 }),
  chainId: fc.bigInt(0n, 2n ** 53n - 1n),
  verifyingContract: hex(20),
});
const authorization = fc.record({
  from: hex(20),
  to: hex(20),
  value: uint256,
  validAfter: uint256,
  validBefore: uint256,
  nonce: hex(32),
});

const types = {
  TransferWithAuthorization: [
    { name: 'from', type: 'address' },
    { name: 'to', type: 'address' },
    { name: 'value', type: 'uint256' },
    { name: 'validAfter', type: 'uint256' },
    { name: 'validBefore', type: 'uint256' },
    { name: 'nonce', type: 'bytes32' },
  ],
} as const;

const domainTypes = {
  EIP712Domain: [
    { name: 'name', type: 'string' },
    { name: 'version', type: 'string' },
    { name: 'chainId', type: 'uint256' },
    { name: 'verifyingContract', type: 'address' },
  ],
} as const;

test('the separator and the hash of an authorization are those that viem computes', () => {
  fc.assert(
    fc.property(domain, authorization, (domain, message) => {
      const separator = domainSeparator(domain);
      assert.equal(
        `0x${Buffer.from(separator).toString('hex')}`,
        hashDomain({ domain, types: domainTypes }),
      );
      const expected = hashTypedData({
        domain,
        types: { ...types, ...domainTypes },
        primaryType: 'TransferWithAuthorization',
        message,
      });
      const hash = hashTransferAuthorization(separator, message);
      assert.equal(`0x${Buffer.from(hash).toString('hex')}`, expected);
    }),
    { numRuns: 300 },
  );
});

test('a signature is the one that viem makes, with v 27 or 28 and a low s', async () => {
  await fc.assert(
    fc.asyncProperty(privateKey, hex(32), async (key, hash) => {
      const account = privateKeyToAccount(key);
      const signature = signHash(Buffer.from(hash.slice(2), 'hex'), key);
      assert.equal(signature, await account.sign({ hash }));
      assert.equal(signature.length, 132);
      assert.ok(BigInt(`0x${signature.slice(66, 130)}`) <= ORDER / 2n);
      assert.match(signature, /1[bc]$/);
      assert.equal(await recoverAddress({ hash, signature }), account.address);
    }),
    { numRuns: 30 },
  );
});

test('the address of a private key is the one that viem derives, with its checksum', () => {
  fc.assert(
    fc.property(privateKey, (key) => {
      const { address } = privateKeyToAccount(key);
      assert.equal(addressOfPrivateKey(key), address);
      assert.equal(toChecksumAddress(address.toLowerCase() as Hex), address);
    }),
    { numRuns: 30 },
  );
});

test('values of the wrong size are refused by name, and a private key never shows in the message', () => {
  const separator = new Uint8Array(32);
  const good = {
    from: `0x${'11'.repeat(20)}` as Hex,
    to: `0x${'22'.repeat(20)}` as Hex,
    value: 1n,
    validAfter: 0n,
    validBefore: 2n,
    nonce: `0x${'33'.repeat(32)}` as Hex,
  };
  const refused: [Partial<typeof good>, RegExp][] = [
    [{ from: `0x${'11'.repeat(19)}` }, /^from /],
    [{ to: `0x${'g1'.repeat(20)}` }, /^to /],
    [{ to: `0x${'1１'.repeat(20)}` }, /^to /],
    [{ value: -1n }, /^value /],
    [{ validBefore: 2n ** 256n }, /^validBefore /],
    [{ nonce: '0x' }, /^nonce /],
  ];
  for (const [change, message] of refused)
    assert.throws(() => hashTransferAuthorization(separator, { ...good, ...change }), {
      name: 'SignInputError',
      message,
    });
  const secret = 'abcd'.repeat(15);
  for (const key of [`0x${secret}`, `0x${'0'.repeat(64)}`, `0x${'f'.repeat(64)}`] as Hex[])
    assert.throws(
      () => signHash(new Uint8Array(32), key),
      (error) => error instanceof SignInputError && !error.message.includes(secret),
    );
});
