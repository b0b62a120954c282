import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { decodeFunctionResult, encodeAbiParameters, encodeFunctionData, parseAbi } from 'viem';
import {
  aggregate3,
  authorizationState,
  balanceOf,
  decodeAggregate3,
  decodeNumber,
  ReturnDataMalformed,
  revertReason,
  transferWithAuthorization,
} from '../../src/chains/evm/contract-calls.ts';
import type { Hex } from '../../src/chains/evm/sign.ts';

const ABI = parseAbi([
  'function balanceOf(address) view returns (uint256)',
  'function authorizationState(address, bytes32) view returns (bool)',
  'function transferWithAuthorization(address,address,uint256,uint256,uint256,bytes32,uint8,bytes32,bytes32)',
  'function transferWithAuthorization(address,address,uint256,uint256,uint256,bytes32,bytes)',
  'struct Call { address target; bool allowFailure; bytes callData; }',
  'struct Result { bool success; bytes returnData; }',
  'function aggregate3(Call[]) payable returns (Result[])',
]);

const hex = (bytes: number) =>
  fc
    .uint8Array({ minLength: bytes, maxLength: bytes })
    .map((array): Hex => `0x${Buffer.from(array).toString('hex')}`);
const data = fc
  .uint8Array({ maxLength: 300 })
  .map((array): Hex => `0x${Buffer.from(array).toString('hex')}`);
const uint256 = fc.bigInt({ min: 0n, max: 2n ** 256n - 1n });

const transfer = fc.record({
  from: hex(20),
  to: hex(20),
  value: uint256,
  validAfter: uint256,
  validBefore: uint256,
  nonce: hex(32),
});

describe('calldata', () => {
  it('of balanceOf and authorizationState is as another implementation encodes it', () => {
    fc.assert(
      fc.property(hex(20), hex(32), (account, nonce) => {
        assert.equal(
          `0x${balanceOf(account)}`,
          encodeFunctionData({ abi: ABI, functionName: 'balanceOf', args: [account] }),
        );
        assert.equal(
          `0x${authorizationState(account, nonce)}`,
          encodeFunctionData({
            abi: ABI,
            functionName: 'authorizationState',
            args: [account, nonce],
          }),
        );
      }),
      { numRuns: 20 },
    );
  });

  it('of transferWithAuthorization takes v, r and s for 65 bytes, and bytes for more', () => {
    fc.assert(
      fc.property(
        transfer,
        hex(65),
        fc.uint8Array({ minLength: 66, maxLength: 200 }),
        (t, key, longer) => {
          const head = [t.from, t.to, t.value, t.validAfter, t.validBefore, t.nonce] as const;
          const r: Hex = `0x${key.slice(2, 66)}`;
          const s: Hex = `0x${key.slice(66, 130)}`;
          assert.equal(
            `0x${transferWithAuthorization({ ...t, signature: key })}`,
            encodeFunctionData({
              abi: ABI,
              functionName: 'transferWithAuthorization',
              args: [...head, Number.parseInt(key.slice(130), 16), r, s],
            }),
          );
          const contract: Hex = `0x${Buffer.from(longer).toString('hex')}`;
          assert.equal(
            `0x${transferWithAuthorization({ ...t, signature: contract })}`,
            encodeFunctionData({
              abi: ABI,
              functionName: 'transferWithAuthorization',
              args: [...head, contract],
            }),
          );
        },
      ),
      { numRuns: 50 },
    );
  });

  it('of aggregate3 is as another implementation encodes it, and its results are read alike', () => {
    const call = fc.record({ target: hex(20), allowFailure: fc.boolean(), callData: data });
    const result = fc.record({ success: fc.boolean(), returnData: data });
    fc.assert(
      fc.property(
        fc.array(call, { maxLength: 6 }),
        fc.array(result, { maxLength: 6 }),
        (calls, results) => {
          assert.equal(
            `0x${aggregate3(
              calls.map(({ target, allowFailure, callData }) => ({
                ...{ target, mayRevert: allowFailure, data: callData.slice(2) },
              })),
            )}`,
            encodeFunctionData({ abi: ABI, functionName: 'aggregate3', args: [calls] }),
          );
          const encoded = encodeAbiParameters(
            [
              {
                type: 'tuple[]',
                components: [
                  { name: 'success', type: 'bool' },
                  { name: 'returnData', type: 'bytes' },
                ],
              },
            ],
            [results],
          );
          const theirs = decodeFunctionResult({
            abi: ABI,
            functionName: 'aggregate3',
            data: encoded,
          });
          assert.deepEqual(
            decodeAggregate3(encoded, results.length),
            theirs.map(({ success, returnData }) => ({ success, data: returnData.slice(2) })),
          );
        },
      ),
      { numRuns: 50 },
    );
  });
});

describe('return data of a broken node', () => {
  it('is refused by one error, whatever it is', () => {
    const word = fc.oneof(uint256, fc.nat(400).map(BigInt));
    const soup = fc
      .array(word, { maxLength: 12 })
      .map((words) => `0x${words.map((value) => value.toString(16).padStart(64, '0')).join('')}`);
    const anything = fc.oneof(soup, data, fc.string(), fc.constant(null), fc.integer());
    fc.assert(
      fc.property(anything, fc.nat(6), (value, count) => {
        try {
          decodeAggregate3(value, count);
        } catch (error) {
          assert.ok(error instanceof ReturnDataMalformed, String(error));
        }
      }),
      { numRuns: 1_000 },
    );
  });

  it('is refused where a number is missing', () => {
    assert.throws(() => decodeNumber(''), ReturnDataMalformed);
  });

  it('never makes the reason of a revert throw', () => {
    fc.assert(
      fc.property(fc.oneof(data, fc.string(), fc.constant(undefined)), (value) => {
        assert.equal(typeof revertReason(value), 'string');
      }),
    );
  });

  it('reads the words of a revert', () => {
    const words = encodeAbiParameters([{ type: 'string' }], ['ERC20: too little']);
    assert.equal(revertReason(`0x08c379a0${words.slice(2)}`), 'ERC20: too little');
    assert.equal(revertReason('0x'), 'reverted without a reason');
    assert.equal(revertReason(`0x4e487b71${'11'.padStart(64, '0')}`), 'panic 0x11');
  });
});
