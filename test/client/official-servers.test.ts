import assert from 'node:assert/strict';
import type { AddressInfo } from 'node:net';
import { after, before, test } from 'node:test';
import { serve as serveHono } from '@hono/node-server';
import { x402Facilitator } from '@x402/core/facilitator';
import type { Network } from '@x402/core/types';
import { toFacilitatorEvmSigner } from '@x402/evm';
import { ExactEvmScheme as FacilitatorScheme } from '@x402/evm/exact/facilitator';
import { ExactEvmScheme as ServerScheme } from '@x402/evm/exact/server';
import { paymentMiddleware, x402ResourceServer } from '@x402/hono';
import { Hono } from 'hono';
import { createWalletClient, http, publicActions } from 'viem';
import { privateKeyToAccount } from 'viem/accounts';
import { base } from 'viem/chains';
import { settle, verify } from 'x402/facilitator';
import { payFetch, privateKeyWallet, receiptOf } from '../../src/client/index.ts';
import { type EvmDevnet, startEvmDevnet } from '../../src/devnet/start-evm-devnet.ts';
import { decodePaymentHeader, encodeHeader } from '../../src/rails/x402/protocol.ts';
import { serve } from './servers.ts';

// 8453, because the v1 library knows the EIP-712 name of USDC there; its own id for the chain is `base`.
let devnet: EvmDevnet;
before(async () => {
  devnet = await startEvmDevnet({ chainId: 8453 });
});
after(() => devnet.close());

function account(index: number): EvmDevnet['accounts'][number] {
  return devnet.accounts[index] ?? assert.fail('the devnet has too few accounts');
}

function settlementClient() {
  return createWalletClient({
    account: privateKeyToAccount(account(0).privateKey),
    chain: base,
    transport: http(devnet.rpcUrl),
    pollingInterval: 10,
  }).extend(publicActions);
}

async function moved(
  pay: () => Promise<void>,
  payer: string,
  payee: string,
): Promise<[bigint, bigint]> {
  const balances = () => Promise.all([devnet.usdcBalance(payer), devnet.usdcBalance(payee)]);
  const [payerBefore, payeeBefore] = await balances();
  await pay();
  const [payerAfter, payeeAfter] = await balances();
  return [payerAfter - payerBefore, payeeAfter - payeeBefore];
}

test('the official v2 server with the official facilitator on a real chain takes exactly the price', async () => {
  const network = devnet.network as Network;
  const client = settlementClient();
  const signer = toFacilitatorEvmSigner({ ...client, address: client.account.address } as never);
  const facilitator = new x402Facilitator().register(network, new FacilitatorScheme(signer));
  const payer = account(1);
  const payee = account(2).address;
  const app = new Hono();
  const resourceServer = new x402ResourceServer({
    verify: (payload: never, requirements: never) => facilitator.verify(payload, requirements),
    settle: (payload: never, requirements: never) => facilitator.settle(payload, requirements),
    getSupported: async () => facilitator.getSupported(),
  } as never).register(network, new ServerScheme());
  app.use(
    paymentMiddleware(
      {
        'POST /summarize': {
          accepts: { scheme: 'exact', price: '$0.006', network, payTo: payee },
          description: 'Summarise a text',
        },
      },
      resourceServer,
    ),
  );
  app.post('/summarize', async (context) => context.text(`short ${await context.req.text()}`));
  const server = serveHono({ fetch: app.fetch, port: 0, hostname: '127.0.0.1' });
  if (!server.listening) await new Promise((resolve) => server.once('listening', resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/summarize`;
  try {
    const fetch402 = payFetch(fetch, {
      wallet: privateKeyWallet(payer.privateKey),
      budget: { perCall: '$0.01' },
    });
    const change = await moved(
      async () => {
        const response = await fetch402(url, { method: 'POST', body: 'text' });
        assert.equal(response.status, 200);
        assert.equal(await response.text(), 'short text');
        const receipt = receiptOf(response);
        assert.equal(receipt?.success, true);
        assert.equal(receipt?.network, devnet.network);
        assert.match(receipt?.transaction ?? '', /^0x[0-9a-f]{64}$/);
      },
      payer.address,
      payee,
    );
    assert.deepEqual(change, [-6000n, 6000n]);
  } finally {
    await new Promise((resolve) => server.close(resolve));
  }
});

test('the official v1 facilitator verifies and settles what is paid to a v1 server', async () => {
  const client = settlementClient() as never;
  const payer = account(3);
  const payee = account(4).address;
  const requirements = {
    scheme: 'exact' as const,
    network: 'base' as const,
    maxAmountRequired: '2000',
    resource: 'http://127.0.0.1/work' as const,
    description: 'Work',
    mimeType: 'text/plain',
    payTo: payee,
    maxTimeoutSeconds: 60,
    asset: devnet.asset,
    extra: { name: 'USD Coin', version: '2' },
  };
  await using server = await serve(async (request, response) => {
    if (request.payment === undefined) {
      response.writeHead(402, { 'content-type': 'application/json' });
      response.end(
        JSON.stringify({
          x402Version: 1,
          error: 'X-PAYMENT header is required',
          accepts: [requirements],
        }),
      );
      return;
    }
    const payment = decodePaymentHeader(request.payment) as never;
    const verified = await verify(client, payment, requirements);
    assert.deepEqual([verified.isValid, verified.invalidReason], [true, undefined]);
    const settled = await settle(client, payment, requirements);
    response.writeHead(200, { 'X-PAYMENT-RESPONSE': encodeHeader(settled) }).end('done');
  });
  const fetch402 = payFetch(fetch, {
    wallet: privateKeyWallet(payer.privateKey),
    budget: { perCall: '$0.01' },
  });
  const change = await moved(
    async () => {
      const response = await fetch402(server.url);
      assert.equal(await response.text(), 'done');
      assert.deepEqual(
        [receiptOf(response)?.success, receiptOf(response)?.payer, receiptOf(response)?.network],
        [true, payer.address, devnet.network],
      );
    },
    payer.address,
    payee,
  );
  assert.deepEqual(change, [-2000n, 2000n]);
});
