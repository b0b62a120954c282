import assert from 'node:assert/strict';
import { test } from 'node:test';
import { forwardableHeaders } from '../../src/core/forwarding.ts';
import { withheldHeaders } from '../../src/request/proxy-upstream.ts';

test('headers that Connection names never cross, wherever they stand and however they are written', () => {
  const headers = [
    'X-Hop',
    '1',
    'Connection',
    'keep-alive, x-hop',
    'Accept',
    'b',
    'CONNECTION',
    'X-Two',
  ];
  assert.deepEqual(forwardableHeaders([...headers, 'x-two', '2']), ['Accept', 'b']);
});

test('a plain Connection: keep-alive takes nothing else away', () => {
  const headers = [
    'Connection',
    'keep-alive',
    'Keep-Alive',
    'timeout=5',
    'Close',
    'c',
    'Accept',
    'b',
  ];
  assert.deepEqual(forwardableHeaders(headers), ['Close', 'c', 'Accept', 'b']);
});

test('credentials of the rails and headers that would change the route are withheld from upstreams', () => {
  const headers = [
    'X-API-Key',
    'k',
    'X-Original-URL',
    '/y',
    'X-PAYMENT',
    'p',
    'Content-Length',
    '3',
  ];
  assert.deepEqual(forwardableHeaders(headers, withheldHeaders(['x-api-key'])), []);
  assert.deepEqual(forwardableHeaders(['X-API-Key', 'k'], withheldHeaders([])), ['X-API-Key', 'k']);
});
