import assert from 'node:assert/strict';
import { after, before, describe, it, type TestContext } from 'node:test';
import { transferWithAuthorization } from '../../src/chains/evm/contract-calls.ts';
import { RpcUnavailable } from '../../src/chains/evm/json-rpc.ts';
import { type EvmChain, openEvmChain } from '../../src/chains/evm/open-evm-chain.ts';
import { createReceiptWatcher, type ReceiptWatcher } from '../../src/chains/evm/receipt-watcher.ts';
import type { Hex } from '../../src/chains/evm/sign.ts';
import {
  createSubmitter,
  type Submitter,
  type SubmitterOptions,
} from '../../src/chains/evm/submitter.ts';
import type { SignedTransaction } from '../../src/chains/evm/transaction.ts';
import { silentLog } from '../../src/core/log.ts';
import { type EvmDevnet, startEvmDevnet } from '../../src/devnet/start-evm-devnet.ts';
import { accountOf, send, signedTransfer, TO } from './evm-payer.ts';

let devnet: EvmDevnet;
let chain: EvmChain;
let watcher: ReceiptWatcher;
before(async () => {
  devnet = await startEvmDevnet({ chainId: 8453 });
  chain = openEvmChain({ chainId: 8453n, urls: [devnet.rpcUrl] });
  watcher = createReceiptWatcher(chain, { pollMs: 10, confirmations: 1 });
});
after(async () => {
  watcher.close();
  await chain.close();
  await devnet.close();
});

/** Each test has a key of its own. */
function submitterOf(index: number, over: Partial<SubmitterOptions> = {}): Submitter {
  return createSubmitter({
    ...{ chain, log: silentLog, privateKey: accountOf(devnet, index).privateKey },
    storedNonce: async () => null,
    storedTransactions: async () => [],
    ...over,
  });
}

const transferCall = (payer: number) => ({
  to: devnet.asset,
  data: `0x${transferWithAuthorization(signedTransfer(devnet, payer))}` as Hex,
  gasLimit: 150_000n,
});

async function count(index: number): Promise<number> {
  return await chain.transactionCount(accountOf(devnet, index).address, 'latest');
}

async function succeeded(hash: Hex): Promise<boolean | undefined> {
  return (await watcher.wait(hash, 5_000))?.succeeded;
}

/** Heals until a transaction is mined; each round looks after one nonce. */
async function healUntilMined(submitter: Submitter, hash: Hex): Promise<void> {
  for (let round = 0; round < 20; round++) {
    await submitter.heal();
    if ((await watcher.wait(hash, 260)) !== null) return;
  }
  assert.fail('it was not mined');
}

describe('the submitter of a settlement key', () => {
  it('sends nothing before it is told to, and takes the same transaction twice', async () => {
    const submitter = submitterOf(0);
    const transaction = await submitter.prepare(transferCall(11));
    submitter.keep(transaction);
    assert.equal(await chain.receipt(transaction.hash), null);
    assert.equal(await submitter.broadcast(transaction), 'accepted');
    assert.equal(await succeeded(transaction.hash), true);
    assert.equal(await submitter.broadcast(transaction), 'nonce_used');
  });

  it('starts at the stored nonce when it is ahead of the chain, else at the chain', async () => {
    await send(devnet, 1, { to: TO, value: 1n });
    const behind = await submitterOf(1, { storedNonce: async () => 0 }).prepare(transferCall(11));
    assert.equal(behind.nonce, 1);
    const ahead = await submitterOf(1, { storedNonce: async () => 9 }).prepare(transferCall(11));
    assert.equal(ahead.nonce, 9);
  });

  it('starts again after a start that failed', async () => {
    let fails = 1;
    const storedNonce = async (): Promise<null> => {
      if (fails-- > 0) throw new RpcUnavailable('down');
      return null;
    };
    const submitter = submitterOf(2, { storedNonce });
    await assert.rejects(submitter.prepare(transferCall(11)), RpcUnavailable);
    assert.equal((await submitter.prepare(transferCall(11))).nonce, 0);
  });

  it('fills a gap that was given back while later nonces wait', async () => {
    const submitter = submitterOf(3);
    const first = await submitter.prepare(transferCall(11));
    const second = await submitter.prepare(transferCall(11));
    submitter.keep(second);
    await submitter.broadcast(second);
    submitter.giveBack(first);
    await healUntilMined(submitter, second.hash);
    assert.equal(await chain.receipt(first.hash), null);
    assert.equal((await submitter.prepare(transferCall(11))).nonce, 2);
  });

  it('leaves a nonce alone that is in hand', async () => {
    const submitter = submitterOf(4);
    const first = await submitter.prepare(transferCall(11));
    const second = await submitter.prepare(transferCall(11));
    submitter.keep(second);
    await submitter.broadcast(second);
    await submitter.heal();
    assert.equal(await count(4), 0);
    submitter.keep(first);
    await submitter.broadcast(first);
    assert.equal(await succeeded(second.hash), true);
  });

  it('sends a stored transaction again that no node knows', async () => {
    const submitter = submitterOf(5);
    const first = await submitter.prepare(transferCall(11));
    const second = await submitter.prepare(transferCall(11));
    submitter.keep(first);
    submitter.keep(second);
    await submitter.broadcast(second);
    await healUntilMined(submitter, second.hash);
    assert.equal(await succeeded(first.hash), true);
  });

  it('asks about a nonce in doubt and sends or reuses it accordingly', async (t) => {
    for (const isStored of [true, false])
      await t.test(isStored ? 'it was stored' : 'it was not stored', async () => {
        const index = isStored ? 6 : 7;
        const submitter = submitterOf(index);
        const first = await submitter.prepare(transferCall(11));
        const second = await submitter.prepare(transferCall(11));
        submitter.keep(second);
        submitter.doubt(first, async () => isStored);
        await submitter.broadcast(second);
        await healUntilMined(submitter, second.hash);
        assert.equal((await chain.receipt(first.hash)) !== null, isStored);
      });
  });

  it('takes over what an earlier process stored, and fills what it lost', async () => {
    const earlier = submitterOf(8);
    const lost = await earlier.prepare(transferCall(11));
    const stored = await earlier.prepare(transferCall(11));
    const submitter = submitterOf(8, {
      storedNonce: async () => stored.nonce + 1,
      storedTransactions: async () => [stored],
    });
    const next = await submitter.prepare(transferCall(11));
    assert.equal(next.nonce, 2);
    submitter.keep(next);
    await submitter.broadcast(next);
    await healUntilMined(submitter, next.hash);
    assert.equal(await succeeded(stored.hash), true);
    assert.equal(await chain.receipt(lost.hash), null);
  });

  it('forgets its own that is mined, and asks the ledger for it when a reorganisation drops it', async (t) => {
    for (const isOwn of [true, false])
      await t.test(isOwn ? 'its own' : 'under the nonce of another key', async () => {
        const seen: string[] = [];
        const dropped: EvmChain = {
          ...chain,
          transactionCount: async () => 0,
          broadcast: async (raw) => void seen.push(raw),
        };
        const stored: SignedTransaction[] = [];
        const submitter = submitterOf(11, {
          chain: dropped,
          storedTransactions: async () => {
            seen.push('ledger');
            return stored;
          },
        });
        const transaction = await submitter.prepare(transferCall(11));
        stored.push(transaction);
        submitter.keep(transaction);
        submitter.mined(isOwn ? transaction : { ...transaction, sender: TO });
        await submitter.heal();
        assert.deepEqual(seen, isOwn ? ['ledger', transaction.raw] : [transaction.raw]);
      });
  });

  it('never fills a nonce that a neighbour has stored meanwhile', async () => {
    const neighbour = await submitterOf(1).prepare(transferCall(11));
    const submitter = submitterOf(1, { storedTransactions: async () => [neighbour] });
    const taken = await submitter.prepare(transferCall(11));
    assert.equal(taken.nonce, neighbour.nonce);
    submitter.skip(taken);
    const next = await submitter.prepare(transferCall(11));
    submitter.keep(next);
    await submitter.broadcast(next);
    await healUntilMined(submitter, next.hash);
    assert.equal(await succeeded(neighbour.hash), true);
  });

  it('replaces a waiting transaction under its nonce with higher fees', async (t) => {
    await stopMining(t);
    const submitter = submitterOf(9);
    const call = transferCall(11);
    const first = await submitter.prepare(call);
    submitter.keep(first);
    await submitter.broadcast(first);
    const dearer = await submitter.replace(first, call, 1);
    submitter.keep(dearer);
    assert.equal(dearer.nonce, first.nonce);
    assert.equal(await submitter.broadcast(dearer), 'accepted');
    await devnet.rpc('evm_mine');
    assert.equal(await succeeded(dearer.hash), true);
    assert.equal(await chain.receipt(first.hash), null);
  });

  it('says that the key has no coin, and that no node answers', async (t) => {
    const submitter = submitterOf(10);
    const transaction = await submitter.prepare(transferCall(11));
    await devnet.rpc('anvil_setBalance', [submitter.address, '0x0']);
    assert.equal(await submitter.broadcast(transaction), 'no_coin');
    const hasty = openEvmChain({ chainId: 8453n, urls: ['http://127.0.0.1:9'] });
    t.after(() => hasty.close());
    const cut = submitterOf(10, { chain: { ...chain, broadcast: (raw) => hasty.broadcast(raw) } });
    assert.equal(await cut.broadcast(transaction), 'unavailable');
  });
});

async function stopMining(t: TestContext): Promise<void> {
  await devnet.rpc('evm_setAutomine', [false]);
  await devnet.rpc('evm_setIntervalMining', [0]);
  t.after(() => devnet.rpc('evm_setAutomine', [true]));
}
