import assert from 'node:assert/strict';
import type { AddressInfo } from 'node:net';
import { after, before, type TestContext, test } from 'node:test';
import { serve as serveHono } from '@hono/node-server';
import { x402Facilitator } from '@x402/core/facilitator';
import type { Network } from '@x402/core/types';
import { toFacilitatorEvmSigner } from '@x402/evm';
import { UptoEvmScheme as FacilitatorScheme } from '@x402/evm/upto/facilitator';
import { UptoEvmScheme as ServerScheme } from '@x402/evm/upto/server';
import { declareEip2612GasSponsoringExtension } from '@x402/extensions';
import { paymentMiddleware, setSettlementOverrides, x402ResourceServer } from '@x402/hono';
import { Hono } from 'hono';
import { createWalletClient, http, publicActions } from 'viem';
import { privateKeyToAccount } from 'viem/accounts';
import { base } from 'viem/chains';
import {
  AllowanceMissing,
  BudgetExceeded,
  NoPayableOffer,
  type PayFetchOptions,
  payFetch,
  privateKeyWallet,
  receiptOf,
} from '../../src/client/index.ts';
import { memoryJournal } from '../../src/client/journal.ts';
import { type EvmDevnet, startEvmDevnet } from '../../src/devnet/start-evm-devnet.ts';
import { encodeHeader } from '../../src/rails/x402/protocol.ts';
import { send } from '../chains/evm-payer.ts';
import { BASE_SEPOLIA, PRIVATE_KEY, servePaid } from './servers.ts';

let devnet: EvmDevnet;
let nextPayer = 3;
before(async () => {
  devnet = await startEvmDevnet({ chainId: 8453, accountsCount: 20 });
});
after(() => devnet.close());

function account(index: number): EvmDevnet['accounts'][number] {
  return devnet.accounts[index] ?? assert.fail('the devnet has too few accounts');
}

/** The official server and facilitator: at most $0.01, and what a call says that it used. */
async function officialServer(t: TestContext, sponsors: boolean): Promise<string> {
  const network = devnet.network as Network;
  const client = createWalletClient({
    account: privateKeyToAccount(account(0).privateKey),
    chain: base,
    transport: http(devnet.rpcUrl),
    pollingInterval: 10,
  }).extend(publicActions);
  const signer = toFacilitatorEvmSigner({ ...client, address: client.account.address } as never);
  const facilitator = new x402Facilitator().register(network, new FacilitatorScheme(signer));
  const resourceServer = new x402ResourceServer({
    verify: (payload: never, requirements: never) => facilitator.verify(payload, requirements),
    settle: (payload: never, requirements: never) => facilitator.settle(payload, requirements),
    getSupported: async () => facilitator.getSupported(),
  } as never).register(network, new ServerScheme());
  const app = new Hono();
  app.use(
    paymentMiddleware(
      {
        'POST /chat': {
          accepts: { scheme: 'upto', price: '$0.01', network, payTo: account(2).address },
          ...(sponsors ? { extensions: declareEip2612GasSponsoringExtension() } : {}),
        },
      },
      resourceServer,
    ),
  );
  app.post('/chat', async (context) => {
    const used = await context.req.text();
    setSettlementOverrides(context, { amount: used });
    return context.text(`used ${used}`);
  });
  const server = serveHono({ fetch: app.fetch, port: 0, hostname: '127.0.0.1' });
  if (!server.listening) await new Promise((resolve) => server.once('listening', resolve));
  t.after(() => new Promise((resolve) => server.close(resolve)));
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/chat`;
}

interface Payer {
  readonly index: number;
  readonly fetch402: typeof fetch;
  paid(): Promise<bigint>;
}

async function payer(options: Partial<PayFetchOptions> = {}): Promise<Payer> {
  const index = nextPayer++;
  const { address, privateKey } = account(index);
  const fetch402 = payFetch(fetch, {
    wallet: privateKeyWallet(privateKey),
    budget: { perCall: '$0.01' },
    rpc: { [devnet.network]: devnet.rpcUrl },
    ...options,
  }) as typeof fetch;
  const before = await devnet.usdcBalance(address);
  return { index, fetch402, paid: async () => before - (await devnet.usdcBalance(address)) };
}

const used = (atoms: string) => ({ method: 'POST', body: atoms });

test('the official upto server takes what was used, from a wallet that approved Permit2', async (t) => {
  const url = await officialServer(t, false);
  const journal = memoryJournal();
  const p = await payer({ journal, budget: { perCall: '$0.01', perDay: '$0.0123' } });
  const missing = await p.fetch402(url, used('1')).catch((error: unknown) => error);
  assert.ok(missing instanceof AllowanceMissing);
  assert.equal(missing.approval.to, devnet.asset);
  assert.match(missing.hint, /approve\(0x000000000022D473030F116dDEE9F6B43aC78BA3/);

  const { to, data } = missing.approval;
  await send(devnet, p.index, { to: to as `0x${string}`, data: data as `0x${string}` });
  for (const atoms of ['1200', '1100']) {
    const response = await p.fetch402(url, used(atoms));
    assert.equal(response.status, 200);
    assert.equal(await response.text(), `used ${atoms}`);
    assert.equal(receiptOf(response)?.amount, atoms);
  }
  assert.equal(await p.paid(), 2_300n);
  // $0.0023 are spent, not twice the most that a call may cost: a third fits, a fourth does not.
  assert.equal((await p.fetch402(url, used('1'))).status, 200);
  await assert.rejects(p.fetch402(url, used('2')), BudgetExceeded);
});

test('a wallet that has approved nothing signs a permit where the server pays its gas', async (t) => {
  const url = await officialServer(t, true);
  const p = await payer();
  const response = await p.fetch402(url, used('700'));
  assert.equal(await response.text(), 'used 700');
  assert.equal(await p.paid(), 700n);
});

test('without a node to ask, the answer of the server names the approval that is missing', async (t) => {
  const url = await officialServer(t, true);
  const p = await payer({ rpc: undefined });
  const missing = await p.fetch402(url, used('1')).catch((error: unknown) => error);
  assert.ok(missing instanceof AllowanceMissing);
  assert.equal(missing.response.status, 412);
  assert.equal(await p.paid(), 0n);
});

test('a receipt that claims less than an exact payment is not believed', async () => {
  await using server = await servePaid((_request, response) => {
    const { network } = BASE_SEPOLIA;
    const receipt = { success: true, transaction: '0x', network, amount: '1' };
    response.writeHead(200, { 'PAYMENT-RESPONSE': encodeHeader(receipt) }).end();
  });
  const fetch402 = payFetch(fetch, {
    wallet: privateKeyWallet(PRIVATE_KEY),
    budget: { perCall: '$0.006', perDay: '$0.007' },
  });
  assert.equal((await fetch402(server.url)).status, 200);
  await assert.rejects(fetch402(server.url), BudgetExceeded);
});

test('a wallet that signs no permits is told so', async (t) => {
  const url = await officialServer(t, false);
  const { address, signTransferAuthorization } = privateKeyWallet(account(1).privateKey);
  const p = await payer({ wallet: { address, signTransferAuthorization } });
  await assert.rejects(p.fetch402(url, used('1')), (error) => {
    assert.ok(error instanceof NoPayableOffer);
    assert.match(error.message, /signs no permits/);
    return true;
  });
});
