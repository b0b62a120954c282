/** Reading a real chain with Circle's token on it. */

import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { transferWithAuthorization } from '../../src/chains/evm/contract-calls.ts';
import { findFate } from '../../src/chains/evm/find-authorization.ts';
import { RpcUnavailable } from '../../src/chains/evm/json-rpc.ts';
import { type EvmChain, openEvmChain } from '../../src/chains/evm/open-evm-chain.ts';
import type { ChainReceipt } from '../../src/chains/evm/receipt.ts';
import { createReceiptWatcher } from '../../src/chains/evm/receipt-watcher.ts';
import type { Hex } from '../../src/chains/evm/sign.ts';
import { type EvmDevnet, startEvmDevnet } from '../../src/devnet/start-evm-devnet.ts';
import {
  accountOf,
  cancelAuthorization,
  send,
  sendTransfer,
  signedTransfer,
  TO,
} from './evm-payer.ts';

let devnet: EvmDevnet;
let chain: EvmChain;
before(async () => {
  devnet = await startEvmDevnet({ chainId: 84532 });
  chain = openEvmChain({ chainId: 84_532n, urls: [devnet.rpcUrl] });
});
after(async () => {
  await chain.close();
  await devnet.close();
});

const fate = async (
  transfer: ReturnType<typeof signedTransfer>,
  confirmations = 1,
  value?: bigint,
) =>
  await chain.findAuthorization({
    transfer: {
      ...{ asset: devnet.asset, from: transfer.from, to: transfer.to, nonce: transfer.nonce },
      value: value ?? transfer.value,
    },
    fromBlock: 0n,
    confirmations,
  });

describe('a snapshot of a wallet', () => {
  it('shows balance, nonce, code and that the transfer would work, with block and time', async () => {
    const snapshot = await chain.snapshot(devnet.asset, signedTransfer(devnet, 1));
    assert.equal(snapshot.balance, 10_000_000_000n);
    assert.equal(snapshot.authorizationUsed, false);
    assert.deepEqual(snapshot.simulation, { outcome: 'ok' });
    assert.equal(snapshot.hasCode, false);
    assert.ok(snapshot.block >= 1n);
    assert.ok(Math.abs(snapshot.timestampMs - Date.now()) < 10_000);
  });

  it('names the reason when the token would refuse', async () => {
    const wrong = { ...signedTransfer(devnet, 1), value: 1n };
    assert.deepEqual((await chain.snapshot(devnet.asset, wrong)).simulation, {
      ...{ outcome: 'reverts', reason: 'FiatTokenV2: invalid signature' },
    });
    const rich = signedTransfer(devnet, 1, { value: 10n ** 15n });
    assert.deepEqual((await chain.snapshot(devnet.asset, rich)).simulation, {
      ...{ outcome: 'reverts', reason: 'ERC20: transfer amount exceeds balance' },
    });
  });

  it('is unavailable, not wrong, for an asset that is no token', async () => {
    await assert.rejects(chain.snapshot(TO, signedTransfer(devnet, 1)), RpcUnavailable);
  });

  it('sees code that a key delegates to (EIP-7702)', async () => {
    const transfer = signedTransfer(devnet, 2);
    await devnet.rpc('anvil_setCode', [transfer.from, `0xef0100${'11'.repeat(20)}`]);
    const snapshot = await chain.snapshot(devnet.asset, transfer);
    assert.equal(snapshot.hasCode, true);
    assert.equal(snapshot.simulation.outcome, 'reverts');
  });
});

describe('the fate of an authorization', () => {
  it('is unused first, and transferred once anybody submitted it', async () => {
    const transfer = signedTransfer(devnet, 3);
    assert.equal((await fate(transfer)).fate, 'unused');
    const transaction = await sendTransfer(devnet, 4, transfer);
    const found = await fate(transfer);
    assert.ok(found.fate === 'transferred');
    assert.equal(found.confirmed, true);
    assert.equal(found.receipt.transaction, transaction);
    assert.equal(found.receipt.sender, accountOf(devnet, 4).address.toLowerCase());
    assert.ok(found.receipt.gasNano > 0n);
  });

  it('is not confirmed before enough blocks are on top', async () => {
    const transfer = signedTransfer(devnet, 3);
    await sendTransfer(devnet, 4, transfer);
    const early = await fate(transfer, 60);
    assert.ok(early.fate === 'transferred' && !early.confirmed);
    await devnet.rpc('anvil_mine', ['0x3c', '0x0']);
    const later = await fate(transfer, 60);
    assert.ok(later.fate === 'transferred' && later.confirmed);
  });

  it('is used otherwise when the transfer is not the expected one', async () => {
    const transfer = signedTransfer(devnet, 3);
    await sendTransfer(devnet, 4, transfer);
    assert.deepEqual(await fate(transfer, 1, 7n), { fate: 'used_otherwise', confirmed: true });
  });

  it('is cancelled after cancelAuthorization, although its state is true then', async () => {
    const transfer = signedTransfer(devnet, 3);
    await cancelAuthorization(devnet, 3, transfer.nonce);
    assert.deepEqual(await fate(transfer), { fate: 'cancelled', confirmed: true });
  });

  it('is unclear when the search starts after its block', async () => {
    const transfer = signedTransfer(devnet, 3);
    await sendTransfer(devnet, 4, transfer);
    await devnet.rpc('anvil_mine', ['0x46', '0x0']);
    const found = await chain.findAuthorization({
      transfer: { ...transfer, asset: devnet.asset },
      fromBlock: await chain.blockNumber(),
      confirmations: 1,
    });
    assert.deepEqual(found, { fate: 'unclear' });
  });

  it('is searched for in ranges that public nodes accept, from shortly before the given block', async () => {
    const transfer = signedTransfer(devnet, 3);
    const ranges: string[] = [];
    const found = await findFate(
      { transfer: { ...transfer, asset: devnet.asset }, fromBlock: 1_064n, confirmations: 1 },
      {
        authorizationState: async () => ({ block: 6_000n, timestampMs: 0, used: true }),
        logs: async (filter) => {
          const { fromBlock, toBlock } = filter as { fromBlock: Hex; toBlock: Hex };
          ranges.push(`${BigInt(fromBlock)}-${BigInt(toBlock)}`);
          return [];
        },
        receipt: async () => null,
      },
    );
    assert.deepEqual(found, { fate: 'unclear' });
    assert.deepEqual(ranges, ['1000-2999', '3000-4999', '5000-6000']);
  });

  it('is unused as of a block that counts as confirmed, so that expiry waits for it too', async () => {
    const transfer = signedTransfer(devnet, 3);
    const asked: string[] = [];
    const found = await findFate(
      { transfer: { ...transfer, asset: devnet.asset }, fromBlock: 1n, confirmations: 5 },
      {
        authorizationState: async (_asset, _from, _nonce, at) => {
          asked.push(at);
          const latest = at === 'latest';
          return { block: latest ? 100n : 96n, timestampMs: latest ? 2_000 : 1_000, used: false };
        },
        logs: async () => assert.fail('no log can exist'),
        receipt: async () => null,
      },
    );
    assert.deepEqual(found, { fate: 'unused', timestampMs: 1_000 });
    assert.deepEqual(asked, ['latest', '0x60']);
  });
});

describe('other answers of the chain', () => {
  it('name the chain, the domain of the token, and fees with headroom', async () => {
    assert.equal((await chain.head()).chainId, 84_532n);
    assert.match((await chain.domainSeparator(devnet.asset)) ?? '', /^0x[0-9a-f]{64}$/);
    assert.equal(await chain.domainSeparator(TO), null);
    const { maxFeePerGas, maxPriorityFeePerGas } = await chain.fees();
    assert.ok(maxFeePerGas > maxPriorityFeePerGas);
  });

  it('estimate gas, or name why it reverts', async () => {
    const call = (transfer: ReturnType<typeof signedTransfer>) => ({
      ...{ from: accountOf(devnet, 0).address, to: devnet.asset },
      data: `0x${transferWithAuthorization(transfer)}` as Hex,
    });
    const good = await chain.estimateGas(call(signedTransfer(devnet, 3)));
    assert.ok(good.outcome === 'ok' && good.gas > 30_000n && good.gas < 150_000n);
    assert.deepEqual(
      await chain.estimateGas(call(signedTransfer(devnet, 3, { value: 10n ** 15n }))),
      {
        ...{ outcome: 'reverts', reason: 'ERC20: transfer amount exceeds balance' },
      },
    );
  });

  it('are unavailable within the time limit when the node hangs', async (t) => {
    const hasty = openEvmChain({ chainId: 84_532n, urls: [devnet.rpcUrl], timeoutMs: 100 });
    t.after(() => hasty.close());
    devnet.freeze();
    t.after(() => devnet.thaw());
    await assert.rejects(hasty.blockNumber(), RpcUnavailable);
  });
});

describe('the watcher of receipts', () => {
  it('finds mined transactions, asks for all in one request, and gives up in time', async (t) => {
    const watcher = createReceiptWatcher(chain, { pollMs: 10, confirmations: 1 });
    t.after(() => watcher.close());
    const hashes = await Promise.all(
      [5, 6].map((payer) => send(devnet, payer, { to: TO, value: 1n })),
    );
    const receipts = await Promise.all(hashes.map((hash) => watcher.wait(hash, 5_000)));
    assert.deepEqual(
      receipts.map((receipt) => receipt?.succeeded),
      [true, true],
    );
    assert.equal(await watcher.wait(`0x${'00'.repeat(32)}`, 50), null);
  });

  it('waits for the confirmations', async (t) => {
    const watcher = createReceiptWatcher(chain, { pollMs: 5, confirmations: 60 });
    t.after(() => watcher.close());
    const hash = await send(devnet, 5, { to: TO, value: 1n });
    assert.equal(await watcher.look(hash), null);
    assert.equal(await watcher.wait(hash, 100), null);
    await devnet.rpc('anvil_mine', ['0x3c', '0x0']);
    assert.ok(await watcher.wait(hash, 5_000));
    assert.equal((await watcher.look(hash))?.transaction, hash);
  });

  it('looks at once, and sees nothing where nothing is or no node answers', async (t) => {
    const receipt: ChainReceipt = {
      ...{ transaction: '0x1', block: 7n, blockHash: null, succeeded: true, sender: '0x2' },
      ...{ gasNano: 0n, logs: [] },
    };
    let answer: ChainReceipt | null | Error = null;
    const asked: EvmChain['receipt'] = async () => {
      if (answer instanceof Error) throw answer;
      return answer;
    };
    const watcher = createReceiptWatcher(
      { receipt: asked, blockNumber: () => Promise.reject(new RpcUnavailable('not needed')) },
      { pollMs: 60_000, confirmations: 1 },
    );
    t.after(() => watcher.close());
    assert.equal(await watcher.look('0x1'), null);
    answer = new RpcUnavailable('down');
    assert.equal(await watcher.look('0x1'), null);
    answer = receipt;
    assert.equal(await watcher.look('0x1'), receipt);
  });

  it('ends every wait when it is closed', async () => {
    const watcher = createReceiptWatcher(chain, { pollMs: 10, confirmations: 1 });
    const waiting = watcher.wait(`0x${'00'.repeat(32)}`, 60_000);
    watcher.close();
    assert.equal(await waiting, null);
  });
});
