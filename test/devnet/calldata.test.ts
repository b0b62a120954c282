import assert from 'node:assert/strict';
import { it } from 'node:test';
import fc from 'fast-check';
import { encodeFunctionData, type Hex, keccak256, parseAbi, toHex } from 'viem';
import { calldata, keccakText } from '../../src/devnet/calldata.ts';

const address = fc
  .uint8Array({ minLength: 20, maxLength: 20 })
  .map((bytes): Hex => `0x${Buffer.from(bytes).toString('hex')}`);
const text = fc.string({ unit: 'binary', maxLength: 100 });
const uint = fc.bigInt({ min: 0n, max: 2n ** 256n - 1n });

it('calldata is what viem makes of the same call', () => {
  const signature = 'f(string,address,uint256,address[],string)';
  const abi = parseAbi([`function ${signature}`]);
  fc.assert(
    fc.property(text, address, uint, fc.array(address, { maxLength: 3 }), text, (...values) => {
      const expected = encodeFunctionData({ abi, functionName: 'f', args: values });
      assert.equal(calldata(signature, ...values), expected);
    }),
  );
});

it('keccak of a text is what viem makes of it', () => {
  fc.assert(fc.property(text, (one) => assert.equal(keccakText(one), keccak256(toHex(one)))));
});
