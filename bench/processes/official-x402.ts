/**
 * The official x402 server of the same job: `@x402/hono` with its facilitator in the same process, and
 * a handler that asks the same upstream. Nonces are counted locally, or settlements side by side would
 * push each other out; receipts are polled as often as our gateway polls them.
 */

import { once } from 'node:events';
import type { Server } from 'node:http';
import { serve } from '@hono/node-server';
import { x402Facilitator } from '@x402/core/facilitator';
import type { Network } from '@x402/core/types';
import { toFacilitatorEvmSigner } from '@x402/evm';
import { ExactEvmScheme as FacilitatorScheme } from '@x402/evm/exact/facilitator';
import { ExactEvmScheme as ServerScheme } from '@x402/evm/exact/server';
import { paymentMiddleware, x402ResourceServer } from '@x402/hono';
import { Hono } from 'hono';
import { proxy } from 'hono/proxy';
import { createWalletClient, http, publicActions } from 'viem';
import { nonceManager, privateKeyToAccount } from 'viem/accounts';
import { baseSepolia } from 'viem/chains';
import type { Hex } from '../../src/chains/evm/sign.ts';
import { listeningUrl } from './listening-url.ts';
import { runProcess } from './run-process.ts';

export interface OfficialSettings {
  readonly upstream: string;
  readonly rpc: string;
  readonly settlementKey: Hex;
  readonly payTo: string;
  readonly path: string;
  readonly price: string;
  readonly pollMs: number;
}

runProcess<OfficialSettings>(async (settings) => {
  const network: Network = 'eip155:84532';
  const client = createWalletClient({
    account: privateKeyToAccount(settings.settlementKey, { nonceManager }),
    chain: baseSepolia,
    transport: http(settings.rpc),
    pollingInterval: settings.pollMs,
  }).extend(publicActions);
  const signer = toFacilitatorEvmSigner({
    ...client,
    address: client.account.address,
    getCode: (args: object) => client.getCode(args as never),
  } as never);
  const facilitator = new x402Facilitator().register(network, new FacilitatorScheme(signer));
  const resourceServer = new x402ResourceServer({
    verify: (payload: never, requirements: never) => facilitator.verify(payload, requirements),
    settle: (payload: never, requirements: never) => facilitator.settle(payload, requirements),
    getSupported: async () => facilitator.getSupported(),
  } as never).register(network, new ServerScheme());
  const { path, price, payTo } = settings;
  const app = new Hono();
  app.use(
    paymentMiddleware(
      { [`POST ${path}`]: { accepts: { scheme: 'exact', price, network, payTo } } },
      resourceServer,
    ),
  );
  app.post(path, (context) => proxy(settings.upstream + path, context.req));
  const server = serve({ fetch: app.fetch, port: 0, hostname: '127.0.0.1' }) as Server;
  if (!server.listening) await once(server, 'listening');
  return {
    url: listeningUrl(server),
    async close() {
      server.close();
      server.closeAllConnections();
    },
  };
});
