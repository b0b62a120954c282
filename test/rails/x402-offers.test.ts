import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { decodePaymentRequiredHeader } from '@x402/core/http';
import { PaymentRequiredV1Schema, PaymentRequiredV2Schema } from '@x402/core/schemas';
import { RailUnavailable } from '../../src/core/errors.ts';
import { type EvmDevnet, startEvmDevnet } from '../../src/devnet/start-evm-devnet.ts';
import { createDeadlines } from '../../src/rails/x402/deadlines.ts';
import type { X402Network } from '../../src/rails/x402/network.ts';
import { buildOffers } from '../../src/rails/x402/offers.ts';
import { decodePaymentRequired } from '../../src/rails/x402/protocol.ts';
import { routeOf } from '../support/route-of.ts';
import { exchangeOf, newKey, openDesk, PAY_TO } from './x402-fixture.ts';

let devnet: EvmDevnet;
before(async () => {
  devnet = await startEvmDevnet({ chainId: 8453 });
});
after(() => devnet.close());

const QUOTE = {
  ...{ id: 'quote', routeId: 'POST /summarize', priceVersion: 'v1', max: 6_000n },
  ...{ issuedAtMs: 0, expiresAtMs: 300_000 },
};

const networkOf = (id: string, over: Partial<X402Network['asset']> = {}): X402Network =>
  ({
    ...{ id, v1Name: id === 'eip155:8453' ? 'base' : undefined, displayName: id, payTo: PAY_TO },
    asset: {
      address: PAY_TO,
      name: 'USD Coin',
      version: '2',
      decimals: 6,
      symbol: 'USDC',
      ...over,
    },
  }) as X402Network;

function headerOf(headers: readonly string[]): string {
  return headers[headers.indexOf('PAYMENT-REQUIRED') + 1] ?? '';
}

describe('the offers of a 402', () => {
  it('are read by the official decoders of v2 and v1', async (t) => {
    const desk = await openDesk(t, devnet);
    const { headers, body, unlock } = await desk.rawOffers();
    const required = decodePaymentRequiredHeader(headerOf(headers));
    assert.equal(PaymentRequiredV2Schema.safeParse(required).error, undefined);
    const v1 = { error: 'Payment required', ...body };
    assert.equal(PaymentRequiredV1Schema.safeParse(v1).error, undefined);
    assert.equal(unlock, 'pay via x402 (USDC on Base)');
  });

  it('name resource, price, token, payee, time and the quote', async (t) => {
    const desk = await openDesk(t, devnet);
    const { headers, body } = await desk.rawOffers();
    const required = decodePaymentRequired(headerOf(headers));
    assert.deepEqual(required.resource, {
      url: 'https://api.example.com/summarize?lang=en',
      description: 'Summarise a text',
      mimeType: 'application/json',
    });
    assert.equal(required.error, 'Payment required');
    const [offer] = required.accepts;
    const { quote, ...extra } = offer?.extra ?? {};
    assert.deepEqual(extra, { name: 'USD Coin', version: '2' });
    assert.match(String(quote), /^[\w-]{40,}$/);
    // 5 s for the work, 5 s to wait for the settlement, 20 s for a block, 60 s for the client.
    assert.deepEqual(
      { ...offer, extra: null },
      {
        ...{ scheme: 'exact', network: 'eip155:8453', amount: '6000', maxTimeoutSeconds: 90 },
        ...{ asset: devnet.asset, payTo: PAY_TO, extra: null },
      },
    );
    assert.deepEqual(body.x402, {
      version: 2,
      networks: [
        {
          ...{ network: 'eip155:8453', asset: 'USDC', contract: devnet.asset },
          ...{ address: PAY_TO, amount: '6000', decimals: 6 },
        },
      ],
    });
    assert.deepEqual(body.accepts, [
      {
        ...{ scheme: 'exact', network: 'base', maxAmountRequired: '6000', outputSchema: {} },
        resource: 'https://api.example.com/summarize?lang=en',
        ...{ description: 'Summarise a text', mimeType: 'application/json', payTo: PAY_TO },
        ...{
          maxTimeoutSeconds: 90,
          asset: devnet.asset,
          extra: { name: 'USD Coin', version: '2' },
        },
      },
    ]);
  });

  it('carry a fresh quote each time', async (t) => {
    const desk = await openDesk(t, devnet);
    const quotes = await Promise.all([desk.offers(), desk.offers()]);
    assert.notEqual(quotes[0]?.[0]?.extra?.quote, quotes[1]?.[0]?.extra?.quote);
  });

  it('round the amount up to the decimals of the token', () => {
    const exchange = exchangeOf({});
    const amounts = [18, 6, 4, 2].map((decimals) => {
      const networks = [networkOf('eip155:1', { decimals })];
      const offers = buildOffers(networks, QUOTE, routeOf('POST /a'), exchange, createDeadlines(1));
      return decodePaymentRequired(headerOf(offers.headers)).accepts[0]?.amount;
    });
    assert.deepEqual(amounts, ['6000000000000000', '6000', '60', '1']);
  });

  it('stay under 4 KiB: descriptions go first, then offers, then the query; the body keeps all', () => {
    const many = Array.from({ length: 30 }, (_, i) => networkOf(`eip155:${i + 1}`));
    const deadlines = createDeadlines(1_000);
    const route = routeOf('POST /a', { description: 'é'.repeat(500) });
    const build = (networks: X402Network[], target: string, reason?: string) => {
      const exchange = { ...exchangeOf({}), target };
      const { headers, body } = buildOffers(networks, QUOTE, route, exchange, deadlines, reason);
      const header = headerOf(headers);
      assert.ok(header.length < 4096, `${header.length}`);
      assert.equal((body.x402 as { networks: [] }).networks.length, networks.length);
      return decodePaymentRequired(header);
    };
    assert.equal(build(many.slice(0, 2), '/a').resource.description, route.description);
    const crowded = build(many, '/a');
    assert.equal(crowded.resource.description, undefined);
    assert.ok(crowded.accepts.length > 5 && crowded.accepts.length < 30);
    assert.equal(crowded.accepts[0]?.network, 'eip155:1');
    assert.equal(build(many, `/a?${'q'.repeat(4000)}`).resource.url, 'https://api.example.com/a');
    const long = build(many, `/${'p'.repeat(4000)}`, 'r'.repeat(9000));
    assert.equal(long.resource.url, 'https://api.example.com');
    assert.equal(long.accepts.length, 1);
  });

  it('name our host even when the request target is in absolute form', () => {
    const exchange = { ...exchangeOf({}), target: 'http://evil.example/a?b' };
    const { headers } = buildOffers(
      ...([
        [networkOf('eip155:1')],
        QUOTE,
        routeOf('POST /a'),
        exchange,
        createDeadlines(1),
      ] as const),
    );
    assert.equal(
      decodePaymentRequired(headerOf(headers)).resource.url,
      'https://api.example.com/a?b',
    );
  });

  it('leave out networks that cannot take payments, and name several for people', async (t) => {
    const second = await startEvmDevnet({ chainId: 84532 });
    t.after(() => second.close());
    const other = {
      rpc: second.rpcUrl,
      settleWith: second.accounts[0]?.privateKey,
      pollMs: 10,
      maxFeeGwei: 200,
    };
    const desk = await openDesk(t, devnet, { networks: { 'eip155:84532': other } });
    assert.equal((await desk.rawOffers()).unlock, 'pay via x402 (USDC on Base or Base Sepolia)');
    assert.deepEqual(
      (await desk.offers()).map((offer) => offer.extra?.name),
      ['USD Coin', 'USDC'],
    );
    const dead = { rpc: 'http://127.0.0.1:49', settleWith: newKey(), pollMs: 10, maxFeeGwei: 200 };
    const half = await openDesk(t, devnet, { networks: { 'eip155:84532': dead } });
    assert.deepEqual(
      (await half.offers()).map((offer) => offer.network),
      ['eip155:8453'],
    );
  });
});

describe('a network that is not live', () => {
  const cases: readonly (readonly [string, Parameters<typeof openDesk>[2], RegExp])[] = [
    ['no node answers', { network: { rpc: 'http://127.0.0.1:49' } }, /ECONNREFUSED/],
    ['the key has no coin', { network: { settleWith: newKey() } }, /cannot pay gas/],
    [
      'the clock is 31 s behind the chain',
      { clock: { now: () => Date.now() - 33_000 } },
      /more than 30 s apart/,
    ],
    [
      'the clock is 31 s ahead of the chain',
      { clock: { now: () => Date.now() + 33_000 } },
      /more than 30 s apart/,
    ],
    [
      'the token signs under another name',
      {
        network: {
          asset: {
            ...{ address: '0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913', name: 'USDC' },
            ...{ version: '2', decimals: 6, symbol: 'USDC' },
          },
        },
      },
      /another EIP-712 domain/,
    ],
    [
      'its facilitator is down',
      { network: { facilitator: 'http://127.0.0.1:49' } },
      /ECONNREFUSED/,
    ],
  ];
  for (const [name, options, reason] of cases)
    it(`offers nothing and says so when ${name}`, async (t) => {
      const desk = await openDesk(t, devnet, options);
      await assert.rejects(
        desk.rawOffers(),
        (error) => error instanceof RailUnavailable && reason.test(error.message),
      );
    });

  it('is refused when its nodes are of another chain', async (t) => {
    const second = await startEvmDevnet({ chainId: 84532 });
    t.after(() => second.close());
    const desk = await openDesk(t, devnet, { network: { rpc: second.rpcUrl } });
    await assert.rejects(desk.rawOffers(), /rpc belongs to eip155:84532/);
  });

  it('is offered again once it is back', async (t) => {
    let skewMs = 60_000;
    const desk = await openDesk(t, devnet, { clock: { now: () => Date.now() + skewMs } });
    await assert.rejects(desk.rawOffers(), RailUnavailable);
    skewMs = 0;
    assert.equal((await desk.offers()).length, 1);
  });
});
