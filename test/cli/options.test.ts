import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { InvalidArgumentError } from 'commander';
import fc from 'fast-check';
import { limitOption, positiveUsdOption, usdOption } from '../../src/cli/options.ts';

describe('amounts on the command line', () => {
  it('are dollars, with or without the sign that shells eat', () => {
    assert.equal(usdOption('$5'), 5_000_000n);
    assert.equal(usdOption('0.25'), 250_000n);
    assert.equal(usdOption('0'), 0n);
  });

  it('of nothing are refused where something is needed', () => {
    assert.throws(() => positiveUsdOption('$0'), InvalidArgumentError);
    assert.equal(positiveUsdOption('0.000001'), 1n);
  });

  it('that are no amounts are refused, whatever they are', () => {
    for (const text of ['', '$', 'five', '-1', '0.0000001', '.00', '1e3', '$$1'])
      assert.throws(() => usdOption(text), InvalidArgumentError, text);
    fc.assert(
      fc.property(fc.string(), (text) => {
        try {
          usdOption(text);
        } catch (error) {
          assert.ok(error instanceof InvalidArgumentError);
        }
      }),
    );
  });
});

describe('limits on the command line', () => {
  it('are counts from 1 to 10000', () => {
    assert.equal(limitOption('1'), 1);
    assert.equal(limitOption('10000'), 10_000);
    for (const text of ['0', '10001', '-1', '1.5', 'x', '', '1e3', '0x1'])
      assert.throws(() => limitOption(text), InvalidArgumentError, text);
  });
});
