/** Parsers of what strangers send to the gateway, and of what nodes and facilitators answer. */

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import fc from 'fast-check';
import {
  decodeAggregate3,
  ReturnDataMalformed,
  revertReason,
} from '../../src/chains/evm/contract-calls.ts';
import { openJsonRpc, RpcRefused, RpcUnavailable } from '../../src/chains/evm/json-rpc.ts';
import { effectOn, parseReceipt } from '../../src/chains/evm/receipt.ts';
import {
  CredentialConflict,
  CredentialMalformed,
  HeadersTooLarge,
  MethodNotAllowed,
  RequestMalformed,
  RouteNotFound,
} from '../../src/core/errors.ts';
import { networkOf } from '../../src/core/network-of.ts';
import { parseTarget } from '../../src/core/path.ts';
import { FLAT_WORK } from '../../src/pricing/flat-work.ts';
import { newApiKey, parseApiKey } from '../../src/rails/prepaid/protocol.ts';
import { apiKeyText } from '../../src/rails/prepaid/server.ts';
import { recogniseCredential } from '../../src/rails/x402/credential.ts';
import {
  createFacilitatorClient,
  FacilitatorUnavailable,
} from '../../src/rails/x402/facilitator.ts';
import { encodeHeader } from '../../src/rails/x402/protocol.ts';
import { compileRoutes } from '../../src/request/match-route.ts';
import { compileRemoteOf } from '../../src/serve/remote-of.ts';
import { exchangeOf } from '../rails/x402-fixture.ts';
import { routeOf } from '../support/route-of.ts';
import { testQuotes } from '../support/test-quotes.ts';
import { GOOD_PAYMENT_V1, GOOD_PAYMENT_V2, GOOD_RECEIPT, GOOD_TRANSFER } from './good-messages.ts';
import { jsons, nearly, texts } from './inputs.ts';
import { assertSame, outcomeOf, outcomeOfAsync, type Target, textOf } from './target.ts';

const matchRoute = compileRoutes([
  routeOf('GET /a/:id'),
  routeOf('POST /a/b'),
  routeOf('* /files/*'),
  routeOf('GET /'),
]);

const TARGETS_OF_HTTP = texts(
  '/a/b',
  '/a/%7Eb?x=1',
  'http://h/a//b/../c',
  '/files/%2e%2e/x',
  '/_pay/balance',
);

const target: Target = {
  name: 'request-target',
  inputs: TARGETS_OF_HTTP,
  check(input) {
    const outcome = outcomeOf(() => parseTarget(textOf(input)), [RequestMalformed]);
    if ('refusal' in outcome) return outcome.refusal;
    const { path, query } = outcome.result;
    assertSame(parseTarget(query === '' ? path : `${path}?${query}`), outcome.result);
    assert.match(path, /^\/$|^(\/[^/]+)+$/);
    assert.ok(!/\/\.{1,2}(\/|$)|%2f|%5c|[\\\0-\x20]/i.test(path), path);
    return `path of ${Math.min(5, path.split('/').length)}${path.includes('%') ? ' encoded' : ''}${query && ' query'}`;
  },
};

const route: Target = {
  name: 'route',
  inputs: TARGETS_OF_HTTP,
  check(input) {
    const refusals = [RequestMalformed, RouteNotFound, MethodNotAllowed];
    const outcome = outcomeOf(() => matchRoute('GET', textOf(input)), refusals);
    return 'refusal' in outcome ? outcome.refusal : outcome.result.route.id;
  },
};

const credential: Target = {
  name: 'x402-credential',
  inputs: fc.oneof(
    nearly(GOOD_PAYMENT_V2, GOOD_PAYMENT_V1).map((message) => encodeHeader(Object(message))),
    texts(encodeHeader(GOOD_PAYMENT_V2), encodeHeader(GOOD_PAYMENT_V1)),
  ),
  check(input) {
    const text = textOf(input);
    const refusals = [CredentialMalformed, CredentialConflict, HeadersTooLarge];
    const read = () => recogniseCredential(exchangeOf({ 'payment-signature': text }));
    const outcome = outcomeOf(read, refusals);
    const inV1 = outcomeOf(() => recogniseCredential(exchangeOf({ 'x-payment': text })), refusals);
    assert.equal('refusal' in inV1, 'refusal' in outcome, 'both headers are read alike');
    if ('refusal' in outcome) return outcome.refusal;
    assertSame(read(), outcome.result);
    const found = outcome.result;
    const isKnown = /^(eip155|solana):/.test(found?.network ?? '');
    return `v${found?.payment.x402Version} ${found?.exact !== null} ${isKnown} ${found?.signedBy}`;
  },
};

const apiKey: Target = {
  name: 'api-key',
  inputs: texts(
    newApiKey('live', randomBytes).key,
    newApiKey('test', randomBytes).key,
    'Bearer x',
    'unused',
  ),
  check(input) {
    const text = textOf(input);
    const parsed = parseApiKey(text);
    if (parsed !== null) assert.match(parsed.id, /^key_[1-9A-HJ-NP-Za-km-z]+$/);
    const headers = { 'x-api-key': text, authorization: `Bearer ${text}` };
    const outcome = outcomeOf(() => apiKeyText(exchangeOf(headers)), [CredentialConflict]);
    const how = 'refusal' in outcome ? outcome.refusal : String(outcome.result === null);
    return `${parsed?.mode ?? 'no key'} ${how}`;
  },
};

const quotes = testQuotes('a secret of the fuzzer', 60_000);
const quoted = routeOf('GET /a');

const quoteId: Target = {
  name: 'quote-id',
  inputs: texts(quotes.issue(quoted, FLAT_WORK, 0).id),
  check: (input) => {
    const verdict = quotes.verify(textOf(input), quoted, 1_000_000);
    assert.notEqual(verdict, 'ok', 'what we issued has expired, and nothing else is ours');
    return verdict;
  },
};

const remoteOf = compileRemoteOf({ trustProxy: ['10.0.0.0/8', 'fd00::/8'], publicUrl: null });

const remote: Target = {
  name: 'forwarded-headers',
  inputs: texts(
    '10.0.0.1',
    '203.0.113.7, 10.0.0.2',
    '::ffff:10.0.0.1',
    'fd00::1',
    'https',
    'api.example.com:8080',
    '[::1]:80',
  ),
  check(input) {
    const text = textOf(input);
    const found = remoteOf({ socketAddress: '10.0.0.1', encrypted: false, header: () => text });
    const direct = remoteOf({ socketAddress: '203.0.113.7', encrypted: true, header: () => text });
    assert.equal(direct.address, '203.0.113.7', 'a stranger names no address');
    for (const { host, scheme } of [found, direct]) {
      assert.match(host, /^[A-Za-z0-9.:[\]-]{1,300}$/);
      assert.match(scheme, /^https?$/);
    }
    const network = networkOf(found.address);
    assert.match(network, /^[0-9a-f:.]+(::\/64)?$/i);
    return `${network.includes(':') ? 'IPv6' : 'IPv4'} ${found.scheme} ${found.host === 'localhost'}`;
  },
};

const receipt: Target = {
  name: 'chain-receipt',
  inputs: fc.oneof(nearly(GOOD_RECEIPT), jsons()),
  check(input) {
    const outcome = outcomeOf(() => {
      const found = parseReceipt(input);
      return found === null ? 'not mined' : effectOn(found, GOOD_TRANSFER);
    }, [RpcUnavailable]);
    return 'refusal' in outcome ? outcome.refusal : outcome.result;
  },
};

const returnData: Target = {
  name: 'return-data',
  inputs: texts(
    `0x${'0'.repeat(62)}20${'0'.repeat(63)}1${'0'.repeat(62)}20${'0'.repeat(63)}1`,
    '0x08c379a0',
  ),
  check(input) {
    assert.equal(typeof revertReason(input), 'string');
    const outcome = outcomeOf(() => decodeAggregate3(input, 2), [ReturnDataMalformed]);
    return 'refusal' in outcome ? outcome.refusal : `${outcome.result.length} results`;
  },
};

const nodeAnswer: Target = {
  name: 'node-answer',
  inputs: fc.oneof(
    nearly(
      { jsonrpc: '2.0', id: 0, result: '0x1' },
      { jsonrpc: '2.0', id: 0, error: { code: 3, message: 'no', data: '0x' } },
      { jsonrpc: '2.0', id: 0, error: { code: 3, message: { toString: null } } },
    ).map((value) => JSON.stringify(value)),
    texts('{"jsonrpc":"2.0","id":0,"result":"0x1"}'),
  ),
  async check(input) {
    const rpc = openJsonRpc({
      urls: ['http://node'],
      post: async () => ({ status: 200, text: textOf(input) }),
    });
    const outcome = await outcomeOfAsync(
      () => rpc.call('eth_chainId', []),
      [RpcRefused, RpcUnavailable],
    );
    await rpc.close();
    return 'refusal' in outcome ? outcome.refusal.slice(0, 30) : typeof outcome.result;
  },
};

const facilitatorAnswer: Target = {
  name: 'facilitator-answer',
  inputs: fc.oneof(
    nearly(
      { isValid: true, success: true, transaction: '0x1' },
      { isValid: false, invalidReason: 'x', success: false, errorReason: 'y' },
      { kinds: [{ scheme: 'exact', network: 'base' }] },
    ).map((value) => JSON.stringify(value)),
    texts('{"success":true,"transaction":"0x1"}'),
  ),
  async check(input) {
    const client = createFacilitatorClient(async () => new Response(textOf(input)));
    const asked = [
      () => client.verify('http://f', '{}'),
      () => client.settle('http://f', '{}', 1_000),
      () => client.supports('http://f', ['base']),
    ];
    const outcomes: string[] = [];
    for (const ask of asked) {
      const outcome = await outcomeOfAsync<unknown>(ask, [FacilitatorUnavailable]);
      outcomes.push('refusal' in outcome ? 'refused' : Object.keys(Object(outcome.result)).join());
    }
    return outcomes.join(' ');
  },
};

export const WIRE_TARGETS: readonly Target[] = [
  ...[target, route, credential, apiKey, quoteId, remote],
  ...[receipt, returnData, nodeAnswer, facilitatorAnswer],
];
