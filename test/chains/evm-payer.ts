/** What a payer, or anybody else, does on a devnet beside the gateway; through another implementation of everything. */

import { randomBytes } from 'node:crypto';
import { createPublicClient, createWalletClient, type Hex, http, parseSignature } from 'viem';
import { privateKeyToAccount } from 'viem/accounts';
import { base, baseSepolia } from 'viem/chains';
import {
  type SignedTransfer,
  transferWithAuthorization,
} from '../../src/chains/evm/contract-calls.ts';
import { domainSeparator, hashTransferAuthorization, signHash } from '../../src/chains/evm/sign.ts';
import type { DevnetAccount, EvmDevnet } from '../../src/devnet/start-evm-devnet.ts';
import { USDC } from '../../src/rails/x402/protocol.ts';

export const TO: Hex = '0x209693Bc6afc0C5328bA36FaF03C514EF312287C';

export function accountOf(devnet: EvmDevnet, index: number): DevnetAccount {
  const account = devnet.accounts[index];
  if (account === undefined) throw new Error(`the devnet has no account ${index}`);
  return account;
}

/** An authorization of $0.006 to `TO` that is valid for ten minutes. */
export function signedTransfer(
  devnet: EvmDevnet,
  payer: number,
  over: { readonly value?: bigint; readonly nonce?: Hex } = {},
): SignedTransfer {
  const account = accountOf(devnet, payer);
  const token = USDC.get(devnet.network);
  if (token === undefined) throw new Error('unknown token');
  const transfer = {
    from: account.address,
    to: TO,
    value: over.value ?? 6_000n,
    validAfter: 0n,
    validBefore: BigInt(Math.floor(Date.now() / 1000) + 600),
    nonce: over.nonce ?? (`0x${randomBytes(32).toString('hex')}` as Hex),
  };
  const separator = domainSeparator({ ...token, verifyingContract: token.asset });
  const hash = hashTransferAuthorization(separator, transfer);
  return { ...transfer, signature: signHash(hash, account.privateKey) };
}

/** Submits somebody's authorization; resolves with the hash once it is mined. */
export function sendTransfer(
  devnet: EvmDevnet,
  sender: number,
  transfer: SignedTransfer,
): Promise<Hex> {
  return send(devnet, sender, {
    to: devnet.asset,
    data: `0x${transferWithAuthorization(transfer)}`,
  });
}

export async function cancelAuthorization(
  devnet: EvmDevnet,
  payer: number,
  nonce: Hex,
): Promise<Hex> {
  const { name, version } = USDC.get(devnet.network) ?? { name: '', version: '' };
  const { address, privateKey } = accountOf(devnet, payer);
  const signature = await privateKeyToAccount(privateKey).signTypedData({
    domain: { name, version, chainId: devnet.chainId, verifyingContract: devnet.asset },
    types: {
      CancelAuthorization: [
        { name: 'authorizer', type: 'address' },
        { name: 'nonce', type: 'bytes32' },
      ],
    },
    primaryType: 'CancelAuthorization',
    message: { authorizer: address, nonce },
  });
  const { r, s, v } = parseSignature(signature);
  const { client } = clients(devnet, payer);
  const hash = await client.writeContract({
    address: devnet.asset,
    abi: [
      {
        type: 'function',
        name: 'cancelAuthorization',
        stateMutability: 'nonpayable',
        inputs: ['address', 'bytes32', 'uint8', 'bytes32', 'bytes32'].map((type) => ({ type })),
        outputs: [],
      },
    ],
    functionName: 'cancelAuthorization',
    args: [address, nonce, Number(v), r, s],
  });
  return await mined(devnet, payer, hash);
}

/** Sends a transaction of an account; resolves with its hash once it is mined. */
export async function send(
  devnet: EvmDevnet,
  sender: number,
  call: { readonly to: Hex; readonly data?: Hex; readonly value?: bigint },
): Promise<Hex> {
  return await mined(devnet, sender, await submit(devnet, sender, call));
}

/** Sends a transaction without waiting for its block; high fees go first. */
export async function submit(
  devnet: EvmDevnet,
  sender: number,
  call: { readonly to: Hex; readonly data?: Hex; readonly value?: bigint; readonly gas?: bigint },
  gwei = 2n,
): Promise<Hex> {
  const fee = gwei * 1_000_000_000n;
  const { client } = clients(devnet, sender);
  return await client.sendTransaction({
    ...call,
    ...{ maxFeePerGas: 20n * fee, maxPriorityFeePerGas: fee },
  });
}

async function mined(devnet: EvmDevnet, sender: number, hash: Hex): Promise<Hex> {
  await clients(devnet, sender).reader.waitForTransactionReceipt({ hash });
  return hash;
}

function clients(devnet: EvmDevnet, sender: number) {
  const chain = devnet.chainId === 8453 ? base : baseSepolia;
  const transport = http(devnet.rpcUrl);
  const account = privateKeyToAccount(accountOf(devnet, sender).privateKey);
  return {
    client: createWalletClient({ account, chain, transport }),
    reader: createPublicClient({ chain, transport, pollingInterval: 10 }),
  };
}
