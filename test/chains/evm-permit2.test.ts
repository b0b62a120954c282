import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  x402UptoPermit2ProxyABI as abi,
  PERMIT2_ADDRESS,
  uptoPermit2WitnessTypes,
  x402UptoPermit2ProxyAddress,
} from '@x402/evm';
import fc from 'fast-check';
import { encodeFunctionData, hashTypedData, toHex } from 'viem';
import { TRANSFER, word, wordOfHex } from '../../src/chains/evm/contract-calls.ts';
import { movedUpto } from '../../src/chains/evm/find-upto.ts';
import {
  isNonceUsed,
  NONCES_INVALIDATED,
  type SignedUptoPermit,
  settlesUpto,
  settleUpto,
} from '../../src/chains/evm/permit2-calls.ts';
import { domainSeparator, type Hex, SignInputError } from '../../src/chains/evm/sign.ts';
import {
  approvePermit2,
  hashTokenPermit,
  hashUptoPermit,
  PERMIT2,
  permit2Separator,
  type TokenPermit,
  UPTO_PROXY,
} from '../../src/chains/evm/sign-permit2.ts';

const uint256 = fc.bigInt({ min: 0n, max: 2n ** 256n - 1n });
const bytes = (length: number): fc.Arbitrary<Hex> =>
  fc.uint8Array({ minLength: length, maxLength: length }).map((value) => toHex(value));
const address = bytes(20);

const tokenPermit = fc.record({
  owner: address,
  spender: address,
  value: uint256,
  nonce: uint256,
  deadline: uint256,
});

const uptoPermit = fc.record({
  from: address,
  permitted: fc.record({ token: address, amount: uint256 }),
  spender: address,
  nonce: uint256,
  deadline: uint256,
  witness: fc.record({ to: address, facilitator: address, validAfter: uint256 }),
});

const signed: fc.Arbitrary<SignedUptoPermit> = fc
  .record({
    permit: uptoPermit,
    signature: fc.uint8Array({ minLength: 1, maxLength: 200 }).map((value) => toHex(value)),
    tokenPermit: fc.option(
      fc.record({ permit: tokenPermit, signature: bytes(65) }).map(({ permit, signature }) => ({
        ...permit,
        signature,
      })),
    ),
  })
  .map(({ permit, ...rest }) => ({ ...permit, ...rest }));

const fieldOf = (text: string): { name: string; type: string } => {
  const [name = '', type = ''] = text.split(' ');
  return { name, type };
};

const hex = (value: Uint8Array): Hex => toHex(value);

function officialCalldata(permit: SignedUptoPermit, amount: bigint): Hex {
  const { permitted, nonce, deadline, from, witness, signature, tokenPermit: token } = permit;
  const settle = [{ permitted, nonce, deadline }, amount, from, witness, signature] as const;
  if (token === null)
    return encodeFunctionData({ abi, functionName: 'settle', args: settle } as never);
  const rsv = token.signature;
  const permit2612 = {
    value: token.value,
    deadline: token.deadline,
    r: rsv.slice(0, 66),
    s: `0x${rsv.slice(66, 130)}`,
    v: Number.parseInt(rsv.slice(130), 16),
  };
  return encodeFunctionData({
    ...{ abi, functionName: 'settleWithPermit', args: [permit2612, ...settle] },
  } as never);
}

describe('what a payer of Permit2 signs', () => {
  it('has the addresses that the official package has', () => {
    assert.equal(PERMIT2, PERMIT2_ADDRESS);
    assert.equal(UPTO_PROXY, x402UptoPermit2ProxyAddress);
  });

  it('is hashed as another implementation hashes it, for any upto permit', () => {
    fc.assert(
      fc.property(uptoPermit, fc.integer({ min: 1, max: 2 ** 40 }), (permit, chainId) => {
        const { from: _, ...message } = permit;
        const official = hashTypedData({
          domain: { name: 'Permit2', chainId, verifyingContract: PERMIT2 },
          types: uptoPermit2WitnessTypes,
          primaryType: 'PermitWitnessTransferFrom',
          message,
        });
        assert.equal(hex(hashUptoPermit(permit2Separator(BigInt(chainId)), permit)), official);
      }),
      { numRuns: 100 },
    );
  });

  it('is hashed as another implementation hashes it, for any permit of a token', () => {
    const domain = { name: 'USD Coin', version: '2', chainId: 8453, verifyingContract: PERMIT2 };
    const separator = domainSeparator({ ...domain, chainId: 8453n });
    fc.assert(
      fc.property(tokenPermit, (permit: TokenPermit) => {
        const message = { ...permit };
        const fields = ['owner address', 'spender address', 'value uint256', 'nonce uint256'];
        const types = { Permit: [...fields, 'deadline uint256'].map(fieldOf) };
        const official = hashTypedData({ domain, types, primaryType: 'Permit', message });
        assert.equal(hex(hashTokenPermit(separator, permit)), official);
      }),
      { numRuns: 100 },
    );
  });

  it('is refused when a field does not have its size', () => {
    const permit = { owner: '0x12' as Hex, spender: PERMIT2, value: 1n, nonce: 0n, deadline: 1n };
    const separator = permit2Separator(1n);
    assert.throws(() => hashTokenPermit(separator, permit), SignInputError);
    const owner = PERMIT2;
    assert.throws(
      () => hashTokenPermit(separator, { ...permit, owner, value: 2n ** 256n }),
      SignInputError,
    );
    assert.throws(() => hashTokenPermit(new Uint8Array(31), { ...permit, owner }), SignInputError);
  });
});

describe('the calldata of a settlement', () => {
  it('is what another implementation encodes, with and without a token permit', () => {
    fc.assert(
      fc.property(signed, uint256, (permit, amount) => {
        assert.equal(`0x${settleUpto(permit, amount)}`, officialCalldata(permit, amount));
      }),
      { numRuns: 100 },
    );
  });

  it('is recognised for its own permit and amount alone', () => {
    fc.assert(
      fc.property(signed, uint256, (permit, amount) => {
        const data = settleUpto(permit, amount);
        assert.ok(settlesUpto(data, permit, amount));
        assert.ok(settlesUpto(`0x${data.toUpperCase()}`, permit, amount));
        assert.ok(!settlesUpto(data, permit, amount ^ 1n));
        assert.ok(!settlesUpto(data, { ...permit, nonce: permit.nonce ^ 1n }, amount));
        assert.ok(!settlesUpto(data, { ...permit, from: UPTO_PROXY }, amount));
        assert.ok(!settlesUpto(data.slice(0, 100), permit, amount));
      }),
      { numRuns: 100 },
    );
  });
});

it('a settlement moved exactly its amount, from its payer to its payee, in its token', () => {
  const [from, to, token] = ['1', '2', '3'].map((digit): Hex => `0x${digit.repeat(40)}`) as [
    Hex,
    Hex,
    Hex,
  ];
  const permit = {
    ...{ from, permitted: { token, amount: 9n }, spender: UPTO_PROXY, nonce: 1n, deadline: 1n },
    witness: { to, facilitator: from, validAfter: 0n },
  };
  const log = {
    address: token,
    topics: [TRANSFER, `0x${wordOfHex(from)}`, `0x${wordOfHex(to)}`],
    data: `0x${word(5n)}`,
  };
  const receipt = {
    ...{ transaction: TRANSFER, block: 1n, blockHash: null, succeeded: true, sender: from },
    ...{ gasNano: 0n, logs: [log] },
  };
  assert.ok(movedUpto(receipt, { permit, amount: 5n }));
  assert.ok(!movedUpto(receipt, { permit, amount: 4n }));
  assert.ok(!movedUpto({ ...receipt, succeeded: false }, { permit, amount: 5n }));
  for (const change of [
    { address: to },
    { topics: [log.topics[0] ?? '', log.topics[2] ?? '', log.topics[1] ?? ''] },
    { topics: [NONCES_INVALIDATED, ...log.topics.slice(1)] },
  ])
    assert.ok(!movedUpto({ ...receipt, logs: [{ ...log, ...change }] }, { permit, amount: 5n }));
});

it('a nonce is one bit of its word', () => {
  assert.ok(isNonceUsed(1n << 255n, 0x1ffn));
  assert.ok(!isNonceUsed(1n << 255n, 0x1fen));
  assert.ok(isNonceUsed(1n, 2n ** 256n - 256n));
});

it('approving Permit2 is the call that wallets know', () => {
  const spender = PERMIT2.slice(2).toLowerCase();
  assert.equal(approvePermit2(), `0x095ea7b3${'0'.repeat(24)}${spender}${'f'.repeat(64)}`);
});
