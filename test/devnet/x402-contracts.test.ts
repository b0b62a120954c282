import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { x402Facilitator } from '@x402/core/facilitator';
import type { Network, PaymentPayload, PaymentRequirements } from '@x402/core/types';
import { toFacilitatorEvmSigner } from '@x402/evm';
import { createPermit2ApprovalTx, UptoEvmScheme } from '@x402/evm/upto/client';
import { UptoEvmScheme as FacilitatorScheme } from '@x402/evm/upto/facilitator';
import { createPublicClient, createWalletClient, http, publicActions } from 'viem';
import { privateKeyToAccount } from 'viem/accounts';
import { base } from 'viem/chains';
import { permit2Separator } from '../../src/chains/evm/sign-permit2.ts';
import { type EvmDevnet, startEvmDevnet } from '../../src/devnet/start-evm-devnet.ts';
import { accountOf, send, TO } from '../chains/evm-payer.ts';

let devnet: EvmDevnet;
before(async () => {
  devnet = await startEvmDevnet();
});
after(() => devnet.close());

/** The official facilitator with the first account's key. */
function facilitator(): x402Facilitator {
  const client = createWalletClient({
    account: privateKeyToAccount(accountOf(devnet, 0).privateKey),
    chain: base,
    transport: http(devnet.rpcUrl),
    pollingInterval: 10,
  }).extend(publicActions);
  const signer = toFacilitatorEvmSigner({ ...client, address: client.account.address } as never);
  return new x402Facilitator().register(devnet.network as Network, new FacilitatorScheme(signer));
}

function requirements(amount: string): PaymentRequirements {
  return {
    scheme: 'upto',
    network: devnet.network as Network,
    amount,
    asset: devnet.asset,
    payTo: TO,
    maxTimeoutSeconds: 300,
    extra: {
      name: 'USD Coin',
      version: '2',
      assetTransferMethod: 'permit2',
      facilitatorAddress: accountOf(devnet, 0).address,
    },
  };
}

/** What the official client signs for an offer; with `sponsored`, the server had declared that it pays for a permit. */
async function pay(payer: number, max: string, sponsored = false): Promise<PaymentPayload> {
  const account = privateKeyToAccount(accountOf(devnet, payer).privateKey);
  const accepted = requirements(max);
  const reader = createPublicClient({ chain: base, transport: http(devnet.rpcUrl) });
  const signer = { ...account, readContract: reader.readContract };
  const extensions = sponsored ? { eip2612GasSponsoring: { info: {}, schema: {} } } : {};
  const signed = await new UptoEvmScheme(signer as never).createPaymentPayload(2, accepted, {
    extensions,
  });
  return { ...signed, accepted, resource: { url: 'http://x/' } } as never;
}

async function approve(payer: number): Promise<void> {
  await send(devnet, payer, createPermit2ApprovalTx(devnet.asset));
}

test('Permit2 signs under the separator that we compute', async () => {
  const call = { to: '0x000000000022D473030F116dDEE9F6B43aC78BA3', data: '0x3644e515' };
  const own = `0x${Buffer.from(permit2Separator(8453n)).toString('hex')}`;
  assert.equal(await devnet.rpc('eth_call', [call, 'latest']), own);
});

test('the official facilitator settles a part of what the official client signed', async () => {
  await approve(1);
  const payment = await pay(1, '5000');
  const verified = await facilitator().verify(payment, requirements('5000'));
  assert.deepEqual([verified.isValid, verified.invalidReason], [true, undefined]);
  const before = await devnet.usdcBalance(TO);
  const settled = await facilitator().settle(payment, requirements('1234'));
  assert.deepEqual([settled.success, settled.errorReason], [true, undefined]);
  assert.equal((await devnet.usdcBalance(TO)) - before, 1234n);

  const again = await facilitator().settle(payment, requirements('1234'));
  assert.equal(again.success, false);
  assert.equal((await devnet.usdcBalance(TO)) - before, 1234n);
});

test('a wallet without allowance pays by a permit whose gas the facilitator pays', async () => {
  const unapproved = await facilitator().verify(await pay(2, '700'), requirements('700'));
  assert.equal(unapproved.invalidReason, 'permit2_allowance_required');
  const payment = await pay(2, '700', true);
  const before = await devnet.usdcBalance(TO);
  const settled = await facilitator().settle(payment, requirements('300'));
  assert.deepEqual([settled.success, settled.errorReason], [true, undefined]);
  assert.equal((await devnet.usdcBalance(TO)) - before, 300n);
});

test('nobody but the facilitator of the witness settles, and never more than was permitted', async () => {
  await approve(3);
  const payment = await pay(3, '900');
  const { x402UptoPermit2ProxyABI: abi, x402UptoPermit2ProxyAddress: address } = await import(
    '@x402/evm'
  );
  const { permit2Authorization: permit, signature } = payment.payload as never as {
    permit2Authorization: {
      permitted: { token: `0x${string}`; amount: string };
      nonce: string;
      deadline: string;
      witness: { to: `0x${string}`; facilitator: `0x${string}` };
    };
    signature: `0x${string}`;
  };
  const settle = (sender: number, amount: bigint) =>
    createPublicClient({ chain: base, transport: http(devnet.rpcUrl) }).simulateContract({
      ...{ abi, address, functionName: 'settle', account: accountOf(devnet, sender).address },
      args: [
        {
          permitted: { token: permit.permitted.token, amount: 900n },
          nonce: BigInt(permit.nonce),
          deadline: BigInt(permit.deadline),
        },
        amount,
        accountOf(devnet, 3).address,
        { ...permit.witness, validAfter: 0n },
        signature,
      ],
    } as never);
  await settle(0, 900n);
  await assert.rejects(settle(4, 900n), /UnauthorizedFacilitator/);
  await assert.rejects(settle(0, 901n), /AmountExceedsPermitted/);
});
