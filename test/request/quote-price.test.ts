import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { FLAT_WORK } from '../../src/pricing/flat-work.ts';
import { routeOf } from '../support/route-of.ts';
import { testQuotes } from '../support/test-quotes.ts';

const SECRET = 'a secret of at least thirty-two bytes';
const quotes = testQuotes(SECRET, 300_000);
const route = routeOf('POST /summarize');

test('a quote is good for its route and price rule until its time to live is over', () => {
  const quote = quotes.issue(route, FLAT_WORK, 1_000_000);
  assert.equal(quote.max, 6000n);
  assert.equal(quote.expiresAtMs, 1_300_000);
  assert.equal(quotes.verify(quote.id, route, 1_000_000), 'ok');
  assert.equal(quotes.verify(quote.id, route, 1_300_000), 'ok');
  assert.equal(quotes.verify(quote.id, route, 1_300_001), 'expired');
});

test('a quote of another route, price rule or secret is unknown', () => {
  const { id } = quotes.issue(route, FLAT_WORK, 0);
  assert.equal(quotes.verify(id, routeOf('POST /other'), 0), 'unknown');
  assert.equal(quotes.verify(id, { ...route, priceVersion: 'v2' }, 0), 'unknown');
  assert.equal(testQuotes(`${SECRET}!`, 300_000).verify(id, route, 0), 'unknown');
});

test('two quotes never share an id', () => {
  const ids = new Set(Array.from({ length: 1000 }, () => quotes.issue(route, FLAT_WORK, 5).id));
  assert.equal(ids.size, 1000);
});

test('a quote with any character changed is unknown, and no text makes verify throw', () => {
  const { id } = quotes.issue(route, FLAT_WORK, 0);
  fc.assert(
    fc.property(fc.nat(id.length - 1), fc.constantFrom(...'ABab01-_'), (at, character) => {
      const changed = id.slice(0, at) + character + id.slice(at + 1);
      assert.equal(quotes.verify(changed, route, 0), changed === id ? 'ok' : 'unknown');
    }),
  );
  fc.assert(
    fc.property(fc.string(), (text) => assert.equal(quotes.verify(text, route, 0), 'unknown')),
  );
});
