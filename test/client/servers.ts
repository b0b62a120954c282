/** Small servers that ask for money in many ways, for the tests of the payer. */

import { createServer, type IncomingHttpHeaders, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { recoverTypedDataAddress } from 'viem';
import {
  decodeExactEvmPayload,
  decodePaymentHeader,
  encodeHeader,
  type PaymentPayload,
  type Requirements,
  USDC,
} from '../../src/rails/x402/protocol.ts';

/** Known to everybody; holds nothing. */
export const PRIVATE_KEY = `0x${'00'.repeat(31)}2a` as const;
export const PAY_TO = '0x00000000000000000000000000000000000000aa';
export const BASE_SEPOLIA = USDC.get('eip155:84532') as NonNullable<ReturnType<typeof USDC.get>>;

export interface Received {
  readonly method: string;
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
  /** The payment header, whatever its version. */
  readonly payment: string | undefined;
}

export interface TestServer extends AsyncDisposable {
  readonly url: string;
  readonly received: readonly Received[];
  /** Those with a payment. */
  paid(): Received[];
}

/** Starts a server on a free port; it is closed with all its connections when its scope ends. */
export async function serve(
  handle: (request: Received, response: ServerResponse) => unknown,
): Promise<TestServer> {
  const received: Received[] = [];
  const server = createServer(async (request, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk);
    const { headers } = request;
    const payment = headers['payment-signature'] ?? headers['x-payment'];
    const record: Received = {
      method: request.method ?? '',
      path: request.url ?? '',
      headers,
      body: Buffer.concat(chunks).toString(),
      payment: payment === undefined ? undefined : String(payment),
    };
    received.push(record);
    await handle(record, response);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    received,
    paid: () => received.filter((one) => one.payment !== undefined),
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

export function offer(change: Partial<Requirements> = {}): Requirements {
  return {
    scheme: 'exact',
    network: BASE_SEPOLIA.network,
    amount: '6000',
    asset: BASE_SEPOLIA.asset,
    payTo: PAY_TO,
    maxTimeoutSeconds: 60,
    extra: { name: 'USDC', version: '2', quote: 'q1' },
    ...change,
  };
}

export function requiredV2(accepts: readonly unknown[] = [offer()], more: object = {}): string {
  return encodeHeader({ x402Version: 2, resource: { url: 'http://x/' }, accepts, ...more });
}

/** Answers 402 with v2 offers in the header and a plain body. */
export function demand(response: ServerResponse, header: string = requiredV2()): void {
  response.writeHead(402, { 'PAYMENT-REQUIRED': header, 'content-type': 'application/json' });
  response.end('{"error":"payment required"}');
}

export function settled(payer = '0x', transaction = `0x${'fe'.repeat(32)}`): string {
  return encodeHeader({ success: true, transaction, network: BASE_SEPOLIA.network, payer });
}

/** A server that wants `$0.006` and answers `{"ok":true}` to whoever sends a payment. */
export function servePaid(
  answer: (request: Received, response: ServerResponse) => void = answerPaid,
): Promise<TestServer> {
  return serve((request, response) =>
    request.payment === undefined ? demand(response) : answer(request, response),
  );
}

export function answerPaid(_request: Received, response: ServerResponse): void {
  response.writeHead(200, {
    'PAYMENT-RESPONSE': settled(),
    'X-Payment-Id': 'pay_1',
    'X-Payment-Cost': '0.006',
    'content-type': 'application/json',
  });
  response.end('{"ok":true}');
}

/** What was signed, checked with another implementation of EIP-712. */
export async function signerOf(header: string): Promise<{
  readonly message: PaymentPayload;
  readonly authorization: ReturnType<typeof decodeExactEvmPayload>['authorization'];
  readonly signer: string;
}> {
  const message = decodePaymentHeader(header);
  const { signature, authorization } = decodeExactEvmPayload(message.payload);
  const { name, version, chainId, asset } = BASE_SEPOLIA;
  const signer = await recoverTypedDataAddress({
    domain: { name, version, chainId: Number(chainId), verifyingContract: asset },
    types: {
      TransferWithAuthorization: [
        { name: 'from', type: 'address' },
        { name: 'to', type: 'address' },
        { name: 'value', type: 'uint256' },
        { name: 'validAfter', type: 'uint256' },
        { name: 'validBefore', type: 'uint256' },
        { name: 'nonce', type: 'bytes32' },
      ],
    },
    primaryType: 'TransferWithAuthorization',
    message: authorization,
    signature,
  });
  return { message, authorization, signer };
}
