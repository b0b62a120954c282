import assert from 'node:assert/strict';
import { test } from 'node:test';
import { RateLimited } from '../../src/core/errors.ts';
import { networkOf } from '../../src/core/network-of.ts';
import { createRateLimits } from '../../src/request/rate-limits.ts';

const options = {
  requestsPerMinute: { ip: 3, key: 2, wallet: 1 },
  unpaidPerMinute: 1,
  failuresPerMinute: 2,
};

test('an address is refused past its requests per minute, with the seconds to wait, and let in again after', () => {
  let nowMs = 1_000;
  const limits = createRateLimits(options, { now: () => nowMs });
  for (let i = 0; i < 3; i++) limits.request('203.0.113.7');
  assert.throws(
    () => limits.request('203.0.113.7'),
    (error) => error instanceof RateLimited && error.headers[1] === '60',
  );
  limits.request('203.0.113.8');
  nowMs += 60_000;
  limits.request('203.0.113.7');
});

test('addresses of one IPv6 /64 share a limit', () => {
  const limits = createRateLimits(options, { now: () => 0 });
  for (const host of ['1', 'ffff:1', 'a:b:c:d'])
    limits.request(`2001:db8:1:2:${host.includes(':c:') ? '' : ':'}${host}`);
  assert.throws(() => limits.request('2001:db8:1:2::9'), RateLimited);
  limits.request('2001:db8:1:3::9');
});

test('keys, wallets and the making of unpaid 402s have limits of their own', () => {
  const limits = createRateLimits(options, { now: () => 0 });
  for (const payer of ['key:key_a', 'key:key_a', 'wallet:eip155:8453:0xa']) {
    limits.admit(payer);
    limits.paid(payer);
  }
  for (const payer of ['key:key_a', 'wallet:eip155:8453:0xa'])
    assert.throws(() => limits.admit(payer), RateLimited);
  limits.admit('key:key_b');
  limits.unpaid('203.0.113.7');
  assert.throws(() => limits.unpaid('203.0.113.7'), RateLimited);
});

test('naming a payer counts nothing: a stranger can not use up the limit of another', () => {
  const limits = createRateLimits(options, { now: () => 0 });
  for (let i = 0; i < 100; i++) limits.admit('wallet:eip155:8453:0xa');
});

test('too many failed requests lock out payer and address for the rest of the minute', () => {
  const limits = createRateLimits(options, { now: () => 0 });
  limits.failed('key:key_a', '203.0.113.7');
  limits.admit('key:key_a');
  limits.failed('key:key_a', '203.0.113.7');
  assert.throws(() => limits.admit('key:key_a'), RateLimited);
  assert.throws(() => limits.request('203.0.113.7'), RateLimited);
});

test('a clock that jumps back starts a new window instead of locking everybody out', () => {
  let nowMs = 1_000_000;
  const limits = createRateLimits(options, { now: () => nowMs });
  for (let i = 0; i < 3; i++) limits.request('203.0.113.7');
  nowMs = 5_000;
  limits.request('203.0.113.7');
});

test('every way to write an address leads to the network that its owner can not change', () => {
  assert.equal(networkOf('203.0.113.7'), '203.0.113.7');
  assert.equal(networkOf('::ffff:203.0.113.7'), '203.0.113.7');
  assert.equal(networkOf('2001:0db8:0001:0002:3:4:5:6'), '2001:db8:1:2::/64');
  assert.equal(networkOf('2001:DB8:1:2::6'), '2001:db8:1:2::/64');
  assert.equal(networkOf('::1'), '0:0:0:0::/64');
  assert.equal(networkOf('fe80::1%eth0'), 'fe80:0:0:0::/64');
});
