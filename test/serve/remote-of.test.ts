import assert from 'node:assert/strict';
import { test } from 'node:test';
import { compileRemoteOf } from '../../src/serve/remote-of.ts';

function remote(
  headers: Record<string, string>,
  over: {
    trustProxy?: string[];
    publicUrl?: string | null;
    socketAddress?: string;
    encrypted?: boolean;
  } = {},
): { address: string; scheme: string; host: string } {
  const { trustProxy = ['10.0.0.0/8', 'fd00::/8'], publicUrl = null } = over;
  return compileRemoteOf({ trustProxy, publicUrl })({
    socketAddress: over.socketAddress ?? '10.0.0.1',
    encrypted: over.encrypted ?? false,
    header: (name) => headers[name],
  });
}

test('behind a trusted proxy the right-most address that it did not trust is the client', () => {
  const headers = { 'x-forwarded-for': '6.6.6.6, 203.0.113.7, 10.0.0.2', host: 'inner' };
  assert.equal(remote(headers).address, '203.0.113.7');
  assert.equal(remote(headers, { socketAddress: '::ffff:10.0.0.1' }).address, '203.0.113.7');
  assert.equal(remote({ 'x-forwarded-for': '10.1.1.1' }).address, '10.1.1.1');
  assert.equal(remote({ 'x-forwarded-for': 'rubbish, 203.0.113.7' }).address, '203.0.113.7');
  assert.equal(remote({ 'x-forwarded-for': '203.0.113.7, rubbish' }).address, '10.0.0.1');
});

test('forwarded headers of anybody else count for nothing', () => {
  const headers = {
    'x-forwarded-for': '10.0.0.9',
    'x-forwarded-proto': 'https',
    'x-forwarded-host': 'evil.example',
    host: 'api.example:4020',
  };
  assert.deepEqual(remote(headers, { socketAddress: '203.0.113.7' }), {
    address: '203.0.113.7',
    scheme: 'http',
    host: 'api.example:4020',
  });
});

test('scheme and host come from the proxy, and publicUrl wins over both', () => {
  const headers = {
    'x-forwarded-proto': 'https',
    'x-forwarded-host': 'api.example.com',
    host: 'inner',
  };
  assert.deepEqual(remote(headers), {
    address: '10.0.0.1',
    scheme: 'https',
    host: 'api.example.com',
  });
  const { scheme, host } = remote(headers, { publicUrl: 'https://public.example' });
  assert.deepEqual({ scheme, host }, { scheme: 'https', host: 'public.example' });
});

test('a Host header that is not a host is not repeated in our links', () => {
  for (const host of ['a b', 'x/../y', '"><script>', 'a@b', `${'x'.repeat(300)}`])
    assert.equal(remote({ host }).host, 'localhost', host);
  assert.equal(remote({ host: '[::1]:80' }).host, '[::1]:80');
});
