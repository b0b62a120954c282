import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import {
  AUTHORIZATION_CANCELED,
  AUTHORIZATION_USED,
  TRANSFER,
  word,
  wordOfHex,
} from '../../src/chains/evm/contract-calls.ts';
import { RpcUnavailable } from '../../src/chains/evm/json-rpc.ts';
import {
  type ChainLog,
  type ChainReceipt,
  type ExpectedTransfer,
  effectOn,
  parseReceipt,
} from '../../src/chains/evm/receipt.ts';
import type { Hex } from '../../src/chains/evm/sign.ts';

const ASSET: Hex = '0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913';
const OTHER: Hex = `0x${'0e'.repeat(20)}`;
const FROM: Hex = `0x${'aB'.repeat(20)}`;
const TO: Hex = `0x${'0c'.repeat(20)}`;
const NONCE: Hex = `0x${'Dd'.repeat(32)}`;
const SECOND: Hex = `0x${'ee'.repeat(32)}`;
const EXPECTED: ExpectedTransfer = { asset: ASSET, from: FROM, to: TO, value: 6000n, nonce: NONCE };

const log = (address: Hex, topics: readonly string[], data = '0x'): ChainLog => ({
  ...{ address: address.toLowerCase(), topics, data },
});
const used = (nonce: Hex = NONCE, asset = ASSET): ChainLog =>
  log(asset, [AUTHORIZATION_USED, `0x${wordOfHex(FROM)}`, nonce.toLowerCase()]);
const canceled = (nonce: Hex = NONCE): ChainLog =>
  log(ASSET, [AUTHORIZATION_CANCELED, `0x${wordOfHex(FROM)}`, nonce.toLowerCase()]);
const moved = (value = 6000n, to: Hex = TO, asset = ASSET): ChainLog =>
  log(asset, [TRANSFER, `0x${wordOfHex(FROM)}`, `0x${wordOfHex(to)}`], `0x${word(value)}`);
const receipt = (...logs: ChainLog[]): ChainReceipt => ({
  transaction: `0x${'01'.repeat(32)}`,
  ...{ block: 5n, blockHash: null, succeeded: true, sender: TO, gasNano: 0n, logs },
});

describe('what a transaction did to an authorization', () => {
  const cases: readonly (readonly [string, ChainReceipt, ReturnType<typeof effectOn>])[] = [
    ['use and transfer in one call', receipt(used(), moved()), 'transferred'],
    ['other logs around them', receipt(moved(1n), used(), moved(), moved(2n)), 'transferred'],
    ['a transfer of another amount', receipt(used(), moved(5999n)), 'used_otherwise'],
    ['a transfer to somebody else', receipt(used(), moved(6000n, OTHER)), 'used_otherwise'],
    ['the transfer before the use', receipt(moved(), used()), 'used_otherwise'],
    ['a log between them', receipt(used(), used(SECOND), moved()), 'used_otherwise'],
    ['the transfer of another token', receipt(used(), moved(6000n, TO, OTHER)), 'used_otherwise'],
    ['a use without a transfer', receipt(used()), 'used_otherwise'],
    ['a use of the same nonce in another token', receipt(used(NONCE, OTHER), moved()), 'none'],
    ['the use of another nonce', receipt(used(SECOND), moved()), 'none'],
    ['cancellation', receipt(canceled()), 'cancelled'],
    ['cancellation and a plain transfer', receipt(canceled(), moved()), 'cancelled'],
    ['a reverted transaction', { ...receipt(used(), moved()), succeeded: false }, 'none'],
    ['no logs', receipt(), 'none'],
  ];
  for (const [name, given, effect] of cases)
    it(`reads ${name} as ${effect}`, () => assert.equal(effectOn(given, EXPECTED), effect));

  it('never counts one transfer for two nonces', () => {
    const both = receipt(used(), used(SECOND), moved());
    const effects = [NONCE, SECOND].map((nonce) => effectOn(both, { ...EXPECTED, nonce }));
    assert.deepEqual(effects, ['used_otherwise', 'transferred']);
  });
});

describe('receipts of nodes', () => {
  const raw = {
    ...{ transactionHash: `0x${'01'.repeat(32)}`, blockNumber: '0x10', status: '0x1' },
    ...{ from: FROM, gasUsed: '0x5208', effectiveGasPrice: '0x3b9aca01', logs: [] },
  };

  it('count gas in 10^-9 of the coin, rounded up, with the fee of the layer below', () => {
    assert.equal(parseReceipt(raw)?.gasNano, 21_001n);
    assert.equal(parseReceipt({ ...raw, l1Fee: '0x77359400' })?.gasNano, 21_003n);
    assert.equal(parseReceipt({ ...raw, l1Fee: null })?.gasNano, 21_001n);
  });

  it('are null while the transaction is pending', () => {
    assert.equal(parseReceipt(null), null);
    assert.equal(parseReceipt({ ...raw, blockNumber: null }), null);
  });

  it('that cannot be read are an unavailable node and nothing else', () => {
    fc.assert(
      fc.property(
        fc.oneof(
          fc.anything(),
          fc.record({ ...Object.fromEntries(Object.keys(raw).map((key) => [key, fc.anything()])) }),
        ),
        (value) => {
          try {
            parseReceipt(value);
          } catch (error) {
            assert.ok(error instanceof RpcUnavailable, String(error));
          }
        },
      ),
      { numRuns: 500 },
    );
  });
});
