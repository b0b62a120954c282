import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { keccak256, parseTransaction, recoverTransactionAddress } from 'viem';
import { privateKeyToAccount } from 'viem/accounts';
import type { Hex } from '../../src/chains/evm/sign.ts';
import { signTransaction } from '../../src/chains/evm/transaction.ts';

const KEY: Hex = `0x${'42'.repeat(32)}`;
const account = privateKeyToAccount(KEY);
const keyBytes = Buffer.from(KEY.slice(2), 'hex');

const fields = fc.record({
  chainId: fc.bigInt({ min: 1n, max: 2n ** 40n }),
  nonce: fc.oneof(fc.constantFrom(0, 1, 127, 128, 255, 256), fc.integer({ min: 0, max: 2 ** 40 })),
  gasLimit: fc.bigInt({ min: 0n, max: 30_000_000n }),
  maxFeePerGas: fc.bigInt({ min: 0n, max: 2n ** 70n }),
  maxPriorityFeePerGas: fc.bigInt({ min: 0n, max: 2n ** 40n }),
  value: fc.bigInt({ min: 0n, max: 2n ** 80n }),
  to: fc
    .uint8Array({ minLength: 20, maxLength: 20 })
    .map((bytes): Hex => `0x${Buffer.from(bytes).toString('hex')}`),
  data: fc
    .uint8Array({ maxLength: 70_000, size: 'max' })
    .map((bytes): Hex => `0x${Buffer.from(bytes).toString('hex')}`),
});

describe('signed EIP-1559 transactions', () => {
  it('are byte for byte what another implementation makes', async () => {
    await fc.assert(
      fc.asyncProperty(fields, async (given) => {
        const signed = signTransaction(given, account.address, keyBytes);
        const { gasLimit, chainId, ...rest } = given;
        const expected = await account.signTransaction({
          ...rest,
          // Only the encoding is compared; the other implementation refuses such fees.
          maxFeePerGas: given.maxFeePerGas + given.maxPriorityFeePerGas,
          chainId: Number(chainId),
          gas: gasLimit,
          type: 'eip1559',
        });
        const again = signTransaction(
          { ...given, maxFeePerGas: given.maxFeePerGas + given.maxPriorityFeePerGas },
          account.address,
          keyBytes,
        );
        assert.equal(again.raw, expected);
        assert.equal(again.hash, keccak256(expected));
        assert.equal(signed.nonce, given.nonce);
        assert.equal(signed.sender, account.address.toLowerCase());
      }),
      { numRuns: 60 },
    );
  });

  it('are signed by the key and carry what was asked for', async () => {
    const signed = signTransaction(
      {
        ...{ chainId: 8453n, nonce: 5, gasLimit: 100_000n, value: 0n },
        ...{ maxFeePerGas: 10n, maxPriorityFeePerGas: 2n },
        ...{ to: account.address, data: '0x1234' },
      },
      account.address,
      keyBytes,
    );
    const parsed = parseTransaction(signed.raw);
    assert.equal(parsed.nonce, 5);
    assert.equal(parsed.data, '0x1234');
    const signer = await recoverTransactionAddress({
      serializedTransaction: signed.raw as `0x02${string}`,
    });
    assert.equal(signer, account.address);
  });
});
