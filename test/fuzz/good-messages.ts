/** Messages as they should be: what the fuzzer changes little by little. */

import {
  AUTHORIZATION_USED,
  TRANSFER,
  word,
  wordOfHex,
} from '../../src/chains/evm/contract-calls.ts';
import type { ExpectedTransfer } from '../../src/chains/evm/receipt.ts';
import type { Hex } from '../../src/chains/evm/sign.ts';

const ASSET: Hex = '0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913';
const FROM: Hex = '0x7e5f4552091a69125d5dfcb7b8c2659029395bdf';
const TO: Hex = '0x209693Bc6afc0C5328bA36FaF03C514EF312287C';
const NONCE: Hex = `0x${'ab'.repeat(32)}`;
const HASH: Hex = `0x${'cd'.repeat(32)}`;

const PAYLOAD = {
  signature: `0x${'11'.repeat(64)}1b`,
  authorization: {
    ...{ from: FROM, to: TO, value: '10000', nonce: NONCE },
    ...{ validAfter: '0', validBefore: '1800000000' },
  },
};

export const GOOD_UPTO_PAYLOAD = {
  signature: `0x${'11'.repeat(64)}1b`,
  permit2Authorization: {
    ...{ from: FROM, permitted: { token: ASSET, amount: '10000' }, spender: TO },
    ...{ nonce: '7', deadline: '1800000000' },
    witness: { to: TO, facilitator: FROM, validAfter: '0' },
  },
};

export const GOOD_SPONSORED = {
  eip2612GasSponsoring: {
    info: {
      ...{ from: FROM, asset: ASSET, spender: TO, amount: '10000', nonce: '0' },
      ...{ deadline: '1800000000', signature: `0x${'11'.repeat(64)}1b`, version: '1' },
    },
    schema: {},
  },
};

export const GOOD_OFFER = {
  ...{ scheme: 'exact', network: 'eip155:8453', amount: '10000', asset: ASSET, payTo: TO },
  ...{ maxTimeoutSeconds: 60, extra: { name: 'USD Coin', version: '2', quote: 'q' } },
};

export const GOOD_OFFER_V1 = {
  ...{ scheme: 'exact', network: 'base', maxAmountRequired: '10000', asset: ASSET, payTo: TO },
  ...{
    maxTimeoutSeconds: 60,
    resource: 'https://a.example/x',
    description: 'd',
    mimeType: 'application/json',
  },
  ...{ outputSchema: {}, extra: { name: 'USD Coin', version: '2' } },
};

export const GOOD_PAYMENT_V2 = {
  x402Version: 2,
  accepted: GOOD_OFFER,
  resource: { url: 'https://a.example/x', tags: ['a'] },
  extensions: {},
  payload: PAYLOAD,
};

export const GOOD_PAYMENT_V1 = {
  ...{ x402Version: 1, scheme: 'exact', network: 'base', payload: PAYLOAD },
};

export const GOOD_402_V2 = {
  x402Version: 2,
  error: 'Payment required',
  resource: { url: 'https://a.example/x', description: 'd' },
  accepts: [GOOD_OFFER],
};

export const GOOD_402_V1 = { x402Version: 1, error: 'Payment required', accepts: [GOOD_OFFER_V1] };

export const GOOD_NETWORKS = {
  x402: {
    version: 2,
    networks: [
      {
        network: 'eip155:8453',
        asset: 'USDC',
        contract: ASSET,
        address: TO,
        amount: '10000',
        decimals: 6,
      },
    ],
  },
};

export const GOOD_SETTLED = {
  ...{ success: true, transaction: HASH, network: 'eip155:8453', payer: FROM, amount: '10000' },
};

export const GOOD_TRANSFER: ExpectedTransfer = {
  ...{ asset: ASSET, from: FROM, to: TO, value: 10_000n, nonce: NONCE },
};

export const GOOD_RECEIPT = {
  ...{ transactionHash: HASH, blockNumber: '0x10', status: '0x1', from: FROM },
  ...{ gasUsed: '0x5208', effectiveGasPrice: '0x3b9aca00', l1Fee: '0x1' },
  logs: [
    { address: ASSET, topics: [AUTHORIZATION_USED, `0x${wordOfHex(FROM)}`, NONCE], data: '0x' },
    {
      address: ASSET,
      topics: [TRANSFER, `0x${wordOfHex(FROM)}`, `0x${wordOfHex(TO)}`],
      data: `0x${word(10_000n)}`,
    },
  ],
};

export const GOOD_CONFIG = {
  listen: '127.0.0.1:4020',
  publicUrl: 'https://api.example.com',
  database: 'sqlite:coinslot.db',
  trustProxy: ['10.0.0.0/8'],
  upstreams: {
    api: { url: 'https://api.example.com', headers: { authorization: 'x' }, connections: 2 },
  },
  payments: {
    order: ['prepaid', 'x402', 'free'],
    free: { callsPerDay: 1, per: 'ip', perDayTotal: '$1' },
    prepaid: {},
    x402: {
      payTo: { eip155: TO },
      networks: {
        'eip155:8453': { rpc: ['https://rpc.example'], facilitator: 'https://f.example' },
      },
    },
  },
  routes: {
    'POST /summarize': { upstream: 'api', price: '$0.006', timeout: '30s', chargeOn: [404] },
  },
  limits: { bodyBytes: '1MiB', requestsPerMinute: { ip: 1 } },
  timeouts: { settle: '5s' },
  exposure: { perPayer: '$1' },
  confirmations: { 'eip155:8453': 2 },
  cors: { origins: ['https://a.example'] },
};
