import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import {
  parseCidr,
  parseDatabase,
  parseDuration,
  parseHttpUrl,
  parseListen,
  parseOrigin,
  parsePublicUrl,
  parseSize,
  ScalarError,
} from '../../src/config/scalars.ts';

describe('durations', () => {
  it('are whole numbers with a unit', () => {
    assert.deepEqual(
      ['1ms', '500ms', '30s', '5m', '2h', '24d'].map(parseDuration),
      [1, 500, 30_000, 300_000, 7_200_000, 2_073_600_000],
    );
  });

  it('without a unit, with a fraction, of nothing or beyond what a timer holds are refused', () => {
    for (const text of [
      '30',
      '1.5s',
      '0s',
      '25d',
      '9999999999d',
      '-1s',
      '1 s',
      's',
      '',
      '1S',
      '1e3s',
    ])
      assert.throws(() => parseDuration(text), ScalarError, text);
  });
});

describe('sizes', () => {
  it('are bytes, or counted in 1024s', () => {
    assert.deepEqual(
      [0, 10, '10', '10B', '64KiB', '10MiB', '1GiB'].map(parseSize),
      [0, 10, 10, 10, 65_536, 10_485_760, 1_073_741_824],
    );
  });

  it('in 1000s, with a fraction or beyond 1 GiB are refused', () => {
    for (const size of [
      '10MB',
      '10k',
      '1.5MiB',
      '2GiB',
      -1,
      1.5,
      Number.NaN,
      Number.POSITIVE_INFINITY,
      '',
    ])
      assert.throws(() => parseSize(size), ScalarError, String(size));
  });
});

describe('addresses', () => {
  it('to listen on have a host and a port', () => {
    assert.deepEqual(parseListen('0.0.0.0:80'), { host: '0.0.0.0', port: 80 });
    assert.deepEqual(parseListen('[::]:65535'), { host: '::', port: 65_535 });
    for (const text of [
      '4020',
      ':4020',
      'a:b',
      'a:65536',
      '::1:80',
      '[1.2.3.4]:80',
      '[zz]:1',
      'a b:1',
    ])
      assert.throws(() => parseListen(text), ScalarError, text);
  });

  it('of trusted proxies are ranges, and one address is a range of one', () => {
    assert.equal(parseCidr('10.0.0.0/8'), '10.0.0.0/8');
    assert.equal(parseCidr('127.0.0.1'), '127.0.0.1/32');
    assert.equal(parseCidr('fd00::/8'), 'fd00::/8');
    for (const text of [
      '10.0.0.0/33',
      '::1/129',
      '10.0.0/8',
      'a/8',
      '10.0.0.0/',
      '10.0.0.0/8/8',
      '',
    ])
      assert.throws(() => parseCidr(text), ScalarError, text);
  });
});

describe('every parser of a value', () => {
  it('throws nothing but ScalarError, whatever it is given', () => {
    const parsers = [
      ...[parseDuration, parseSize, parseListen, parseCidr],
      ...[parseHttpUrl, parsePublicUrl, parseOrigin, parseDatabase],
    ];
    const texts = fc.oneof(
      fc.string({ unit: 'binary' }),
      fc.webUrl(),
      fc.ipV4(),
      fc.ipV6(),
      fc.tuple(fc.oneof(fc.ipV4(), fc.ipV6()), fc.integer()).map(([ip, n]) => `${ip}/${n}`),
      fc.tuple(fc.domain(), fc.integer()).map(([host, n]) => `${host}:${n}`),
      fc
        .tuple(fc.nat(), fc.constantFrom('ms', 's', 'd', 'B', 'MiB'))
        .map(([n, unit]) => `${n}${unit}`),
    );
    fc.assert(
      fc.property(fc.constantFrom(...parsers), texts, (parse, text) => {
        try {
          parse(text);
        } catch (error) {
          assert.ok(error instanceof ScalarError, String(error));
        }
      }),
      { numRuns: 2000 },
    );
  });
});
